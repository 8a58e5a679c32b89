//! Which server gives out which messages of a cursor.

use tenfour_proto::{CursorName, MailboxName};
use tenfour_store::{AckState, Portion};

use crate::error::Trouble;
use crate::session::Session;
use crate::sql::last_offset;
use crate::writer::Writer;

/// So far the messages that are drawn may be ahead of those that are all done.
const AHEAD: i64 = 4_096;

/// A server that was not seen for so long has lost its messages, and its place: it cannot say that it is there.
const LOST: &str = "DELETE FROM lane WHERE seen < now() - interval '15 seconds'
    AND id IN (SELECT lane FROM block WHERE cursor = $1)";

/// Blocks that nobody has, those of servers that are gone, and with $3 those of this one.
const FREE: &str = "UPDATE block SET lane = $2 WHERE cursor = $1 AND first IN (
        SELECT first FROM block WHERE cursor = $1 AND (lane IS NULL OR $3 AND lane = $2
            OR NOT EXISTS (SELECT 1 FROM lane WHERE lane.id = block.lane))
        ORDER BY first LIMIT 16)
    RETURNING first, last";

/// Draws what is free, or else what is new, within one transaction.
pub(crate) fn draw(
    store: &mut Writer,
    session: &Session,
    mailbox: &MailboxName,
    name: &CursorName,
    most: u64,
    is_first: bool,
    plan: &mut Option<Portion>,
) -> Result<(), Trouble> {
    let (client, lane) = (session.client(), store.lane.id);
    let (mailbox, name) = (mailbox.as_str(), name.as_str());
    let portion = session.run(async {
        store.lane.begin(session, Some(store.demand)).await?;
        let found = client
            .query_opt(
                "SELECT id, floor, next FROM cursor WHERE mailbox = $1 AND name = $2 FOR NO KEY UPDATE",
                &[&mailbox, &name],
            )
            .await?;
        let mut portion = Portion::default();
        let Some(found) = found else { return Ok(portion) };
        let (cursor, floor, next): (i32, i64, i64) = (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
        let end = client
            .query_opt(
                concat!("SELECT ", last_offset!(), " FROM mailbox WHERE name = $1"),
                &[&mailbox],
            )
            .await?;
        let end: i64 = end.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        portion.end = end.unsigned_abs();
        client.execute(LOST, &[&cursor]).await?;
        for row in client.query(FREE, &[&cursor, &lane, &is_first]).await? {
            let (first, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            portion.ranges.push((first.unsigned_abs(), last.unsigned_abs()));
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let new = most.min(end - next + 1).min(AHEAD - (next - 1 - floor));
        if portion.ranges.is_empty() && new > 0 {
            let last = next + new - 1;
            client
                .execute(
                    "INSERT INTO block(cursor, first, last, lane) VALUES ($1, $2, $3, $4)",
                    &[&cursor, &next, &last, &lane],
                )
                .await?;
            client
                .execute("UPDATE cursor SET next = $2 WHERE id = $1", &[&cursor, &(last + 1)])
                .await?;
            portion.ranges.push((next.unsigned_abs(), last.unsigned_abs()));
        }
        portion.ranges.sort_unstable();
        let firsts: Vec<i64> = portion.ranges.iter().map(|(first, _)| *first as i64).collect();
        let lasts: Vec<i64> = portion.ranges.iter().map(|(_, last)| *last as i64).collect();
        let states = client
            .query(
                "SELECT \"offset\", attempts, done FROM given
                   JOIN unnest($2::bigint[], $3::bigint[]) AS wanted(first, last) ON \"offset\" BETWEEN first AND last
                  WHERE cursor = $1",
                &[&cursor, &firsts, &lasts],
            )
            .await?;
        for row in states {
            let state = AckState {
                attempts: row.try_get::<_, i32>(1)?.unsigned_abs(),
                done: row.try_get(2)?,
            };
            portion.states.push((row.try_get::<_, i64>(0)?.unsigned_abs(), state));
        }
        Ok(portion)
    })?;
    *plan = Some(portion);
    session.run(store.lane.end(session))
}
