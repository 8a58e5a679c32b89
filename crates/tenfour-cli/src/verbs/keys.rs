//! `tenfour keys`: who we are, whom we trust, whom we let in.

use tenfour::identity::{AuthorizedKey, AuthorizedKeys, Home, KeyList, KnownHosts, Rights, Token};
use tenfour::proto::Fingerprint;

use super::serve::page;
use crate::args::{Keys, KeysVerb};
use crate::exit::{Code, Failure};
use crate::key_lists::KeyLists;
use crate::{output, setup};

/// Does what was asked.
pub fn run(arguments: Keys) -> Result<(), Failure> {
    let store = arguments.store.as_deref();
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
            let list = KeyLists::of_store(store)?.authorized_keys;
            let key = AuthorizedKey {
                fingerprint,
                rights: rights(&options)?,
                comment: comment.replace(char::is_control, " "),
            };
            let key = if replace {
                AuthorizedKeys::replace(&list, &key).map(|()| key)
            } else {
                added(&list, key, &options)
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
            let token = Token::create(&KeyLists::of_store(store)?.tokens, &name, rights)
                .map_err(|error| written(&error))?;
            let Some(token) = token else {
                return Err(Failure::local(format!("there is a token `{name}` already"))
                    .hint(format!("tenfour keys remove {name}")));
            };
            output::talk(&format!("`{name}` may: {shown}; this is shown once:"));
            output::line(token.secret())
        }
        KeysVerb::Remove { what } => match remove(&KeyLists::of_store(store)?, &setup::home()?, &what) {
            Ok(true) => {
                output::talk(&format!("{what} is removed"));
                if what.parse::<Fingerprint>().is_ok() {
                    output::talk(&format!(
                        "a server that runs with `--open native` lets any key send to `inbox`; to keep this one out there: tenfour keys allow {what} --replace expires=2000-01-01T00:00:00Z"
                    ));
                }
                Ok(())
            }
            Ok(false) => Err(
                Failure::local(format!("{what} is no key, token or server that is known here"))
                    .hint("tenfour keys list"),
            ),
            Err(error) => Err(written(&error)),
        },
        KeysVerb::List => {
            let lists = KeyLists::of_store(store)?;
            list("allowed", &lists.authorized_keys)?;
            list("token", &lists.tokens)?;
            for (host, fingerprint) in load(&setup::home()?)?.iter() {
                output::line(&format!("trusted {host} {fingerprint}"))?;
            }
            Ok(())
        }
    }
}

/// Adds to what a key may do. What was not named is not meant: not the mailbox that a new key may send to, and no limit.
fn added(list: &KeyList, mut key: AuthorizedKey, options: &[String]) -> std::io::Result<AuthorizedKey> {
    let known = AuthorizedKeys::load(list)?;
    if let Some(known) = known.find(key.fingerprint) {
        let named = |option: &str| options.iter().any(|given| given.contains(option));
        if !named("send=") {
            key.rights.send.clear();
        }
        if !named("from=") && !named("expires=") {
            key.rights = key.rights.limited_as(&known.rights);
        }
    }
    AuthorizedKeys::allow(list, key)
}

/// One line for each of a list.
fn list(what: &str, keys: &KeyList) -> Result<(), Failure> {
    let listed = AuthorizedKeys::load(keys)
        .map_err(|error| Failure::local(format!("cannot read `{}`: {error}", keys.place())))?;
    for key in listed.iter() {
        // As it must be typed.
        output::line(&format!("{what} {key}"))?;
    }
    for (line, reason) in &listed.mistakes {
        output::talk(&format!(
            "tenfour: line {line} of `{}` allows nothing: {reason}",
            keys.place()
        ));
    }
    Ok(())
}

/// Whatever is known by that name; of tokens and hosts both, for one name is enough to take both away.
fn remove(lists: &KeyLists, home: &Home, what: &str) -> std::io::Result<bool> {
    if let Ok(key) = what.parse::<Fingerprint>() {
        return Ok(AuthorizedKeys::remove(&lists.authorized_keys, key)?
            | AuthorizedKeys::remove(&lists.tokens, key)?);
    }
    let token = match what.parse() {
        Ok(name) => Token::remove(&lists.tokens, &name)?,
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
