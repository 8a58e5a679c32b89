//! What a key may do.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use tenfour_proto::{CursorName, MailboxName};

/// Mailboxes: one name, everything below a name (`logs/*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every mailbox.
    All,
    /// This one.
    One(MailboxName),
    /// Every mailbox below this one, itself not included.
    Below(MailboxName),
}

impl Pattern {
    /// The mailbox is one of these.
    pub fn covers(&self, mailbox: &MailboxName) -> bool {
        match self {
            Pattern::All => true,
            Pattern::One(name) => name == mailbox,
            Pattern::Below(name) => mailbox
                .as_str()
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

impl FromStr for Pattern {
    type Err = ParseRightsError;

    fn from_str(text: &str) -> Result<Self, ParseRightsError> {
        let bad = |error: tenfour_proto::MailboxNameError| ParseRightsError(format!("`{text}`: {error}"));
        if text == "*" {
            return Ok(Pattern::All);
        }
        Ok(match text.strip_suffix("/*") {
            Some(above) => Pattern::Below(above.parse().map_err(bad)?),
            None => Pattern::One(text.parse().map_err(bad)?),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::All => f.write_str("*"),
            Pattern::One(name) => fmt::Display::fmt(name, f),
            Pattern::Below(name) => write!(f, "{name}/*"),
        }
    }
}

/// Cursors: all of some mailboxes (`jobs`), or one of them (`jobs:worker`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consume {
    /// In which mailboxes.
    pub mailboxes: Pattern,
    /// Only the cursor of this name.
    pub cursor: Option<CursorName>,
}

impl Consume {
    /// The cursor is one of these.
    pub fn covers(&self, mailbox: &MailboxName, cursor: &CursorName) -> bool {
        self.mailboxes.covers(mailbox) && self.cursor.as_ref().is_none_or(|own| own == cursor)
    }
}

impl FromStr for Consume {
    type Err = ParseRightsError;

    fn from_str(text: &str) -> Result<Self, ParseRightsError> {
        let (mailboxes, cursor) = match text.split_once(':') {
            Some((mailboxes, cursor)) => {
                let cursor = cursor.parse();
                let bad = |error| ParseRightsError(format!("`{text}`: {error}"));
                (mailboxes, Some(cursor.map_err(bad)?))
            }
            None => (text, None),
        };
        Ok(Consume {
            mailboxes: mailboxes.parse()?,
            cursor,
        })
    }
}

impl fmt::Display for Consume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cursor {
            Some(cursor) => write!(f, "{}:{cursor}", self.mailboxes),
            None => self.mailboxes.fmt(f),
        }
    }
}

/// An address range, `ADDRESS` or `ADDRESS/BITS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn covers(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let free = width - u32::from(self.bits).min(width);
        own.checked_shr(free).unwrap_or(0) == other.checked_shr(free).unwrap_or(0)
    }
}

impl FromStr for Network {
    type Err = ParseRightsError;

