//! `tenfour check`, as it was typed.

use std::path::PathBuf;

use clap::Args;

/// `tenfour check`
#[derive(Debug, Args)]
#[command(after_help = "Ends with 0 when nothing is wrong, else with 1. May run beside the server.")]
pub struct Check {
    /// The store [default: store.db in the data folder]
    pub store: Option<PathBuf>,
}
