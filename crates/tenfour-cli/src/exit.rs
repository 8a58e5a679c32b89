//! The exit codes, and the words that go with them.

use tenfour::client::{Failure as Ending, MaybeStored};
use tenfour::identity::{Home, KnownHosts};
use tenfour::proto::{NATIVE_PORT, RefusalCode};
use tenfour::{Address, ConnectError, DeliveryError, Durability, MailboxName};

use crate::target::NoMailbox;

/// What a code says of the messages without a receipt. The numbers are sysexits.h's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// Whoever reads our output has had enough (`| head`), and nothing else was promised.
    Enough = 0,
    /// Input cannot be read, or a bug.
    Local = 1,
    /// Wrong usage: not stored.
    Usage = 2,
    /// Refused: not stored.
    Refused = 65,
    /// Not reached, or not accepting now: not stored.
    Unavailable = 69,
    /// The server went back: it lacks messages that it gave receipts for.
    Regressed = 74,
    /// Sent, no receipt: perhaps stored.
    Unknown = 75,
    /// Not the server we know: not stored.
    WrongServer = 76,
    /// Refused, not allowed: not stored.
    NotAllowed = 77,
    /// Fewer messages than `-C` before `-W`.
    TooFew = 124,
    /// The terminal is gone: as unknown.
    HungUp = 129,
    /// Interrupted: as unknown.
    Interrupted = 130,
    /// Told to quit: as unknown.
    Quit = 131,
    /// Terminated: as unknown.
    Terminated = 143,
}

impl Code {
    /// Of many messages the first that applies.
    pub fn worst(codes: impl IntoIterator<Item = Code>) -> Option<Code> {
        const ORDER: [Code; 12] = [
            Code::Interrupted,
            Code::HungUp,
            Code::Quit,
            Code::Terminated,
            Code::Regressed,
            Code::Unknown,
            Code::NotAllowed,
            Code::Refused,
            Code::WrongServer,
            Code::Unavailable,
            Code::Local,
            Code::Usage,
        ];
        codes
            .into_iter()
            .min_by_key(|code| ORDER.iter().position(|other| other == code))
    }

    /// What is known of a message that has no receipt.
    pub fn class(self) -> Class {
        match self {
            Code::Refused | Code::NotAllowed => Class::Refused,
            Code::Unknown
            | Code::Regressed
            | Code::HungUp
            | Code::Interrupted
            | Code::Quit
            | Code::Terminated => Class::Unknown,
            _ => Class::Unsent,
        }
    }
}

/// What is known of a message that has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The server will not have it.
    Refused,
    /// It may be stored.
    Unknown,
    /// It did not leave, or the server does not have it.
    Unsent,
}

impl Class {
    /// The word for it in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Refused => "refused",
            Class::Unknown => "unknown",
            Class::Unsent => "unsent",
        }
    }
}

/// What is said when something did not work, and with which code.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The code.
    pub code: Code,
    /// What happened, in lower case, without a final stop. Empty: everything has been said.
    pub message: String,
    /// What to do now.
    pub hint: Option<String>,
}

impl From<NoMailbox> for Failure {
    /// As a server would refuse it.
    fn from(error: NoMailbox) -> Self {
        Failure::new(Code::Refused, error.to_string())
    }
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Nobody reads our output any more.
    pub fn enough() -> Self {
        Failure::new(Code::Enough, "")
    }

    /// A failure on this side.
    pub fn local(message: impl Into<String>) -> Self {
        Failure::new(Code::Local, message)
    }

    /// A failure on this side, with the reason beneath it.
    pub fn caused(error: &dyn std::error::Error) -> Self {
        Failure::local(match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Code::Usage, message)
    }

    /// The same with another code.
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// No connection to `target`.
    pub fn connect(error: &ConnectError, target: &str) -> Self {
        Self::connect_to("deliver to", error, target)
    }

