//! A store on PostgreSQL.

use std::path::Path;

use tenfour::Durability;
use tenfour::identity::Home;
use tenfour::store::Store;
use tenfour::store::postgres::{Demand, PostgresOptions, PostgresStore};

use crate::args;
use crate::exit::Failure;
use crate::key_lists::KeyLists;
use crate::stores::{address, database_failure};
use crate::verbs::serve::rules::{BENCH_BYTES, rules};

/// Opens it. What it promises must be what is demanded.
pub(super) fn open(
    arguments: &args::Serve,
    url: &Path,
    home: Option<&Home>,
) -> Result<(Box<dyn Store>, KeyLists), Failure> {
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
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        backups: home.map(|home| home.data.clone()),
    };
    let mut store =
        PostgresStore::open(&address, options).map_err(|error| database_failure(&error, &address))?;
    store.retain(rules(arguments, BENCH_BYTES));
    let lists = KeyLists::of_database(&store.key_lists());
    if let Some(home) = home {
        warn_of_files(home);
    }
    Ok((Box::new(store), lists))
}

/// Somebody may believe that a key which was removed there is let in no more.
fn warn_of_files(home: &Home) {
    for (_, list) in KeyLists::of_home(home).all() {
        if list.read().is_ok_and(|text| !text.trim().is_empty()) {
            tracing::warn!(file = %list.place(), "is not used: rights are in the database; to change them: tenfour keys ... --store URL");
        }
    }
}
