//! The mailboxes of a store, with their last offsets, as the writer sees them.

use std::collections::HashMap;

use tenfour_proto::MailboxName;

use crate::MAX_MAILBOXES;

/// One mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    /// Its number, from 1, never used again.
    pub(crate) id: i64,
    pub(crate) name: MailboxName,
    /// The highest offset given.
    pub(crate) last: u64,
    /// `last` was raised since the last commit.
    pub(crate) raised: bool,
    /// It has no row yet.
    pub(crate) is_new: bool,
}

/// All mailboxes. Small: there are at most [`MAX_MAILBOXES`].
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    all: Vec<Mailbox>,
    by_name: HashMap<MailboxName, usize>,
    /// Messages come in stretches for one mailbox.
    latest: usize,
}

impl Mailboxes {
    /// Adds a mailbox that exists already.
    pub(crate) fn load(&mut self, id: i64, name: MailboxName, last: u64) {
        self.by_name.insert(name.clone(), self.all.len());
        self.all.push(Mailbox {
            id,
            name,
            last,
            raised: false,
            is_new: false,
        });
    }

    /// The mailbox of that name, made if it is new; `None` if there are too many.
    pub(crate) fn open(&mut self, name: &MailboxName) -> Option<&mut Mailbox> {
        let index = match self.all.get(self.latest) {
            Some(latest) if latest.name == *name => self.latest,
            _ => match self.by_name.get(name) {
                Some(index) => *index,
                None if self.all.len() >= MAX_MAILBOXES => return None,
                None => {
                    let id = self.all.iter().map(|mailbox| mailbox.id).max().unwrap_or(0) + 1;
                    self.load(id, name.clone(), 0);
                    let index = self.all.len() - 1;
                    if let Some(mailbox) = self.all.get_mut(index) {
                        mailbox.is_new = true;
                    }
                    index
                }
            },
        };
        self.latest = index;
        self.all.get_mut(index)
    }

    /// The number of a mailbox that exists.
    pub(crate) fn find(&self, name: &MailboxName) -> Option<i64> {
        let index = self.by_name.get(name)?;
        self.all.get(*index).map(|mailbox| mailbox.id)
    }

    pub(crate) fn by_id(&self, id: i64) -> Option<&Mailbox> {
        // Ids count from 1 in the order of loading, unless a file was edited by hand.
        let guess = usize::try_from(id - 1).ok().and_then(|index| self.all.get(index));
        guess
            .filter(|mailbox| mailbox.id == id)
            .or_else(|| self.all.iter().find(|mailbox| mailbox.id == id))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mailbox> {
        self.all.iter()
    }

    /// The mailboxes whose last offset was raised since the last call.
    pub(crate) fn take_raised(&mut self) -> Vec<Mailbox> {
        self.all
            .iter_mut()
            .filter(|mailbox| mailbox.raised)
            .map(|mailbox| {
                mailbox.raised = false;
                Mailbox {
                    is_new: std::mem::take(&mut mailbox.is_new),
                    ..mailbox.clone()
                }
            })
            .collect()
    }
}
