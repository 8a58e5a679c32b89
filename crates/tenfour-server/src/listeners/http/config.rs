//! Who may ask by HTTP, and by which names.

use tokio::net::TcpListener;

/// Sockets for HTTP, and what is allowed there.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct HttpListeners {
    /// In the clear: for the loopback, or behind something that adds TLS.
    pub plain: Vec<TcpListener>,
    /// Over TLS, under the server's key.
    pub tls: Vec<TcpListener>,
    /// What is allowed.
    pub config: HttpConfig,
}

/// What HTTP allows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Names by which the server may be asked, besides `localhost` and IP addresses: a request that names another host was
    /// sent by somebody's trick.
    pub names: Vec<String>,
    /// Everybody may send to `inbox` without a token, not only programs on this machine.
    pub open: bool,
}
