//! What an address below `/v1/mailboxes/` means. Mailboxes have slashes in their names, so the end decides.

use tenfour_proto::MailboxName;

use super::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `MAILBOX/messages`
    Messages(MailboxName),
    /// `MAILBOX/messages/OFFSET`
    Message(MailboxName, u64),
}

impl Resource {
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        if let Some(name) = path.strip_suffix("/messages") {
            return mailbox(name).map(Resource::Messages);
        }
        match path.rsplit_once("/messages/") {
            Some((name, offset)) if offset.bytes().all(|byte| byte.is_ascii_digit()) => {
                let offset = offset
                    .parse()
                    .map_err(|_| Problem::bad("bad-offset", format!("`{offset}` is no offset")))?;
                Ok(Resource::Message(mailbox(name)?, offset))
            }
            _ => Err(Problem::not_found(&format!("/v1/mailboxes/{path}"))),
        }
    }
}

/// A short address is a mailbox's name, but not below `/v1` and `/-`: there it is a typing error in another address, which
/// would make a mailbox. Such a mailbox has the long address.
pub(super) fn not_reserved(name: &str) -> Result<(), Problem> {
    match name.split('/').next() {
        Some("v1" | "-") => Err(Problem::not_found(&format!("/{name}; see /v1/openapi.json"))),
        _ => Ok(()),
    }
}

/// The name of a mailbox in an address.
pub(super) fn mailbox(name: &str) -> Result<MailboxName, Problem> {
    name.parse()
        .map_err(|error| Problem::bad("bad-mailbox", format!("mailbox `{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_decides() {
        let name = |name: &str| name.parse::<MailboxName>().unwrap();
        for (path, resource) in [
            ("inbox/messages", Resource::Messages(name("inbox"))),
            ("a/messages/messages", Resource::Messages(name("a/messages"))),
            ("a/b/messages/17", Resource::Message(name("a/b"), 17)),
            ("a/messages/1/messages", Resource::Messages(name("a/messages/1"))),
            (
                "a/messages/1/messages/2",
                Resource::Message(name("a/messages/1"), 2),
            ),
        ] {
            assert_eq!(Resource::parse(path).unwrap(), resource, "{path}");
        }
        for bad in [
            "inbox",
            "messages",
            "/messages",
            "inbox/messages/",
            "inbox/messages/x",
            "inbox/messages/99999999999999999999",
            "Inbox/messages",
        ] {
            assert!(Resource::parse(bad).is_err(), "{bad}");
        }
    }
}
