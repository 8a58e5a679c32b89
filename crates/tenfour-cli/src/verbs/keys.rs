//! `tenfour keys`: who we are, whom we trust, whom we let in.

use tenfour::Fingerprint;
use tenfour::identity::{AuthorizedKey, AuthorizedKeys, KnownHosts};

use crate::args::{Keys, KeysVerb};
use crate::exit::Failure;
use crate::{output, setup};

/// Does what was asked.
pub fn run(arguments: Keys) -> Result<(), Failure> {
    match arguments.verb {
        KeysVerb::Show => output::line(&setup::identity(&arguments.identity)?.fingerprint().to_string()),
        KeysVerb::Trust { host, fingerprint } => {
            let target: tenfour::Address =
                host.parse().map_err(|error| Failure::usage(format!("{error}")))?;
            let home = setup::home()?;
            let mut known = load(&home)?;
            // The usual port is not written, so that the pin counts for every port of the host.
            let name = if host.ends_with(&format!(":{}", target.port())) {
                target.to_string()
            } else {
                target.host_text()
            };
            known.trust(&name, fingerprint).map_err(|error| written(&error))?;
            output::talk(&format!("{name} is trusted as {fingerprint}"));
            Ok(())
        }
        KeysVerb::Allow {
            fingerprint,
            options,
            comment,
        } => {
            let rights = options
                .iter()
                .map(|option| quoted(option))
                .collect::<Vec<_>>()
                .join(",")
                .parse()
                .map_err(|error| Failure::usage(format!("{error}")))?;
            let key = AuthorizedKey {
                fingerprint,
                rights,
                comment: comment.replace(char::is_control, " "),
            };
            AuthorizedKeys::allow(&setup::home()?.authorized_keys(), &key)
                .map_err(|error| written(&error))?;
            output::talk(&format!("{fingerprint} may: {}", key.rights));
            Ok(())
        }
        KeysVerb::Remove { what } => {
            let home = setup::home()?;
            let removed = match what.parse::<Fingerprint>() {
                Ok(key) => AuthorizedKeys::remove(&home.authorized_keys(), key),
                Err(_) => load(&home)?.remove(&what),
            };
            match removed {
                Ok(true) => {
                    output::talk(&format!("{what} is removed"));
                    Ok(())
                }
                Ok(false) => Err(
                    Failure::local(format!("{what} is neither allowed nor trusted here"))
                        .hint("tenfour keys list"),
                ),
                Err(error) => Err(written(&error)),
            }
        }
        KeysVerb::List => {
            let home = setup::home()?;
            let path = home.authorized_keys();
            let allowed = AuthorizedKeys::load(&path)
                .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", path.display())))?;
            for key in allowed.iter() {
                let line = format!("allowed {} {} {}", key.fingerprint, key.rights, key.comment);
                output::line(line.trim_end())?;
            }
            for (line, reason) in &allowed.mistakes {
                output::talk(&format!(
                    "tenfour: line {line} of `{}` allows nothing: {reason}",
                    path.display()
                ));
            }
            for (host, fingerprint) in load(&home)?.iter() {
                output::line(&format!("trusted {fingerprint} {host}"))?;
            }
            Ok(())
        }
    }
}

/// A list such as `send=a,b` is one option; on a line of the file it stands in quotes.
fn quoted(option: &str) -> String {
    match option.split_once('=') {
        Some((name, value)) if value.contains(',') && !value.starts_with('"') => {
            format!("{name}=\"{value}\"")
        }
        _ => option.to_owned(),
    }
}

fn load(home: &tenfour::identity::Home) -> Result<KnownHosts, Failure> {
    let path = home.known_hosts();
    KnownHosts::load(&path)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", path.display())))
}

fn written(error: &std::io::Error) -> Failure {
    Failure::local(format!("cannot write the keys: {error}"))
}