    fn from_str(text: &str) -> Result<Self, ParseRightsError> {
        let bad = || ParseRightsError(format!("`{text}` is no address and no range like 10.0.0.0/8"));
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|b| *b <= width).ok_or_else(bad)?,
        };
        Ok(Network { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The options of a key, in OpenSSH's manner: `send="a,b/*",read=a,consume=a:worker,answer=a,from="10.0.0.0/8",expires=2027-01-01,status,admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Where it may put messages.
    pub send: Vec<Pattern>,
    /// What it may look at. Whoever looks changes nothing.
    pub read: Vec<Pattern>,
    /// By which cursors it may take messages: it moves them, and what it rejects is buried.
    pub consume: Vec<Consume>,
    /// Which mailboxes' messages it may answer, of those that it consumes.
    pub answer: Vec<Pattern>,
    /// It may see what the server is doing, in numbers and names.
    pub status: bool,
    /// It may do everything, also create mailboxes beyond `send`.
    pub admin: bool,
    from: Vec<Network>,
    expires: Option<Timestamp>,
}

impl Default for Rights {
    /// A key allowed without options may send to `inbox` and read nothing.
    fn default() -> Self {
        Rights {
            send: vec![Pattern::One(MailboxName::inbox())],
            read: Vec::new(),
            consume: Vec::new(),
            answer: Vec::new(),
            status: false,
            admin: false,
            from: Vec::new(),
            expires: None,
        }
    }
}

/// Options that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseRightsError(pub String);

impl Rights {
    /// Every right: one's own key.
    pub fn everything() -> Self {
        Rights {
            send: vec![Pattern::All],
            read: vec![Pattern::All],
            consume: vec![Consume {
                mailboxes: Pattern::All,
                cursor: None,
            }],
            answer: vec![Pattern::All],
            status: true,
            admin: true,
            from: Vec::new(),
            expires: None,
        }
    }

    /// It may put messages into `mailbox`.
    pub fn may_send(&self, mailbox: &MailboxName) -> bool {
        self.admin || self.send.iter().any(|pattern| pattern.covers(mailbox))
    }

    /// It may look at `mailbox`.
    pub fn may_read(&self, mailbox: &MailboxName) -> bool {
        self.admin || self.read.iter().any(|pattern| pattern.covers(mailbox))
    }

    /// It may consume `mailbox` by that cursor.
    pub fn may_consume(&self, mailbox: &MailboxName, cursor: &CursorName) -> bool {
        self.admin || self.consume.iter().any(|consume| consume.covers(mailbox, cursor))
    }

    /// It may answer messages of `mailbox` that it consumes.
    pub fn may_answer(&self, mailbox: &MailboxName) -> bool {
        self.admin || self.answer.iter().any(|pattern| pattern.covers(mailbox))
    }

    /// It may do everything, and have everything.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// It may see connections, mailboxes, cursors and counters.
    pub fn may_see_status(&self) -> bool {
        self.admin || self.status
    }

    /// These and those of `more`. Limits stay as wide as the wider of the two: what is added never takes anything away.
    #[must_use]
    pub fn with(mut self, more: Rights) -> Self {
        fn join<T: PartialEq>(ours: &mut Vec<T>, more: Vec<T>) {
            for one in more {
                if !ours.contains(&one) {
                    ours.push(one);
                }
            }
        }
        join(&mut self.send, more.send);
        join(&mut self.read, more.read);
        join(&mut self.consume, more.consume);
        join(&mut self.answer, more.answer);
        self.status |= more.status;
        self.admin |= more.admin;
        // Without a limit it is everywhere, and for ever.
        if self.from.is_empty() || more.from.is_empty() {
            self.from.clear();
        } else {
            join(&mut self.from, more.from);
        }
        self.expires = self.expires.zip(more.expires).map(|(ours, more)| ours.max(more));
        self
    }

    /// The same limits of address and time as `other`.
    #[must_use]
    pub fn limited_as(mut self, other: &Rights) -> Self {
        (self.from, self.expires) = (other.from.clone(), other.expires);
        self
    }

    /// It counts now, and from that address.
    pub fn hold(&self, from: IpAddr, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
            && (self.from.is_empty() || self.from.iter().any(|network| network.covers(from)))
    }

    /// When it stops to count.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}

impl FromStr for Rights {
    type Err = ParseRightsError;

    fn from_str(options: &str) -> Result<Self, ParseRightsError> {
        let mut rights = Rights::default();
        for option in split_options(options)? {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.trim_matches('"'))),
                None => (option, None),
            };
            match (name, value) {
                ("admin", None) => rights.admin = true,
                ("status", None) => rights.status = true,
                ("send", Some(list)) => rights.send = parse_list(list)?,
                ("read", Some(list)) => rights.read = parse_list(list)?,
                ("consume", Some(list)) => rights.consume = parse_list(list)?,
                ("answer", Some(list)) => rights.answer = parse_list(list)?,
                ("from", Some(list)) => rights.from = parse_list(list)?,
                ("expires", Some(time)) => rights.expires = Some(parse_time(time)?),
                _ => {
                    return Err(ParseRightsError(format!(
                        "`{option}` is none of `send=`, `read=`, `consume=`, `answer=`, `from=`, `expires=`, `status`, `admin`"
                    )));
                }
            }
        }
        Ok(rights)
    }
}

fn parse_list<T: FromStr<Err = ParseRightsError>>(list: &str) -> Result<Vec<T>, ParseRightsError> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::parse)
        .collect()
}

/// A day (its beginning, UTC) or a moment.
fn parse_time(text: &str) -> Result<Timestamp, ParseRightsError> {
    let moment = text.parse::<Timestamp>();
    moment
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .map_err(|_| {
            ParseRightsError(format!(
                "`{text}` is no time like 2027-01-31 or 2027-01-31T12:00:00Z"
            ))
        })
}

