//! `tenfour keys`: who we are, whom we trust, whom we let in.

use std::path::Path;

use tenfour::identity::{AuthorizedKey, AuthorizedKeys, Home, KnownHosts, Rights, Token};
use tenfour::proto::Fingerprint;

use super::serve::page;
use crate::args::{Keys, KeysVerb};
use crate::exit::{Code, Failure};
use crate::{output, setup};

/// Does what was asked.
pub fn run(arguments: Keys) -> Result<(), Failure> {
    match arguments.verb {
        KeysVerb::Show => output::line(&setup::identity(&arguments.identity)?.fingerprint().to_string()),
        KeysVerb::Trust {
            host,
            fingerprint,
            replace,
        } => {
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
            let other = known
                .iter()
                .find(|(known, pin)| known.eq_ignore_ascii_case(&name) && *pin != fingerprint);
            if let Some((_, pin)) = other.filter(|_| !replace) {
                return Err(Failure::new(
                    Code::WrongServer,
                    format!("{name} is known by another key, {pin}; nothing was changed"),
                )
                .hint(
                    "if the server really has a new key (on the server: tenfour keys show), add --replace",
                ));
            }
            known.trust(&name, fingerprint).map_err(|error| written(&error))?;
            output::talk(&format!("{name} is trusted as {fingerprint}"));
            Ok(())
        }
        KeysVerb::Allow {
            fingerprint,
            options,
            comment,
            replace,
        } => {
            let path = setup::home()?.authorized_keys();
            let key = AuthorizedKey {
                fingerprint,
                rights: rights(&options)?,
                comment: comment.replace(char::is_control, " "),
            };
            let key = if replace {
                AuthorizedKeys::replace(&path, &key).map(|()| key)
            } else {
                added(&path, key, &options)
            };
            let key = key.map_err(|error| written(&error))?;
            output::talk(&format!("{fingerprint} may: {}", key.rights));
            Ok(())
        }
        KeysVerb::Token { name, options } => {
            if name.as_str() == page::NAME {
                return Err(
                    Failure::usage(format!("`{name}` is the server's own name for its page"))
                        .hint("take another name"),
                );
            }
            let rights = rights(&options)?;
            let shown = rights.to_string();
            let token =
                Token::create(&setup::home()?.tokens(), &name, rights).map_err(|error| written(&error))?;
            let Some(token) = token else {
                return Err(Failure::local(format!("there is a token `{name}` already"))
                    .hint(format!("tenfour keys remove {name}")));
            };
            output::talk(&format!("`{name}` may: {shown}; this is shown once:"));
            output::line(token.secret())
        }
        KeysVerb::Remove { what } => {
            let home = setup::home()?;
            match remove(&home, &what) {
                Ok(true) => {
                    output::talk(&format!("{what} is removed"));
                    if what.parse::<Fingerprint>().is_ok() {
                        output::talk(&format!(
                            "a server that runs with `--open native` lets any key send to `inbox`; to keep this one out there: tenfour keys allow {what} --replace expires=2000-01-01T00:00:00Z"
                        ));
                    }
                    Ok(())
                }
                Ok(false) => Err(Failure::local(format!(
                    "{what} is no key, token or server that is known here"
                ))
                .hint("tenfour keys list")),
                Err(error) => Err(written(&error)),
            }
        }
        KeysVerb::List => {
            let home = setup::home()?;
            list("allowed", &home.authorized_keys())?;
            list("token", &home.tokens())?;
            for (host, fingerprint) in load(&home)?.iter() {
                output::line(&format!("trusted {host} {fingerprint}"))?;
            }
            Ok(())
        }
    }
}

/// Adds to what a key may do. What was not named is not meant: not the mailbox that a new key may send to, and no limit.
fn added(path: &Path, mut key: AuthorizedKey, options: &[String]) -> std::io::Result<AuthorizedKey> {
    let known = AuthorizedKeys::load(path)?;
    if let Some(known) = known.find(key.fingerprint) {
        let named = |option: &str| options.iter().any(|given| given.contains(option));
        if !named("send=") {
            key.rights.send.clear();
        }
        if !named("from=") && !named("expires=") {
            key.rights = key.rights.limited_as(&known.rights);
        }
    }
    AuthorizedKeys::allow(path, key)
}

/// One line for each of a file.
fn list(what: &str, path: &Path) -> Result<(), Failure> {
    let listed = AuthorizedKeys::load(path)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", path.display())))?;
    for key in listed.iter() {
        // As it must be typed.
        output::line(&format!("{what} {key}"))?;
    }
    for (line, reason) in &listed.mistakes {
        output::talk(&format!(
            "tenfour: line {line} of `{}` allows nothing: {reason}",
            path.display()
        ));
    }
    Ok(())
}

/// Whatever is known by that name; of tokens and hosts both, for one name is enough to take both away.
fn remove(home: &Home, what: &str) -> std::io::Result<bool> {
    if let Ok(key) = what.parse::<Fingerprint>() {
        return Ok(AuthorizedKeys::remove(&home.authorized_keys(), key)?
            | AuthorizedKeys::remove(&home.tokens(), key)?);
    }
    let token = match what.parse() {
        Ok(name) => Token::remove(&home.tokens(), &name)?,
        Err(_) => false,
    };
    Ok(token | KnownHosts::load(&home.known_hosts())?.remove(what)?)
}

fn rights(options: &[String]) -> Result<Rights, Failure> {
    let options: Vec<String> = options.iter().map(|option| quoted(option)).collect();
    options
        .join(",")
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))
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

fn load(home: &Home) -> Result<KnownHosts, Failure> {
    let path = home.known_hosts();
    KnownHosts::load(&path)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", path.display())))
}

fn written(error: &std::io::Error) -> Failure {
    Failure::local(format!("cannot write the keys: {error}"))
}
