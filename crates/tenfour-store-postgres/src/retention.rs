//! What mailboxes keep, and what is on its way out.

use std::collections::{HashMap, HashSet};

use tenfour_store::ledger::Mailbox;
use tenfour_store::{Retain, Rules};

/// The rules, and what is on its way out by them.
#[derive(Default)]
pub(crate) struct Retention {
    rules: Option<Rules>,
    /// What each mailbox keeps, by its number.
    pub(crate) known: HashMap<i64, Retain>,
    /// The hour in which ages were noted last.
    pub(crate) noted: Option<i64>,
    /// Messages up to here are old enough, by the number of the mailbox.
    pub(crate) old: HashMap<i64, u64>,
    /// Mailboxes of which it has been said in this hour that a cursor holds messages back.
    pub(crate) said: HashMap<i64, i64>,
    /// Mailboxes that take no more of strangers: what would have to go is a key's.
    pub(crate) closed: HashSet<i64>,
    /// The hour in which old producers were forgotten last.
    pub(crate) swept: Option<i64>,
}

impl Retention {
    pub(crate) fn by(rules: Rules) -> Self {
        Retention {
            rules: Some(rules),
            ..Retention::default()
        }
    }

    pub(crate) fn closed_to_strangers(&self) -> &HashSet<i64> {
        &self.closed
    }

    /// Asks the rules of mailboxes that are new.
    pub(crate) fn know<'a>(&mut self, mailboxes: impl Iterator<Item = &'a Mailbox>) {
        let Some(rules) = &self.rules else { return };
        for mailbox in mailboxes {
            self.known
                .entry(mailbox.id)
                .or_insert_with(|| rules(&mailbox.name));
        }
    }
}
