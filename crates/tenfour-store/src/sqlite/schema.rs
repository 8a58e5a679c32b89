//! The tables, and the steps between their versions.

use rusqlite::Connection;

use super::format::Format;

/// A store.
pub(super) const STORE: Format = Format {
    // `10-4` in ASCII.
    application: 0x3130_2d34,
    create,
    upgrades: &[REMOVED],
};

/// Pages of 8 KiB hold seven messages of 1 KiB where 4 KiB ones hold three and waste the rest.
pub(super) const PAGE_SIZE: u32 = 8192;

const TABLES: &str = "
CREATE TABLE store(
    id      BLOB NOT NULL,             -- 16 random bytes
    created INTEGER NOT NULL,          -- microseconds since 1970-01-01 UTC
    hours   INTEGER NOT NULL           -- how long the store has been open in all: ages count in these
) STRICT;
CREATE TABLE mailbox(
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    bytes   INTEGER NOT NULL,          -- of bodies up to the offset `counted`, as far as they are kept
    pseudo  INTEGER NOT NULL,          -- of these, of senders without a key; since version 2, what their messages cost
    counted INTEGER NOT NULL,
    gone INTEGER NOT NULL              -- up to here messages were deleted; none of these offsets is given again
) STRICT;
CREATE TABLE sender(
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE          -- a fingerprint, or a pseudo-sender
) STRICT;
CREATE TABLE stream(
    id      INTEGER PRIMARY KEY,
    sender  INTEGER NOT NULL REFERENCES sender(id),
    stream  BLOB NOT NULL,             -- 16 bytes; zero for messages without a stream
    kind    INTEGER NOT NULL,          -- 0 one-shot, 1 outbox, 2 forgotten: only its messages are left, 3 datagram
    mark    INTEGER NOT NULL,          -- the highest sequence settled
    first   INTEGER,                   -- the run that ends at the mark
    count   INTEGER,
    mailbox INTEGER,
    offset  INTEGER,
    used    INTEGER NOT NULL,          -- the store's hours at its last use
    UNIQUE(sender, stream)
) STRICT;
-- Counts the kinds of a sender. One-shot streams, of which there are many, are not in it.
CREATE INDEX stream_kind ON stream(sender, kind) WHERE kind <> 0;
CREATE TABLE run(                      -- the runs before the last one
    stream  INTEGER NOT NULL REFERENCES stream(id),
    first   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    PRIMARY KEY(stream, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE message(
    id       INTEGER PRIMARY KEY,      -- mailbox << 48 | offset
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,         -- 0 without a stream
    time     INTEGER NOT NULL,         -- microseconds since 1970-01-01 UTC
    checksum INTEGER NOT NULL,
    body     BLOB NOT NULL,
    source   TEXT,                     -- the listener, and the peer's address: 'text [::1]:36702'; null: native
    type     TEXT,
    name     TEXT,
    asks     INTEGER,                  -- 1: its sender wants a reply
    origin   TEXT                      -- of a dead letter, where it was first: 'inbox 41'
) STRICT;
CREATE TABLE age(                      -- of mailboxes that keep their messages for a time only
    mailbox INTEGER NOT NULL REFERENCES mailbox(id),
    hours   INTEGER NOT NULL,          -- in this hour of the store
    last    INTEGER NOT NULL,          -- this was its last offset
    PRIMARY KEY(mailbox, hours)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor(
    id      INTEGER PRIMARY KEY,
    mailbox TEXT NOT NULL,
    name    TEXT NOT NULL,
    floor   INTEGER NOT NULL,          -- all messages up to here are done
    used    INTEGER NOT NULL,          -- the store's hours at its last use
    UNIQUE(mailbox, name)
) STRICT;
CREATE TABLE given(                    -- messages above the floor that readers have begun with
    cursor   INTEGER NOT NULL REFERENCES cursor(id),
    offset   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    done     INTEGER NOT NULL,         -- 1: nobody gets it again
    PRIMARY KEY(cursor, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE reply(                    -- to messages that asked; kept for an hour or two
    id       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES stream(id),
    sequence INTEGER NOT NULL,
    hours    INTEGER NOT NULL,         -- the store's hours when it came
    code     INTEGER,                  -- null: no handler could do it
    checksum INTEGER NOT NULL,
    body     BLOB NOT NULL,
    UNIQUE(stream, sequence)
) STRICT;
CREATE VIEW messages AS
    SELECT mailbox.name AS mailbox,
           message.id & 0xffffffffffff AS offset,
           strftime('%Y-%m-%dT%H:%M:%fZ', message.time / 1e6, 'unixepoch') AS time,
           sender.name AS sender,
           CASE WHEN sequence > 0 THEN lower(hex(stream.stream)) END AS stream,
           nullif(sequence, 0) AS sequence,
           ifnull(substr(source, 1, instr(source || ' ', ' ') - 1), 'native') AS listener,
           nullif(substr(source, instr(source || ' ', ' ') + 1), '') AS address,
           message.type AS type,
           message.name AS name,
           origin,
           length(message.body) AS bytes,
           CAST(message.body AS TEXT) AS text
      FROM message
      JOIN mailbox ON mailbox.id = message.id >> 48
      JOIN stream ON stream.id = message.stream
      JOIN sender ON sender.id = stream.sender
     ORDER BY message.id;
";

/// Version 2: mailboxes can be removed, and `pseudo` is what messages cost and no longer the length of their bodies, so all
/// is counted anew.
const REMOVED: &str = "
CREATE TABLE removed(                  -- mailboxes that nobody sees, until somebody sends to them again
    mailbox INTEGER PRIMARY KEY REFERENCES mailbox(id)
) STRICT;
UPDATE mailbox SET bytes = 0, pseudo = 0, counted = 0;
";

fn create(connection: &Connection, id: [u8; 16], now: i64) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute(
        "INSERT INTO store(id, created, hours) VALUES (?1, ?2, 0)",
        (id, now),
    )?;
    Ok(())
}
