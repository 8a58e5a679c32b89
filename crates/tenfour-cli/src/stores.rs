//! What `--store` names: a file, or a database.

use std::path::Path;

use tenfour::store::OpenError;
#[cfg(feature = "postgres")]
use tenfour::store::postgres::{Address, PostgresError};

use crate::exit::Failure;

/// It is the address of a database, and not of a file.
pub fn is_database(store: &Path) -> bool {
    let text = store.to_string_lossy();
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// What this program was built without.
#[cfg(not(feature = "postgres"))]
pub fn without() -> Failure {
    Failure::usage("this tenfour was built without PostgreSQL")
        .hint("cargo install tenfour-cli --features postgres")
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

/// What to do about a database that cannot be used.
#[cfg(feature = "postgres")]
pub fn database_failure(error: &PostgresError, address: &Address) -> Failure {
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

/// What to do about a store in a file that cannot be opened.
pub fn file_failure(error: &OpenError) -> Failure {
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
