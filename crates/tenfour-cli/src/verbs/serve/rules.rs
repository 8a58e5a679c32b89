//! What mailboxes keep, as it was typed and as benchmarks need it.

use tenfour::store::{Retain, Rules};

use super::super::bench::load::is_of_bench;
use crate::args;

/// Bytes of bodies that a mailbox of `tenfour bench` keeps: nobody reads them, so they must not fill a disk.
pub(super) const BENCH_BYTES: u64 = 64 * 1024 * 1024;

/// The same in memory, where a small message costs more than twice its bytes.
pub(super) const BENCH_BYTES_IN_MEMORY: u64 = 24 * 1024 * 1024;

/// What mailboxes keep.
pub(super) fn rules(arguments: &args::Serve, bench_bytes: u64) -> Rules {
    let (rules, unread) = (arguments.retain.clone(), arguments.retain_unread.clone());
    Box::new(move |mailbox| {
        if is_of_bench(mailbox) {
            return Retain {
                bytes: Some(bench_bytes),
                unread: true,
                idle: true,
                ..Retain::FOREVER
            };
        }
        let rule = rules.iter().find(|(pattern, _)| pattern.covers(mailbox));
        Retain {
            unread: unread.iter().any(|pattern| pattern.covers(mailbox)),
            ..rule.map_or(Retain::FOREVER, |rule| rule.1)
        }
    })
}
