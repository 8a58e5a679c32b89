//! Runs: consecutive sequences of a stream at consecutive offsets of a mailbox.

use tenfour_store::ledger::PlacedRun;
use tokio_postgres::Row;

use crate::error::Trouble;
use crate::session::Session;

pub(crate) const INSERT: &str = "INSERT INTO run(stream, first, count, mailbox, \"offset\")
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::bigint[])";

/// A run that has begun at or before a sequence, the latest of them.
pub(crate) const EARLIER: &str = "SELECT first, count, mailbox, \"offset\" FROM run
    WHERE stream = $1 AND first <= $2 ORDER BY first DESC LIMIT 1";

/// Runs that reach beyond a sequence. The one that begins last before it may.
pub(crate) const ABOVE: &str = "SELECT first, count, run.mailbox, \"offset\", mailbox.name FROM run
    JOIN mailbox ON mailbox.id = run.mailbox
    WHERE stream = $1 AND first >= coalesce(
        (SELECT max(first) FROM run WHERE stream = $1 AND first <= $2::bigint + 1), 0) AND first + count - 1 > $2::bigint
    ORDER BY first LIMIT $3";

/// A run from columns that begin there.
pub(crate) fn placed(row: &Row, begin: usize) -> Result<PlacedRun, Trouble> {
    Ok(PlacedRun {
        first: row.try_get::<_, i64>(begin)? as u64,
        count: row.try_get::<_, i64>(begin + 1)? as u64,
        mailbox: row.try_get::<_, i32>(begin + 2)?.into(),
        offset: row.try_get::<_, i64>(begin + 3)? as u64,
    })
}

/// New runs, by column.
#[derive(Default)]
pub(crate) struct RunColumns {
    streams: Vec<i64>,
    firsts: Vec<i64>,
    counts: Vec<i64>,
    mailboxes: Vec<i32>,
    offsets: Vec<i64>,
}

impl RunColumns {
    pub(crate) fn of(runs: &[(i64, PlacedRun)]) -> Self {
        let mut columns = RunColumns::default();
        for (stream, run) in runs {
            columns.streams.push(*stream);
            columns.firsts.push(run.first as i64);
            columns.counts.push(run.count as i64);
            columns.mailboxes.push(run.mailbox as i32);
            columns.offsets.push(run.offset as i64);
        }
        columns
    }

    pub(crate) async fn insert(&self, session: &Session) -> Result<(), Trouble> {
        let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
            &self.streams,
            &self.firsts,
            &self.counts,
            &self.mailboxes,
            &self.offsets,
        ];
        session
            .client()
            .execute(session.statement(INSERT)?, &columns)
            .await?;
        Ok(())
    }
}
