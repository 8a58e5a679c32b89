//! `tenfour store`, as it was typed.

use std::path::PathBuf;

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
    /// Copy a store that nobody serves into a new one: a file, or a PostgreSQL database without a store
    ///
    /// Ids, offsets and marks stay: to senders the copy is the store. Between a file and a database rights are copied, too.
    Copy {
        /// Store to copy, PATH or postgres://...
        from: PathBuf,
        /// Where to, PATH or postgres://...; nothing may be there yet
        to: PathBuf,
    },
}
