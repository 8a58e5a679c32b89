//! Removes mailboxes, a piece at a time, and cursors.

use tenfour_proto::{CursorName, MailboxName};
use tenfour_store::Removal;

use crate::error::Trouble;
use crate::session::Session;
use crate::writer::Writer;
use crate::{cursors, housekeeping, mailboxes};

impl Writer {
    /// A piece of a mailbox, up to that offset; when nothing is left the mailbox itself.
    pub(crate) fn remove_piece(
        &mut self,
        session: &Session,
        mailbox: &MailboxName,
        last: Option<u64>,
        plan: &mut Option<Removal>,
    ) -> Result<(), Trouble> {
        let names = [mailbox.as_str()];
        let found = session.run(async {
            self.lane.begin(session, Some(self.demand)).await?;
            let client = session.client();
            client
                .query(session.statement(mailboxes::LOCK)?, &[&&names[..]])
                .await?;
            Ok(client
                .query_opt(session.statement(mailboxes::ENDS)?, &[&&names[..]])
                .await?)
        })?;
        let removal = match found {
            Some(row) if !row.try_get::<_, bool>(3)? => {
                mailboxes::place(&mut self.mailboxes, &row)?;
                let end = row.try_get::<_, i64>(4)?.unsigned_abs();
                self.remove_up_to(session, mailbox, row.try_get(0)?, last.unwrap_or(end), end)?
            }
            _ => Removal::Absent,
        };
        *plan = Some(removal);
        session.run(self.lane.end(session))?;
        self.sizes.looked = None;
        Ok(())
    }

    fn remove_up_to(
        &mut self,
        session: &Session,
        mailbox: &MailboxName,
        id: i32,
        last: u64,
        end: u64,
    ) -> Result<Removal, Trouble> {
        let deleted = housekeeping::delete(session, id.into(), last)?;
        if deleted >= housekeeping::PIECE.unsigned_abs() {
            return Ok(Removal::More(last));
        }
        if end > last {
            return Ok(Removal::Refilled);
        }
        session.run(async {
            let client = session.client();
            cursors::delete(session, mailbox, None).await?;
            client
                .execute("DELETE FROM age WHERE mailbox = $1", &[&id])
                .await?;
            client
                .execute(
                    "UPDATE mailbox SET removed = true, maker = NULL, gone = $2 WHERE id = $1",
                    &[&id, &(end as i64)],
                )
                .await?;
            Ok(())
        })?;
        self.mailboxes.remove(id.into());
        Ok(Removal::Done)
    }
}

/// Removes a cursor, with all that is known of it.
pub(crate) fn remove_cursor(
    store: &mut Writer,
    session: &Session,
    mailbox: &MailboxName,
    name: &CursorName,
    plan: &mut Option<Removal>,
) -> Result<(), Trouble> {
    let removed = session.run(async {
        store.lane.begin(session, Some(store.demand)).await?;
        cursors::delete(session, mailbox, Some(name)).await
    })?;
    *plan = Some(if removed == 0 {
        Removal::Absent
    } else {
        Removal::Done
    });
    session.run(store.lane.end(session))
}
