//! The tables of an outbox.

use rusqlite::Connection;

use crate::sqlite::format::Format;

/// An outbox.
pub(super) const OUTBOX: Format = Format {
    // `10-Q` in ASCII.
    application: 0x3130_2d51,
    create,
    upgrades: &[],
};

const TABLES: &str = "
CREATE TABLE outbox(
    id      BLOB NOT NULL,             -- 16 random bytes
    created INTEGER NOT NULL           -- microseconds since 1970-01-01 UTC
) STRICT;
CREATE TABLE route(                    -- a server
    id      INTEGER PRIMARY KEY,
    address TEXT NOT NULL UNIQUE,      -- HOST:PORT
    last    INTEGER NOT NULL,          -- no number up to here is given again; the messages may be further
    store   BLOB,                      -- the id of the store that messages went to
    now     BLOB,                      -- of the store that lacks some of them
    verdict INTEGER NOT NULL,          -- what to do about that: 0 nothing yet, 1 send them again, 2 go on without them
    trouble TEXT                       -- why nothing is delivered
) STRICT;
CREATE TABLE stream(                   -- a stretch of numbers without a gap
    id        INTEGER PRIMARY KEY,
    route     INTEGER NOT NULL REFERENCES route(id),
    stream    BLOB NOT NULL UNIQUE,    -- 16 random bytes
    sender    TEXT NOT NULL,           -- the fingerprint under which it is sent
    first     INTEGER NOT NULL,        -- the number of its message 1
    numbered  INTEGER NOT NULL,        -- the last number in it; on the disk before that message leaves
    settled   INTEGER NOT NULL,        -- up to here there are answers
    receipted INTEGER NOT NULL,        -- the last number with a receipt
    finished  INTEGER NOT NULL,        -- 1: the server knows that nothing of it is repeated
    lost      INTEGER                  -- from this number on the server lacks what it gave receipts for
) STRICT;
CREATE TABLE message(
    id       INTEGER PRIMARY KEY,      -- route << 48 | number
    time     INTEGER NOT NULL,         -- when it was queued, microseconds since 1970-01-01 UTC
    checksum INTEGER NOT NULL,
    mailbox  TEXT NOT NULL,
    body     BLOB NOT NULL,
    type     TEXT,
    name     TEXT,
    refused  TEXT                      -- the server's reason; such a message stays until it is dropped
) STRICT;
CREATE INDEX message_refused ON message(id) WHERE refused IS NOT NULL;
";

fn create(connection: &Connection, id: [u8; 16], now: i64) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute("INSERT INTO outbox(id, created) VALUES (?1, ?2)", (id, now))?;
    Ok(())
}
