//! `tenfour store`: stores in databases, and from one kind to the other.

mod copy;

use std::path::Path;

use crate::args::{Store, StoreVerb};
use crate::exit::Failure;
#[cfg(feature = "postgres")]
use crate::output;
use crate::stores;
#[cfg(feature = "postgres")]
use tenfour::store::postgres::init;

/// Does what is to be done with a store.
pub async fn run(arguments: Store) -> Result<(), Failure> {
    match arguments.verb {
        StoreVerb::Init { url } if stores::is_database(Path::new(&url)) => {
            let made = tokio::task::spawn_blocking(move || make(&url)).await;
            made.map_err(|error| Failure::caused(&error))?
        }
        StoreVerb::Init { url } => Err(Failure::usage(format!("`{url}` is not postgres://..."))
            .hint("a store in a file is made by `tenfour serve --store PATH`")),
        StoreVerb::Copy { from, to } => copy::run(from, to).await,
    }
}

#[cfg(not(feature = "postgres"))]
fn make(_url: &str) -> Result<(), Failure> {
    Err(stores::without())
}

#[cfg(feature = "postgres")]
fn make(url: &str) -> Result<(), Failure> {
    let address = stores::address(url)?;
    let is_new = init(&address).map_err(|error| stores::database_failure(&error, &address))?;
    output::talk(&if is_new {
        format!("tenfour: {address} has a store now; start servers: tenfour serve --store URL")
    } else {
        format!("tenfour: {address} has a store already; nothing was changed")
    });
    Ok(())
}
