//! `tenfour store`: stores in databases.

use std::path::Path;

use crate::args::{Store, StoreVerb};
use crate::exit::Failure;
#[cfg(feature = "postgres")]
use crate::output;
#[cfg(feature = "postgres")]
use tenfour::store::postgres::{Address, PostgresError, init};

/// It is the address of a database, and not of a file.
pub fn is_database(store: &Path) -> bool {
    let text = store.to_string_lossy();
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Does what is to be done with a store.
pub fn run(arguments: Store) -> Result<(), Failure> {
    let StoreVerb::Init { url } = arguments.verb;
    if !is_database(Path::new(&url)) {
        return Err(Failure::usage(format!("`{url}` is not postgres://..."))
            .hint("a store in a file is made by `tenfour serve --store PATH`"));
    }
    make(&url)
}

#[cfg(not(feature = "postgres"))]
fn make(_url: &str) -> Result<(), Failure> {
    Err(without())
}

/// What this program was built without.
#[cfg(not(feature = "postgres"))]
pub fn without() -> Failure {
    Failure::usage("this tenfour was built without PostgreSQL")
        .hint("cargo install tenfour-cli --features postgres")
}

#[cfg(feature = "postgres")]
fn make(url: &str) -> Result<(), Failure> {
    let address = address(url)?;
    let is_new = init(&address).map_err(|error| failure(&error, &address))?;
    output::talk(&if is_new {
        format!("tenfour: {address} has a store now; start servers: tenfour serve --store URL")
    } else {
        format!("tenfour: {address} has a store already; nothing was changed")
    });
    Ok(())
}

/// What was typed, with the password of the environment.
#[cfg(feature = "postgres")]
pub fn address(url: &str) -> Result<Address, Failure> {
    let address: Address = url.parse().map_err(|error| {
        Failure::usage(format!("not the address of a database: {error}"))
            .hint("postgres://USER@HOST[:PORT][,HOST]/DATABASE")
    })?;
    Ok(address.with_password(std::env::var("PGPASSWORD").ok().as_deref()))
}

/// What to do about it.
#[cfg(feature = "postgres")]
pub fn failure(error: &PostgresError, address: &Address) -> Failure {
    let failure = Failure::caused(error);
    match error {
        PostgresError::Unreachable { .. } => failure.hint("look whether it runs, and whether its name and port are right"),
        PostgresError::NoStore(_) => failure.hint(format!("to make one: tenfour store init {address}")),
        PostgresError::Newer { .. } => failure.hint("it was not touched; use the newer tenfour"),
        PostgresError::Unsafe { why, .. } if why.contains("standby") => failure.hint(
            "set it, then SELECT pg_reload_conf(); for a single database: --durability disk; if it replicates by other means: --engine-replicates",
        ),
        PostgresError::Unsafe { .. } => failure.hint("ALTER SYSTEM RESET it, then SELECT pg_reload_conf()"),
        PostgresError::Encoding { .. } => {
            failure.hint("make another database: CREATE DATABASE tenfour ENCODING 'UTF8' TEMPLATE template0")
        }
        PostgresError::NotAllowed { .. } => failure.hint(
            "it needs a login, and CREATE on its database: GRANT CREATE, CONNECT ON DATABASE ... TO ...",
        ),
        _ => failure,
    }
}