    /// The same for another purpose than delivering.
    pub fn connect_to(purpose: &str, error: &ConnectError, target: &str) -> Self {
        let code = connect_code(error);
        let reason = without_address(error, target);
        let failure = Failure::new(code, format!("could not {purpose} {target}: {reason}"));
        match connect_hint(error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A message that the server refused. `wanted` is the line that would let it in: key and mailbox.
    pub fn refused(code: RefusalCode, target: &str, wanted: Option<(&str, &str)>) -> Self {
        let failure = Failure::new(
            refusal_code(code),
            format!("{target} refused the message: {code}"),
        );
        match code {
            RefusalCode::NotAllowed => match wanted {
                Some((key, mailbox)) => {
                    failure.hint(format!("on the server: tenfour keys allow {key} send={mailbox}"))
                }
                None => failure,
            },
            RefusalCode::TooLarge => {
                failure.hint("on the server: tenfour serve --max-message SIZE, at most 16M")
            }
            RefusalCode::Conflict => failure.hint("use another --id for another message"),
            _ => failure,
        }
    }

    /// A message that is stored, but less safely than was asked for.
    pub fn less_durable(target: &str, mailbox: &MailboxName, offset: u64, durability: Durability) -> Self {
        Failure::new(
            Code::Refused,
            format!(
                "{target} stored the message as #{offset} of {mailbox}, but only as durable as `{durability}`"
            ),
        )
        .hint(format!("add --durability {durability} to accept that"))
    }

    /// A message without a receipt.
    pub fn delivery(error: &DeliveryError, target: &str, id: &str, wanted: Option<(&str, &str)>) -> Self {
        match error {
            DeliveryError::Refused(code) => Failure::refused(*code, target, wanted),
            DeliveryError::Failed { stored, failure } => {
                let code = delivery_code(error);
                let what = match stored {
                    MaybeStored::No => format!("could not deliver to {target}: {failure}"),
                    MaybeStored::Perhaps => {
                        format!("{target} may have the message, but gave no receipt: {failure}")
                    }
                };
                let words = Failure::new(code, what);
                match (&**failure, code) {
                    (_, Code::Unknown) => words.hint(format!(
                        "repeat the same command with --id {id}; it is stored once"
                    )),
                    (Ending::Connect(error), _) => match connect_hint(error) {
                        Some(hint) => words.hint(hint),
                        None => words,
                    },
                    (Ending::Regressed(_), _) => {
                        words.hint("the server's store was replaced or restored; ask whoever runs it")
                    }
                    _ => words,
                }
            }
            _ => Failure::new(Code::Unknown, error.to_string()),
        }
    }
}

/// The reason alone, where `target` names the address already.
fn without_address(error: &ConnectError, target: &str) -> String {
    let host = target.rsplit_once("://").map_or(target, |(_, host)| host);
    let host = host.split('/').next().unwrap_or(host);
    let names = |address: &Address| address.to_string() == host || address.without_port(NATIVE_PORT) == host;
    match error.address() {
        Some(address) if !names(address) => error.to_string(),
        _ => error.reason(),
    }
}

/// The code for a message without a receipt.
pub fn delivery_code(error: &DeliveryError) -> Code {
    match error {
        DeliveryError::Refused(code) => refusal_code(*code),
        DeliveryError::Failed { stored, failure } => match (ending_code(failure), stored) {
            (Some(code @ (Code::Regressed | Code::Unknown)), _) => code,
            (_, MaybeStored::Perhaps) => Code::Unknown,
            (code, MaybeStored::No) => code.unwrap_or(Code::Unavailable),
        },
        _ => Code::Unknown,
    }
}

/// The code that the end of a producer has by itself, whatever is known of its messages.
pub fn ending_code(ending: &Ending) -> Option<Code> {
    match ending {
        Ending::Regressed(_) => Some(Code::Regressed),
        Ending::OtherStore { .. } | Ending::TakenOver => Some(Code::Unknown),
        Ending::Connect(error) => Some(connect_code(error)),
        _ => None,
    }
}

fn refusal_code(code: RefusalCode) -> Code {
    match code {
        RefusalCode::NotAllowed => Code::NotAllowed,
        _ => Code::Refused,
    }
}

pub fn connect_code(error: &ConnectError) -> Code {
    match error {
        ConnectError::UnknownServer { .. } | ConnectError::ChangedServer { .. } => Code::WrongServer,
        ConnectError::NotAllowed { .. } | ConnectError::Invitation { .. } => Code::NotAllowed,
        ConnectError::Durability { .. } => Code::Refused,
        ConnectError::TakenOver | ConnectError::OtherStore { .. } => Code::Unknown,
        ConnectError::Regressed(_) => Code::Regressed,
        _ => Code::Unavailable,
    }
}

/// The next command. The key that a server showed never stands in it: it must be compared, not copied.
fn connect_hint(error: &ConnectError) -> Option<String> {
    Some(match error {
        ConnectError::UnknownServer { address, shown } => {
            let home = Home::from_environment().ok();
            let known = home.and_then(|home| KnownHosts::load(&home.known_hosts()).ok());
            let known = known.unwrap_or_default();
            let names: Vec<&str> = known
                .iter()
                .filter(|(_, pin)| pin == shown)
                .map(|(name, _)| name)
                .collect();
            let host = address.without_port(NATIVE_PORT);
            if names.is_empty() {
                format!(
                    "on the server: tenfour invite, then here: tenfour join TOKEN\n      or, without: it showed {shown}; on the server: tenfour keys show\n      if both are the same, here: tenfour keys trust {host} FINGERPRINT"
                )
            } else {
                format!(
                    "it showed the key that is known here as {}: call it by that name\n      if {host} is another name of the same server, compare {shown} with tenfour keys show there; then here: tenfour keys trust {host} FINGERPRINT",
                    names.join(", ")
                )
            }
        }
        ConnectError::ChangedServer { shown, pinned, .. } => format!(
            "we know {pinned}, it showed {shown}\n      either the server has a new key or somebody stands between; on the server: tenfour keys show"
        ),
        ConnectError::NotAllowed { .. } => {
            "on the server: tenfour invite, then here: tenfour join TOKEN".to_owned()
        }
        ConnectError::Invitation { .. } => "on the server: tenfour invite, for a new one".to_owned(),
        ConnectError::TextListener(address) => {
            format!("use tcp://{address}, or the port of the native listener")
        }
        ConnectError::Durability { .. } => "to accept less: --durability disk, os or memory".to_owned(),
        ConnectError::Unreachable(_) => {
            "is `tenfour serve` running there, and does a firewall let the port through?".to_owned()
        }
        ConnectError::Resolve { .. } => "check the name; bare IPv6 wants brackets, like [::1]".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_once() {
        let broken = |address: &str| ConnectError::Broken {
            address: address.parse().unwrap(),
            reason: "connection reset by peer".to_owned(),
        };
        for (address, target) in [
            ("a:50545", "a"),
            ("a:7", "a:7/box"),
            ("[::1]:7", "[::1]:7"),
            ("a:7", "tcp://a:7"),
        ] {
            assert_eq!(
                without_address(&broken(address), target),
                "connection reset by peer"
            );
        }
        assert_eq!(
            without_address(&broken("b:7"), "a:7"),
            "b:7: connection reset by peer"
        );
    }

    #[test]
    fn of_many_the_first_that_applies() {
        use Code::{NotAllowed, Refused, Regressed, Unavailable, Unknown};
        assert_eq!(Code::worst([Refused, Unknown, Unavailable]), Some(Unknown));
        assert_eq!(Code::worst([Unknown, Regressed]), Some(Regressed));
        assert_eq!(Code::worst([Unavailable, NotAllowed]), Some(NotAllowed));
        assert_eq!(Code::worst([]), None);
    }
}
