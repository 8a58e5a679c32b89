//! Whose key is used.

use std::path::PathBuf;

use clap::Args;

/// Whose key is used.
#[derive(Clone, Debug, Args)]
pub struct Identity {
    /// Key to use instead of the user's own; made if it is not there
    #[arg(long, value_name = "FILE", env = "TENFOUR_IDENTITY")]
    pub identity: Option<PathBuf>,
}
