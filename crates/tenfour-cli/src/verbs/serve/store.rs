//! The store that a server is started on.

#[cfg(feature = "postgres")]
mod database;

use std::path::{Path, PathBuf};

use tenfour::Durability;
use tenfour::identity::Home;
use tenfour::store::{MemoryStore, OpenError, SqliteOptions, SqliteStore, Store};

use super::super::store::is_database;
use super::rules::{BENCH_BYTES, BENCH_BYTES_IN_MEMORY, rules};
use crate::args;
use crate::exit::Failure;
use crate::setup;

/// Opens what `--store` names.
pub(super) fn open(arguments: &args::Serve, home: Option<&Home>) -> Result<Box<dyn Store>, Failure> {
    let path: PathBuf = match (&arguments.store, home) {
        (Some(path), _) if path == Path::new("memory") => {
            if !arguments.retain.is_empty() {
                return Err(Failure::usage(
                    "--retain is for a store on disk; one in memory keeps nothing for long",
                ));
            }
            let mut store = MemoryStore::default();
            store.retain(rules(arguments, BENCH_BYTES_IN_MEMORY));
            return Ok(Box::new(match arguments.anonymous_quota {
                Some(quota) => store.with_anonymous_quota(quota),
                None => store,
            }));
        }
        (Some(path), _) if is_database(path) => {
            #[cfg(feature = "postgres")]
            return database::open(arguments, path);
            #[cfg(not(feature = "postgres"))]
            return Err(crate::verbs::store::without());
        }
        (Some(path), _) => path.clone(),
        (None, Some(home)) => home.store(),
        (None, None) => {
            return Err(setup::home()
                .err()
                .unwrap_or_else(|| Failure::local("there is no home directory")));
        }
    };
    let durability = arguments.durability.unwrap_or(Durability::Disk);
    match durability {
        Durability::Disk | Durability::Os => {}
        Durability::Memory => {
            return Err(
                Failure::usage("a store on disk is `disk` or `os`").hint("to keep nothing: --store memory")
            );
        }
        Durability::Replicated => {
            return Err(Failure::usage("a file is on one machine").hint(
                "for `replicated` name a database that replicates: --store postgres://HOST,HOST/DATABASE",
            ));
        }
    }
    let options = SqliteOptions {
        durability,
        anonymous_quota: arguments.anonymous_quota,
    };
    match SqliteStore::open(&path, options) {
        Ok(mut store) => {
            store.retain(rules(arguments, BENCH_BYTES));
            Ok(Box::new(store))
        }
        Err(error) => Err(store_failure(&error)),
    }
}

fn store_failure(error: &OpenError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        OpenError::InUse { .. } => failure.hint("one server owns a store; name another one: --store PATH"),
        OpenError::Aliased { .. } => failure.hint(
            "its log would lie beside another name, and be lost with it: mount the folder (-v FOLDER:/data), and remove other links",
        ),
        OpenError::Schema { .. } => failure.hint("it was not touched; move it away, or restore a backup"),
        OpenError::NotOurs(_) => failure.hint("it was not touched; name another file: --store PATH"),
        OpenError::ForeignLog { .. } => {
            failure.hint("its owner was killed; put its store back, or move it away")
        }
        OpenError::Newer { .. } => failure.hint("it was not touched; use the newer tenfour"),
        OpenError::Network { .. } => failure.hint("name a place on a local disk: --store PATH"),
        _ if error.is_full() => failure.hint("make room on that disk; nothing was lost"),
        _ => failure,
    }
}
