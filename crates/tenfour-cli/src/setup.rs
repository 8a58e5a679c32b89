//! From places to keys and pins.

use std::path::PathBuf;
use std::time::Duration;

use tenfour::identity::{Home, Identity, IdentityError, KnownHosts};
use tenfour::{ClientConfig, Durability};

use crate::args;
use crate::exit::Failure;

/// The user's folders, or why there are none.
pub fn home() -> Result<Home, Failure> {
    Home::from_environment().map_err(|error| {
        Failure::local(error.to_string())
            .hint("set HOME or TENFOUR_HOME, or name the files: --identity FILE, for serve --store PATH, for queue --outbox PATH")
    })
}

/// The key that was named, or the user's own.
pub fn identity(arguments: &args::Identity) -> Result<Identity, Failure> {
    let path = identity_file(arguments)?;
    Identity::load_or_create(&path).map_err(|error| identity_failure(&error))
}

/// Where it is kept.
pub fn identity_file(arguments: &args::Identity) -> Result<PathBuf, Failure> {
    Ok(match &arguments.identity {
        Some(path) => path.clone(),
        None => home()?.identity(),
    })
}

fn identity_failure(error: &IdentityError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        IdentityError::TooOpen(path) => failure.hint(format!("chmod 600 {}", path.display())),
        IdentityError::Malformed { path, .. } => failure.hint(format!(
            "move it away for a new key: mv {0} {0}.old",
            path.display()
        )),
        _ => failure,
    }
}

/// The servers we know; none without a home.
pub fn known_hosts() -> Result<KnownHosts, Failure> {
    let path: PathBuf = match Home::from_environment() {
        Ok(home) => home.known_hosts(),
        Err(_) => return Ok(KnownHosts::default()),
    };
    KnownHosts::load(&path)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", path.display())))
}

/// How a client of ours is set up.
pub fn client(
    arguments: &args::Identity,
    timeout: Duration,
    durability: Durability,
    id: Option<String>,
) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new(identity(arguments)?, known_hosts()?);
    config.timeout = timeout;
    config.durability = durability;
    config.id = id;
    Ok(config)
}
