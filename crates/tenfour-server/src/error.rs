//! Why a server does not start, or stops.

/// The server could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The thread for the store cannot be started, or a listener is unusable.
    #[error("the server cannot start")]
    Start(#[source] std::io::Error),
    /// The identity does not fit TLS.
    #[error("the key cannot be used for TLS")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store failed. What was receipted is safe; the process should be started again.
    #[error("the store failed")]
    StoreFailed,
}
