//! Replies that are kept in memory.

use std::collections::{HashMap, VecDeque};

use tenfour_proto::{ProducerId, Reply, Sender};

use crate::policy::REPLY_HOURS;

/// What a reply costs beside its bytes.
pub(crate) const OVERHEAD: u64 = 200;

/// Who asked: sender, producer, sequence.
pub(crate) type Asked = (Sender, ProducerId, u64);

/// By whom they are for, and in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// With the hour in which each came.
    kept: HashMap<Asked, (i64, Reply)>,
    order: VecDeque<(i64, Asked)>,
}

impl Replies {
    /// Keeps the first reply; gives what it costs.
    pub(crate) fn put(&mut self, asked: &Asked, reply: &Reply, hours: i64) -> Option<u64> {
        if self.kept.contains_key(asked) {
            return None;
        }
        self.kept.insert(asked.clone(), (hours, reply.clone()));
        self.order.push_back((hours, asked.clone()));
        Some(size(reply))
    }

    /// The reply, unless it is old: nobody may have swept since.
    pub(crate) fn find(&self, asked: &Asked, hours: i64) -> Option<Reply> {
        let (came, reply) = self.kept.get(asked)?;
        (!is_old(*came, hours)).then(|| reply.clone())
    }

    /// Forgets what is old; gives what it cost.
    pub(crate) fn sweep(&mut self, hours: i64) -> u64 {
        let mut freed = 0;
        while self.order.front().is_some_and(|(came, _)| is_old(*came, hours))
            && let Some((_, asked)) = self.order.pop_front()
        {
            freed += self.kept.remove(&asked).map_or(0, |(_, reply)| size(&reply));
        }
        freed
    }
}

fn is_old(came: i64, hours: i64) -> bool {
    came <= hours - REPLY_HOURS
}

/// What a reply costs.
fn size(reply: &Reply) -> u64 {
    reply.body.len() as u64 + OVERHEAD
}
