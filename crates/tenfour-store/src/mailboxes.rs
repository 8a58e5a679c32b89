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
    /// It was removed: nobody sees it, and its offsets go on when it is used again.
    pub(crate) is_removed: bool,
    /// It is used again since the last commit.
    pub(crate) is_revived: bool,
}

/// All mailboxes. Small: there are at most [`MAX_MAILBOXES`], and those that were removed.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    all: Vec<Mailbox>,
    by_name: HashMap<MailboxName, usize>,
    /// Messages come in stretches for one mailbox.
    latest: usize,
    /// Those that were not removed.
    live: usize,
}

impl Mailboxes {
    /// Adds a mailbox that exists already.
    pub(crate) fn load(&mut self, id: i64, name: MailboxName, last: u64, is_removed: bool) {
        self.by_name.insert(name.clone(), self.all.len());
        self.live += usize::from(!is_removed);
        self.all.push(Mailbox {
            id,
            name,
            last,
            raised: false,
            is_new: false,
            is_removed,
            is_revived: false,
        });
    }

    /// Nobody sees it any more.
    pub(crate) fn remove(&mut self, id: i64) {
        if let Some(mailbox) = self
            .all
            .iter_mut()
            .find(|mailbox| mailbox.id == id && !mailbox.is_removed)
        {
            mailbox.is_removed = true;
            self.live -= 1;
        }
    }

    /// The mailbox of that name, made if it is new; `None` if there are too many.
    pub(crate) fn open(&mut self, name: &MailboxName) -> Option<&mut Mailbox> {
        let index = match self.all.get(self.latest) {
            Some(latest) if latest.name == *name => self.latest,
            _ => match self.by_name.get(name) {
                Some(index) => *index,
                None if self.is_full_for(name) => return None,
                None => {
                    let id = self.all.iter().map(|mailbox| mailbox.id).max().unwrap_or(0) + 1;
                    self.load(id, name.clone(), 0, false);
                    let index = self.all.len() - 1;
                    if let Some(mailbox) = self.all.get_mut(index) {
                        mailbox.is_new = true;
                    }
                    index
                }
            },
        };
        self.latest = index;
        let is_full = self.is_full_for(name);
        let mailbox = self.all.get_mut(index)?;
        if mailbox.is_removed {
            if is_full {
                return None;
            }
            (mailbox.is_removed, mailbox.is_revived) = (false, true);
            self.live += 1;
        }
        Some(mailbox)
    }

    /// There are as many as there may be. `inbox` is always there, and so is a place for what nobody could handle: there are
    /// no more of those than cursors.
    fn is_full_for(&self, name: &MailboxName) -> bool {
        let is_kept_free = *name == MailboxName::inbox() || name.as_str().starts_with("dead/");
        self.live >= MAX_MAILBOXES && !is_kept_free
    }

    /// The number of a mailbox that exists.
    pub(crate) fn find(&self, name: &MailboxName) -> Option<i64> {
        self.get(name).map(|mailbox| mailbox.id)
    }

    /// A mailbox that exists.
    pub(crate) fn get(&self, name: &MailboxName) -> Option<&Mailbox> {
        let index = self.by_name.get(name)?;
        self.all.get(*index).filter(|mailbox| !mailbox.is_removed)
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
                    is_revived: std::mem::take(&mut mailbox.is_revived),
                    ..mailbox.clone()
                }
            })
            .collect()
    }
}