/// Splits at commas outside quotes.
fn split_options(options: &str) -> Result<Vec<&str>, ParseRightsError> {
    let mut parts = Vec::new();
    let mut quoted = false;
    let mut start = 0;
    for (at, byte) in options.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&options[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return Err(ParseRightsError("a quotation mark is not closed".to_owned()));
    }
    parts.push(&options[start..]);
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(name: &str, items: &[T]) -> String {
            let items: Vec<String> = items.iter().map(T::to_string).collect();
            format!("{name}=\"{}\"", items.join(","))
        }
        let mut options = vec![list("send", &self.send)];
        if !self.read.is_empty() {
            options.push(list("read", &self.read));
        }
        if !self.consume.is_empty() {
            options.push(list("consume", &self.consume));
        }
        if !self.answer.is_empty() {
            options.push(list("answer", &self.answer));
        }
        if !self.from.is_empty() {
            options.push(list("from", &self.from));
        }
        if let Some(end) = self.expires {
            options.push(format!("expires={end}"));
        }
        if self.status {
            options.push("status".to_owned());
        }
        if self.admin {
            options.push("admin".to_owned());
        }
        f.write_str(&options.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(name: &str) -> MailboxName {
        name.parse().unwrap()
    }

    #[test]
    fn a_key_without_options_sends_to_inbox_and_reads_nothing() {
        let rights: Rights = "".parse().unwrap();
        assert_eq!(rights, Rights::default());
        assert!(rights.may_send(&mailbox("inbox")));
        assert!(!rights.may_send(&mailbox("other")));
        assert!(!rights.may_read(&mailbox("inbox")));
    }

    #[test]
    fn options_are_read_and_written() {
        let text = "send=\"inbox,logs/*\",read=\"*\",from=\"10.0.0.0/8,fd00::/8\",expires=2027-01-01T00:00:00Z,status,admin";
        let rights: Rights = text.parse().unwrap();
        assert_eq!(rights.to_string(), text);
        assert_eq!(
            "expires=2027-01-01".parse::<Rights>().unwrap().expires(),
            rights.expires()
        );
        for bad in [
            "sned=x",
            "send",
            "send=A",
            "from=10.0.0.0/33",
            "expires=soon",
            "send=\"a",
        ] {
            assert!(bad.parse::<Rights>().is_err(), "{bad}");
        }
    }

    /// A key that might only read answered other people's questions, and took messages from their workers.
    #[test]
    fn looking_consuming_and_answering_are_three_rights() {
        let rights = |text: &str| text.parse::<Rights>().unwrap();
        let (jobs, worker): (_, CursorName) = (mailbox("jobs"), "worker".parse().unwrap());
        let may = |text: &str| {
            let rights = rights(text);
            (
                rights.may_read(&jobs),
                rights.may_consume(&jobs, &worker),
                rights.may_answer(&jobs),
            )
        };
        assert_eq!(may("read=jobs"), (true, false, false));
        assert_eq!(may("consume=jobs"), (false, true, false));
        assert_eq!(may("consume=jobs:worker"), (false, true, false));
        assert_eq!(may("consume=jobs:other"), (false, false, false));
        assert_eq!(may("consume=*:worker,answer=jobs"), (false, true, true));
        assert_eq!(may("admin"), (true, true, true));
        for text in [
            "consume=jobs:",
            "consume=:x",
            "consume=jobs:a:b",
            "consume=jobs:A",
        ] {
            assert!(text.parse::<Rights>().is_err(), "{text}");
        }
        let shown = rights("consume=jobs/*:worker,answer=jobs").to_string();
        assert_eq!(shown, "send=\"inbox\",consume=\"jobs/*:worker\",answer=\"jobs\"");
        assert_eq!(rights(&shown), rights("consume=jobs/*:worker,answer=jobs"));
    }

    #[test]
    fn below_does_not_mean_itself_or_its_neighbours() {
        let rights: Rights = "send=logs/*".parse().unwrap();
        assert!(rights.may_send(&mailbox("logs/a")) && rights.may_send(&mailbox("logs/a/b")));
        assert!(!rights.may_send(&mailbox("logs")) && !rights.may_send(&mailbox("logs2")));
    }

    #[test]
    fn address_and_time_limit_a_key() {
        let rights: Rights = "from=10.1.0.0/16,expires=2027-01-01".parse().unwrap();
        let before: Timestamp = "2026-12-31T23:59:59Z".parse().unwrap();
        let after: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let inside: IpAddr = "10.1.2.3".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        let outside: IpAddr = "10.2.0.1".parse().unwrap();
        assert!(rights.hold(inside, before) && rights.hold(mapped, before));
        assert!(!rights.hold(outside, before) && !rights.hold(inside, after));
    }
}
