//! The mailboxes of the database, as all servers have left them.

use tenfour_proto::MailboxName;
use tenfour_store::ledger::Mailboxes;

use crate::error::Trouble;
use crate::sql::last_offset;

/// Nobody else appends to these meanwhile. In the order of their numbers, so that two commits never wait for each other.
pub(crate) const LOCK: &str = "SELECT id FROM mailbox WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// Behind the lock, in a statement of its own: it sees what was committed while the lock was waited for.
pub(crate) const ENDS: &str = concat!(
    "SELECT id, name, maker, removed, ",
    last_offset!(),
    " FROM mailbox WHERE name = ANY($1)"
);

/// All of them, with their sizes.
pub(crate) const ALL: &str = concat!(
    "SELECT mailbox.id, name, maker, removed, ",
    last_offset!(),
    ", mailbox.bytes + coalesce(since.bytes, 0), mailbox.synthetic + coalesce(since.synthetic, 0), since.packs
    FROM mailbox LEFT JOIN LATERAL (
        SELECT sum(bytes)::bigint AS bytes, sum(synthetic)::bigint AS synthetic, count(*) AS packs
          FROM pack WHERE pack.mailbox = mailbox.id AND last > counted) AS since ON true
    ORDER BY mailbox.id"
);

pub(crate) const INSERT: &str =
    "INSERT INTO mailbox(id, name, maker, gone, removed, counted, bytes, synthetic)
    SELECT id, name, maker, 0, false, 0, 0, 0 FROM unnest($1::integer[], $2::text[], $3::text[]) AS new(id, name, maker)";

pub(crate) const REVIVE: &str = "UPDATE mailbox SET removed = false, maker = new.maker
    FROM unnest($1::integer[], $2::text[], $3::text[]) AS new(id, name, maker) WHERE mailbox.id = new.id";

/// Takes over what another server, or this one, has left in a row of [`ENDS`].
pub(crate) fn place(mailboxes: &mut Mailboxes, row: &tokio_postgres::Row) -> Result<(), Trouble> {
    let name: &str = row.try_get(1)?;
    let Ok(name) = name.parse::<MailboxName>() else {
        return Ok(());
    };
    let maker = row
        .try_get::<_, Option<&str>>(2)?
        .and_then(|maker| maker.parse().ok());
    let last = row.try_get::<_, i64>(4)? as u64;
    mailboxes.place(
        row.try_get::<_, i32>(0)?.into(),
        name,
        last,
        row.try_get(3)?,
        maker,
    );
    Ok(())
}
