//! How many producers a sender has, and which one makes room for another.

use std::collections::HashMap;

use tenfour_proto::Sender;
use tenfour_store::ledger::Policy;

use crate::error::Trouble;
use crate::session::Session;

const COUNT: &str = "SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind <> 1)
    FROM stream JOIN sender ON sender.id = stream.sender
    WHERE sender.name = $1 AND kind <> 2 AND stream <> '\\x00000000000000000000000000000000'";

/// The oldest of a kind that stored one message at most: a device that goes on sending keeps its mark.
const OLDEST: &str = "SELECT stream.id FROM stream JOIN sender ON sender.id = stream.sender
    WHERE sender.name = $1 AND kind = $2 AND stream <> '\\x00000000000000000000000000000000'
      AND NOT EXISTS (SELECT 1 FROM run WHERE run.stream = stream.id AND first + count > 2)
    ORDER BY stream.id LIMIT 1 FOR NO KEY UPDATE OF stream SKIP LOCKED";

/// Only its messages are left, and the mark that it had.
pub(crate) const FORGET: &str = "UPDATE stream SET kind = 2, gone = coalesce(
        (SELECT first + count - 1 FROM run WHERE run.stream = stream.id ORDER BY first DESC LIMIT 1), gone)
    WHERE id = ANY($1)";

pub(crate) const FORGET_RUNS: &str = "DELETE FROM run WHERE stream = ANY($1)";

/// Producers of each sender, of an outbox and others, as they were when the sender was first met and what this server has
/// made since.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashMap<Sender, (u64, u64)>);

impl Counts {
    /// Makes room for one more producer of that sender, in the transaction of now. False: it has too many.
    pub(crate) async fn take(
        &mut self,
        session: &Session,
        sender: &Sender,
        policy: Policy,
    ) -> Result<bool, Trouble> {
        if !self.0.contains_key(sender) {
            let row = session.client().query_one(COUNT, &[&sender.to_string()]).await?;
            let number = |column| Ok::<_, Trouble>(row.try_get::<_, i64>(column)?.unsigned_abs());
            self.0.insert(sender.clone(), (number(0)?, number(1)?));
        }
        let Some((outbox, others)) = self.0.get_mut(sender) else {
            return Ok(false);
        };
        let count = if policy.kind == Policy::OUTBOX {
            outbox
        } else {
            others
        };
        if *count < policy.most {
            *count += 1;
            return Ok(true);
        }
        if !sender.is_synthetic() {
            return Ok(false);
        }
        // Nobody answers for it, so nobody may use it up: the oldest makes room.
        let kind = policy.kind as i16;
        let oldest = session
            .client()
            .query_opt(OLDEST, &[&sender.to_string(), &kind])
            .await?;
        if let Some(row) = oldest {
            forget(session, &[row.try_get(0)?]).await?;
        }
        Ok(true)
    }
}

/// Forgets producers, in the transaction of now.
pub(crate) async fn forget(session: &Session, streams: &[i64]) -> Result<(), Trouble> {
    session.client().execute(FORGET, &[&streams]).await?;
    session.client().execute(FORGET_RUNS, &[&streams]).await?;
    Ok(())
}
