//! The mailboxes of `tenfour bench`: nobody reads them, so they must not fill a disk.

use std::collections::VecDeque;

use tenfour_proto::MailboxName;

/// Bytes of bodies that all of them together may keep; the oldest go first.
pub(crate) const LIMIT: u64 = 64 * 1024 * 1024;

/// `bench`, and everything below it.
pub(crate) fn is_bench(mailbox: &MailboxName) -> bool {
    let name = mailbox.as_str();
    name == "bench" || name.starts_with("bench/")
}

/// What has been put into one of them since the store was opened, commit by commit.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Last offset and bytes of each commit that is kept.
    commits: VecDeque<(u64, u64)>,
    bytes: u64,
    /// Everything up to here may go; what an earlier opening left may go at once.
    pub(crate) expendable: u64,
}

impl Ages {
    /// Everything up to `last` was there before.
    pub(crate) fn opened(last: u64) -> Self {
        Ages {
            expendable: last,
            ..Ages::default()
        }
    }

    /// Notes a commit; `share` is what this mailbox may keep.
    pub(crate) fn note(&mut self, last: u64, bytes: u64, share: u64) {
        self.commits.push_back((last, bytes));
        self.bytes += bytes;
        while self.bytes > share
            && let Some((last, bytes)) = self.commits.pop_front()
        {
            self.bytes -= bytes;
            self.expendable = last;
        }
    }
}
