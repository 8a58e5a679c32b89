//! Who may make one more cursor. There is a ceiling for all, and a key must not use it up alone.

use std::collections::HashMap;

use tenfour_proto::{CursorName, Fingerprint, MailboxName};
use tenfour_store::MAX_CURSORS;

/// Of all cursors, what other keys leave to the server's own.
const KEPT_FREE: usize = 32;

/// The cursors that keys have made since the server started.
#[derive(Default)]
pub(super) struct CursorShares {
    makers: HashMap<(MailboxName, CursorName), Fingerprint>,
}

impl CursorShares {
    /// A key makes a cursor where the store has so many. False if it may not: each leaves as many free as it has, so that one
    /// alone gets half, and whoever comes after it gets some.
    pub(super) fn take(&mut self, key: Fingerprint, cursor: &(MailboxName, CursorName), all: usize) -> bool {
        // Some may be on their way to the store.
        let free = MAX_CURSORS.saturating_sub(all.max(self.makers.len()) + KEPT_FREE);
        let made = self.makers.values().filter(|maker| **maker == key).count();
        let may = made < free || self.makers.contains_key(cursor);
        if may {
            self.makers.insert(cursor.clone(), key);
        }
        may
    }

    /// A cursor was removed, or all of a mailbox.
    pub(super) fn give_back(&mut self, mailbox: &MailboxName, cursor: Option<&CursorName>) {
        self.makers
            .retain(|(of, name), _| of != mailbox || cursor.is_some_and(|cursor| cursor != name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(number: usize) -> (MailboxName, CursorName) {
        (MailboxName::inbox(), format!("c{number}").parse().unwrap())
    }

    /// One key that could only read took all 1,024, for good.
    #[test]
    fn one_key_gets_half_and_the_next_one_some() {
        let mut shares = CursorShares::default();
        let key = |number| Fingerprint::from_bytes([number; 32]);
        let took = (0..MAX_CURSORS).filter(|number| shares.take(key(1), &cursor(*number), *number));
        let took = took.count();
        assert_eq!(took, (MAX_CURSORS - KEPT_FREE) / 2);
        assert!(shares.take(key(1), &cursor(0), took), "it is there already");
        assert!(shares.take(key(2), &cursor(took), took));
        assert!(!shares.take(key(2), &cursor(MAX_CURSORS), MAX_CURSORS - KEPT_FREE));
        assert!(!shares.take(key(1), &cursor(MAX_CURSORS), took + 1));
        for number in 0..3 {
            let (mailbox, name) = cursor(number);
            shares.give_back(&mailbox, Some(&name));
        }
        assert!(shares.take(key(1), &cursor(MAX_CURSORS), took - 2));
        shares.give_back(&MailboxName::inbox(), None);
        assert!(shares.makers.is_empty());
    }
}
