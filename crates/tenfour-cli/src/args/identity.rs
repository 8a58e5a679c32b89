//! Whose key is used.

use std::path::PathBuf;

use clap::Args;

/// Whose key is used.
#[derive(Clone, Debug, Args)]
pub struct Identity {
    /// Identity file to use instead of the user's own; created if missing
    #[arg(long, value_name = "FILE", env = "TENFOUR_IDENTITY")]
    pub identity: Option<PathBuf>,
}
