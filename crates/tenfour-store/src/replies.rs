//! Replies that are kept in memory.

use std::collections::{HashMap, VecDeque};

use tenfour_proto::{Reply, Sender, StreamId};

use crate::policy::REPLY_HOURS;

/// What a reply costs beside its bytes.
const OVERHEAD: u64 = 200;

/// Who asked: sender, stream, sequence.
pub(crate) type Asked = (Sender, StreamId, u64);

/// By whom they are for, and in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    kept: HashMap<Asked, Reply>,
    order: VecDeque<(i64, Asked)>,
}

impl Replies {
    /// Keeps the first reply; gives what it costs.
    pub(crate) fn put(&mut self, asked: &Asked, reply: &Reply, hours: i64) -> Option<u64> {
        if self.kept.contains_key(asked) {
            return None;
        }
        self.kept.insert(asked.clone(), reply.clone());
        self.order.push_back((hours, asked.clone()));
        Some(size(reply))
    }

    pub(crate) fn find(&self, asked: &Asked) -> Option<Reply> {
        self.kept.get(asked).cloned()
    }

    /// Forgets what is old; gives what it cost.
    pub(crate) fn sweep(&mut self, hours: i64) -> u64 {
        let mut freed = 0;
        while let Some((_, asked)) = self.order.pop_front_if(|(came, _)| *came <= hours - REPLY_HOURS) {
            freed += self.kept.remove(&asked).as_ref().map_or(0, size);
        }
        freed
    }
}

/// What a reply costs.
pub(crate) fn size(reply: &Reply) -> u64 {
    reply.body.len() as u64 + OVERHEAD
}
