//! The mailboxes of a store, with their last offsets, as the writer sees them.

use std::collections::HashMap;

use tenfour_proto::{MailboxName, Sender};

use crate::MAX_MAILBOXES;

/// One mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its number, from 1, never used again.
    pub id: i64,
    /// Its name.
    pub name: MailboxName,
    /// The highest offset given.
    pub last: u64,
    /// `last` was raised since the last commit.
    pub raised: bool,
    /// It has no row yet.
    pub is_new: bool,
    /// It was removed: nobody sees it, and its offsets go on when it is used again.
    pub is_removed: bool,
    /// It is used again since the last commit.
    pub is_revived: bool,
    /// Whose share it is taken from.
    maker: Option<Sender>,
}

impl Mailbox {
    /// Whose share of the mailboxes it is of.
    pub fn maker(&self) -> Option<&Sender> {
        self.maker.as_ref()
    }
}

/// All mailboxes. Small: there are at most [`MAX_MAILBOXES`], and those that were removed.
#[derive(Debug, Default)]
pub struct Mailboxes {
    all: Vec<Mailbox>,
    by_name: HashMap<MailboxName, usize>,
    /// Messages come in stretches for one mailbox.
    latest: usize,
    /// Those that were not removed.
    live: usize,
    /// Of them, how many a sender has made.
    made: HashMap<Sender, usize>,
}

impl Mailboxes {
    /// Adds a mailbox that exists already; its oldest message says who has made it.
    pub fn load(&mut self, id: i64, name: MailboxName, last: u64, is_removed: bool, maker: Option<Sender>) {
        self.by_name.insert(name.clone(), self.all.len());
        let maker = maker.filter(|_| !is_kept_free(&name));
        if !is_removed {
            self.live += 1;
            self.count_made(maker.as_ref());
        }
        self.all.push(Mailbox {
            maker,
            id,
            name,
            last,
            raised: false,
            is_new: false,
            is_removed,
            is_revived: false,
        });
    }

    /// Takes over how another server has left a mailbox that may be known here.
    pub fn place(&mut self, id: i64, name: MailboxName, last: u64, is_removed: bool, maker: Option<Sender>) {
        let known = self.by_name.get(&name).and_then(|index| self.all.get_mut(*index));
        let Some(known) = known else {
            return self.load(id, name, last, is_removed, maker);
        };
        (known.id, known.last) = (id, last);
        if is_removed {
            self.remove(id);
        } else if known.is_removed {
            let maker = maker.filter(|_| !is_kept_free(&name));
            (known.is_removed, known.maker) = (false, maker.clone());
            self.live += 1;
            self.count_made(maker.as_ref());
        }
    }

    /// There is a mailbox of that number, of which nothing but the name may be known.
    pub fn know(&mut self, id: i64, name: MailboxName) {
        if !self.by_name.contains_key(&name) {
            self.load(id, name, 0, false, None);
        }
    }

    /// Nobody sees it any more.
    pub fn remove(&mut self, id: i64) {
        if let Some(mailbox) = self
            .all
            .iter_mut()
            .find(|mailbox| mailbox.id == id && !mailbox.is_removed)
        {
            mailbox.is_removed = true;
            self.live -= 1;
            let made = mailbox.maker.take().and_then(|maker| self.made.get_mut(&maker));
            if let Some(made) = made {
                *made -= 1;
            }
        }
    }

    fn count_made(&mut self, maker: Option<&Sender>) {
        match maker.and_then(|maker| self.made.get_mut(maker)) {
            Some(made) => *made += 1,
            None => self.made.extend(maker.map(|maker| (maker.clone(), 1))),
        }
    }

    /// The mailbox of that name, made by the sender if it is new; `None` if there are too many, or too many of that sender.
    pub fn open(&mut self, name: &MailboxName, maker: Option<&Sender>) -> Option<&mut Mailbox> {
        let index = match self.all.get(self.latest) {
            Some(latest) if latest.name == *name => self.latest,
            _ => match self.by_name.get(name) {
                Some(index) => *index,
                None if self.is_full_for(name, maker) => return None,
                None => {
                    let id = self.all.iter().map(|mailbox| mailbox.id).max().unwrap_or(0) + 1;
                    self.load(id, name.clone(), 0, false, maker.cloned());
                    let index = self.all.len() - 1;
                    if let Some(mailbox) = self.all.get_mut(index) {
                        mailbox.is_new = true;
                    }
                    index
                }
            },
        };
        self.latest = index;
        if self.all.get(index)?.is_removed {
            if self.is_full_for(name, maker) {
                return None;
            }
            let maker = maker.filter(|_| !is_kept_free(name));
            self.live += 1;
            self.count_made(maker);
            let mailbox = self.all.get_mut(index)?;
            (mailbox.is_removed, mailbox.is_revived) = (false, true);
            mailbox.maker = maker.cloned();
        }
        self.all.get_mut(index)
    }

    /// There are as many as there may be, or as many of that sender: each leaves as much free as it has, so that one alone gets
    /// half, and whoever comes after it gets some.
    fn is_full_for(&self, name: &MailboxName, maker: Option<&Sender>) -> bool {
        let free = MAX_MAILBOXES.saturating_sub(self.live);
        let made = maker.and_then(|maker| self.made.get(maker)).copied().unwrap_or(0);
        made >= free && !is_kept_free(name)
    }

    /// The number of a mailbox that exists.
    pub fn find(&self, name: &MailboxName) -> Option<i64> {
        self.get(name).map(|mailbox| mailbox.id)
    }

    /// A mailbox that exists.
    pub fn get(&self, name: &MailboxName) -> Option<&Mailbox> {
        let index = self.by_name.get(name)?;
        self.all.get(*index).filter(|mailbox| !mailbox.is_removed)
    }

    /// The mailbox with that number, also one that was removed.
    pub fn by_id(&self, id: i64) -> Option<&Mailbox> {
        // Ids count from 1 in the order of loading, unless a file was edited by hand.
        let guess = usize::try_from(id - 1).ok().and_then(|index| self.all.get(index));
        guess
            .filter(|mailbox| mailbox.id == id)
            .or_else(|| self.all.iter().find(|mailbox| mailbox.id == id))
    }

    /// All of them, also those that were removed.
    pub fn iter(&self) -> impl Iterator<Item = &Mailbox> {
        self.all.iter()
    }

    /// The mailboxes whose last offset was raised since the last call.
    pub fn take_raised(&mut self) -> Vec<Mailbox> {
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

/// `inbox` is always there, and so is a place for what nobody could handle: there are no more of those than cursors.
fn is_kept_free(name: &MailboxName) -> bool {
    name.as_str() == MailboxName::INBOX || name.as_str().starts_with("dead/")
}
