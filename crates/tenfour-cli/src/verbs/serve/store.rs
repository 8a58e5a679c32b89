//! The store that a server is started on.

#[cfg(feature = "postgres")]
mod database;

use std::path::{Path, PathBuf};

use tenfour::Durability;
use tenfour::identity::Home;
use tenfour::store::{MemoryStore, SqliteOptions, SqliteStore, Store};

use super::rules::{BENCH_BYTES, BENCH_BYTES_IN_MEMORY, rules};
use crate::args;
use crate::exit::Failure;
use crate::key_lists::KeyLists;
use crate::setup;
use crate::stores::{file_failure, is_database};

/// A store, and who may do what with it.
type Opened = (Box<dyn Store>, Option<KeyLists>);

/// Opens what `--store` names.
pub(super) fn open(arguments: &args::Serve, home: Option<&Home>) -> Result<Opened, Failure> {
    let lists = home.map(KeyLists::of_home);
    let path: PathBuf = match (&arguments.store, home) {
        (Some(path), _) if path == Path::new("memory") => {
            if !arguments.retain.is_empty() {
                return Err(Failure::usage(
                    "--retain is for a store on disk; one in memory keeps nothing for long",
                ));
            }
            let mut store = MemoryStore::default();
            store.retain(rules(arguments, BENCH_BYTES_IN_MEMORY));
            let store = match arguments.anonymous_quota {
                Some(quota) => store.with_anonymous_quota(quota),
                None => store,
            };
            return Ok((Box::new(store), lists));
        }
        (Some(path), _) if is_database(path) => {
            #[cfg(feature = "postgres")]
            return database::open(arguments, path, home).map(|(store, lists)| (store, Some(lists)));
            #[cfg(not(feature = "postgres"))]
            return Err(crate::stores::without());
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
            Ok((Box::new(store), lists))
        }
        Err(error) => Err(file_failure(&error)),
    }
}
