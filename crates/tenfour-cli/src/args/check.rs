//! `tenfour check`, as it was typed.

use std::path::PathBuf;

use clap::Args;

/// `tenfour check`
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 when nothing is wrong, otherwise with 1. May run beside the server.")]
pub struct Check {
    /// Store file [default: store.db in the data folder]
    pub store: Option<PathBuf>,
}
