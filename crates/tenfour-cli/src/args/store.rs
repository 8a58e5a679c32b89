//! `tenfour store`, as it was typed.

use clap::{Args, Subcommand};

/// `tenfour store`
#[derive(Debug, Args)]
pub struct Store {
    /// What to do
    #[command(subcommand)]
    pub verb: StoreVerb,
}

/// The verbs of `tenfour store`.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Make a store in a PostgreSQL database; one that is there stays as it is
    Init {
        /// postgres://USER@HOST[:PORT][,HOST]/DATABASE[?sslmode=verify-full|disable&sslrootcert=FILE]. A password is better
        /// given in PGPASSWORD
        url: String,
    },
}
