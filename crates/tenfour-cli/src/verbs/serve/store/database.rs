//! A store on PostgreSQL.

use std::path::Path;

use tenfour::Durability;
use tenfour::store::Store;
use tenfour::store::postgres::{Demand, PostgresOptions, PostgresStore};

use crate::args;
use crate::exit::Failure;
use crate::verbs::serve::rules::{BENCH_BYTES, rules};
use crate::verbs::store::{address, failure};

/// Opens it. What it promises must be what is demanded.
pub(super) fn open(arguments: &args::Serve, url: &Path) -> Result<Box<dyn Store>, Failure> {
    let address = address(&url.to_string_lossy())?;
    let demand = match (arguments.durability, arguments.engine_replicates) {
        (None | Some(Durability::Replicated), false) => Demand::Replicated,
        (None | Some(Durability::Replicated), true) => Demand::Declared,
        (Some(Durability::Disk), _) => Demand::Disk,
        (Some(Durability::Os | Durability::Memory), _) => {
            return Err(Failure::usage("a store in a database is `replicated` or `disk`"));
        }
    };
    let options = PostgresOptions {
        demand,
        anonymous_quota: arguments.anonymous_quota,
    };
    let mut store = PostgresStore::open(&address, options).map_err(|error| failure(&error, &address))?;
    store.retain(rules(arguments, BENCH_BYTES));
    Ok(Box::new(store))
}
