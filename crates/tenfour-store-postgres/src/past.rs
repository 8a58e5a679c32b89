//! What a producer has behind it: its mark, and its receipts.

use tenfour_proto::{ProducerId, Sender, Stored};
use tenfour_store::ledger::{self, Mailboxes, PlacedRun, Policy};

use crate::error::Trouble;
use crate::runs::{ABOVE, placed};
use crate::session::Session;

pub(crate) const STATE: &str = "SELECT stream.id, kind, gone, coalesce((
        SELECT first + count - 1 FROM run WHERE run.stream = stream.id ORDER BY first DESC LIMIT 1), 0)
    FROM stream JOIN sender ON sender.id = stream.sender WHERE sender.name = $1 AND stream.stream = $2";

/// Rows looked at for each run that is asked for: what lies side by side is one.
const ROWS: usize = 64;

/// How far a producer is.
pub(crate) struct State {
    pub(crate) row: i64,
    pub(crate) high_water_mark: u64,
    /// Its mark before it was forgotten.
    pub(crate) forgotten: u64,
}

/// What is known of a producer; `None` of one that never was.
pub(crate) fn state(
    session: &Session,
    sender: &Sender,
    producer: ProducerId,
) -> Result<Option<State>, Trouble> {
    let found = session.run(async {
        Ok(session
            .client()
            .query_opt(
                session.statement(STATE)?,
                &[&sender.to_string(), &&producer.as_bytes()[..]],
            )
            .await?)
    })?;
    let Some(row) = found else { return Ok(None) };
    let is_forgotten = i64::from(row.try_get::<_, i16>(1)?) == Policy::FORGOTTEN;
    let number = |column| Ok::<_, Trouble>(row.try_get::<_, i64>(column)?.unsigned_abs());
    Ok(Some(State {
        row: row.try_get(0)?,
        high_water_mark: if is_forgotten { 0 } else { number(3)? },
        forgotten: if is_forgotten { number(2)? } else { 0 },
    }))
}

/// The receipts of what is above `after`, of the first `most` runs.
pub(crate) fn replay(
    mailboxes: &mut Mailboxes,
    session: &Session,
    sender: &Sender,
    producer: ProducerId,
    after: u64,
    most: usize,
) -> Result<Stored, Trouble> {
    let Some(state) = state(session, sender, producer)? else {
        return Ok(ledger::replay(mailboxes, [], after, most));
    };
    let rows = most.saturating_mul(ROWS).min(1 << 20);
    let mut found: Vec<PlacedRun> = Vec::new();
    let mut from = after;
    loop {
        let read = session.run(async {
            let statement = session.statement(ABOVE)?;
            let wanted = &[
                &state.row as &(dyn tokio_postgres::types::ToSql + Sync),
                &(from as i64),
                &(rows as i64),
            ];
            Ok(session.client().query(statement, wanted).await?)
        })?;
        for row in &read {
            let run = placed(row, 0)?;
            from = run.first + run.count - 1;
            if let Ok(name) = row.try_get::<_, &str>(4)?.parse() {
                mailboxes.know(run.mailbox, name);
            }
            match found.last_mut() {
                Some(last) if last.is_followed_by(&run) => last.count += run.count,
                _ => found.push(run),
            }
        }
        // The run that comes first of those that are too many may still grow.
        if read.len() < rows || found.len() > most {
            return Ok(ledger::replay(mailboxes, found, after, most));
        }
    }
}
