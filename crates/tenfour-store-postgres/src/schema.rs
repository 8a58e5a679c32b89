//! The tables, how they are made, and what is looked at before they are used.

use crate::address::{Address, with_cause};
use crate::durability::{Demand, Settings};
use crate::error::{PostgresError, Trouble};
use crate::session::Session;
use crate::sql::settings;

/// The format of the tables.
const VERSION: i32 = 1;

/// Offsets and sequences are `bigint`; names of senders, mailboxes and the like are what they are in messages. Arrays of one
/// element stand for as many as there are messages.
const TABLES: &str = r#"
CREATE SCHEMA tenfour;
SET LOCAL search_path = tenfour;
CREATE TABLE store(
    id       bytea NOT NULL,            -- 16 random bytes
    created  timestamptz NOT NULL,
    version  integer NOT NULL,
    hours    bigint NOT NULL,           -- how long some server was there, in all: ages count in these
    ticked   timestamptz NOT NULL       -- when the hour of now began
);
CREATE TABLE lane(                      -- a server that writes
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token    bytea NOT NULL,            -- 16 random bytes, known to its process only
    epoch    bigint NOT NULL,           -- of its connections; an older one commits nothing
    since    timestamptz NOT NULL,
    seen     timestamptz NOT NULL,
    name     text NOT NULL,             -- as its machine is called
    software text NOT NULL,
    promise  text NOT NULL              -- what its receipts say, and on whose word
);
CREATE TABLE done(                      -- a commit of a lane has happened
    lane     bigint NOT NULL,
    number   bigint NOT NULL,
    PRIMARY KEY(lane, number)
);
CREATE TABLE mailbox(
    id        integer PRIMARY KEY,
    name      text COLLATE "C" NOT NULL UNIQUE,
    maker     text,                     -- whose share it is of
    gone      bigint NOT NULL,          -- up to here messages were deleted; none of these offsets is given again
    removed   boolean NOT NULL,         -- nobody sees it, until somebody sends to it again
    counted   bigint NOT NULL,          -- up to here, as far as kept:
    bytes     bigint NOT NULL,          -- of bodies
    synthetic bigint NOT NULL           -- what messages of senders without a key cost
);
CREATE TABLE sender(
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text NOT NULL UNIQUE       -- a fingerprint, or a pseudo-sender
);
CREATE TABLE stream(
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender   integer NOT NULL REFERENCES sender(id),
    stream   bytea NOT NULL,            -- 16 bytes; zero for messages without a stream
    kind     smallint NOT NULL,         -- 0 one-shot, 1 outbox, 2 forgotten: only its messages are left, 3 datagram
    epoch    bigint NOT NULL,           -- of its claims; what comes under an older one is not stored
    process  bytea,                     -- who claimed it last
    attempt  bigint,
    used     bigint NOT NULL,           -- the store's hours at its last use
    gone     bigint NOT NULL,           -- its mark when it was forgotten
    UNIQUE(sender, stream)
);
CREATE TABLE run(                       -- consecutive sequences at consecutive offsets; a stream's mark is the end of the last
    stream   bigint NOT NULL,
    first    bigint NOT NULL,
    count    bigint NOT NULL,
    mailbox  integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY(stream, first)
);
CREATE TABLE pack(                      -- messages of a mailbox that came with one commit
    mailbox   integer NOT NULL,
    last      bigint NOT NULL,          -- the highest of its offsets, which have no gap
    count     integer NOT NULL,
    time      bigint NOT NULL,          -- microseconds since 1970-01-01 UTC
    streams   bigint[] NOT NULL,
    sequences bigint[] NOT NULL,        -- one element: the first of all, which rise by one; 0 without a stream
    sums      integer[] NOT NULL,       -- CRC-32
    bodies    bytea[] NOT NULL,
    sources   text[],                   -- 'LISTENER ADDRESS'; null: native
    types     text[],
    names     text[],
    asks      boolean[],
    origins   text[],                   -- of dead letters, where they were first: 'inbox 41'
    bytes     bigint NOT NULL,
    synthetic bigint NOT NULL,
    PRIMARY KEY(mailbox, last)
);
ALTER TABLE pack ALTER COLUMN bodies SET STORAGE EXTERNAL;
CREATE TABLE age(                       -- of mailboxes that keep their messages for a time only
    mailbox  integer NOT NULL,
    hours    bigint NOT NULL,           -- in this hour of the store
    last     bigint NOT NULL,           -- this was its last offset
    PRIMARY KEY(mailbox, hours)
);
CREATE TABLE cursor(
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mailbox  text NOT NULL,
    name     text NOT NULL,
    floor    bigint NOT NULL,           -- all messages up to here are done
    next     bigint NOT NULL,           -- the first one that no server has drawn
    used     bigint NOT NULL,           -- the store's hours at its last use
    UNIQUE(mailbox, name)
);
CREATE TABLE block(                     -- messages of a cursor, not all done, that one server gives out
    cursor   integer NOT NULL,
    first    bigint NOT NULL,
    last     bigint NOT NULL,
    lane     bigint,                    -- of the server; null: anybody may have them
    PRIMARY KEY(cursor, first)
);
CREATE TABLE given(                     -- messages above the floor that readers have begun with
    cursor   integer NOT NULL,
    "offset" bigint NOT NULL,
    attempts integer NOT NULL,
    done     boolean NOT NULL,
    PRIMARY KEY(cursor, "offset")
);
CREATE TABLE reply(                     -- to messages that asked; kept for an hour or two
    stream   bigint NOT NULL,
    sequence bigint NOT NULL,
    hours    bigint NOT NULL,
    code     smallint,                  -- null: no handler could do it
    sum      bigint NOT NULL,
    body     bytea NOT NULL,
    at       bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- about the order in which they came
    PRIMARY KEY(stream, sequence)
);
CREATE INDEX reply_hours ON reply(hours);
CREATE TABLE access(                    -- who may do what: the files that lie beside a store in a file
    name     text PRIMARY KEY,          -- authorized_keys, tokens, invitations
    content  text NOT NULL,
    version  bigint NOT NULL            -- counts its changes
);
CREATE FUNCTION as_text(body bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN RETURN convert_from(body, 'UTF8'); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;
CREATE VIEW messages AS
    SELECT mailbox.name AS mailbox,
           pack.last - pack.count + at.n AS "offset",
           to_timestamp(pack.time / 1e6) AS time,
           sender.name AS sender,
           CASE WHEN at.sequence > 0 THEN encode(stream.stream, 'hex') END AS stream,
           nullif(at.sequence, 0) AS sequence,
           coalesce(split_part(at.source, ' ', 1), 'native') AS listener,
           nullif(split_part(at.source, ' ', 2), '') AS address,
           at.type, at.name, at.origin,
           octet_length(at.body) AS bytes,
           as_text(at.body) AS text
      FROM pack
      JOIN mailbox ON mailbox.id = pack.mailbox
     CROSS JOIN LATERAL (
           SELECT n,
                  bodies[n] AS body,
                  streams[least(n, cardinality(streams))] AS stream,
                  CASE WHEN cardinality(sequences) = count THEN sequences[n]
                       WHEN sequences[1] = 0 THEN 0
                       ELSE sequences[1] + n - 1 END AS sequence,
                  sources[least(n, cardinality(sources))] AS source,
                  types[least(n, cardinality(types))] AS type,
                  names[least(n, cardinality(names))] AS name,
                  origins[least(n, cardinality(origins))] AS origin
             FROM generate_series(1, count) AS n) AS at
      JOIN stream ON stream.id = at.stream
      JOIN sender ON sender.id = stream.sender
     ORDER BY pack.mailbox, pack.last, at.n;
"#;

const FIND: &str = "SELECT to_regclass('tenfour.store') IS NOT NULL";

/// Makes a store in a database. True if there was none.
///
/// # Errors
///
/// The database is not there, is of another encoding, or does not allow it.
pub fn init(address: &Address) -> Result<bool, PostgresError> {
    let Some(session) = create(address)? else {
        return Ok(false);
    };
    session
        .run(session.commit())
        .map_err(|trouble| refusal(address, trouble))?;
    Ok(true)
}

/// Makes a store, in a transaction that is not ended. `None`: there is one.
pub(crate) fn create(address: &Address) -> Result<Option<Session>, PostgresError> {
    let session = connect(address)?;
    look(address, &session)?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| refusal(address, Trouble::Lost(error.to_string())))?;
    let made = session.run(async {
        session.begin().await?;
        if session.client().query_one(FIND, &[]).await?.try_get(0)? {
            return Ok(false);
        }
        session.client().batch_execute(TABLES).await?;
        session
            .client()
            .execute(
                "INSERT INTO tenfour.store(id, created, version, hours, ticked) VALUES ($1, now(), $2, 0, now())",
                &[&&id[..], &VERSION],
            )
            .await?;
        Ok(true)
    });
    match made {
        Ok(is_new) => Ok(is_new.then_some(session)),
        Err(trouble) => Err(refusal(address, trouble)),
    }
}

/// Looks whether there is a store that can be used, and gives its id.
pub(crate) fn inspect(address: &Address, demand: Demand) -> Result<[u8; 16], PostgresError> {
    let session = connect(address)?;
    let settings = look(address, &session)?;
    if let Some(why) = settings.lacks(demand) {
        return Err(PostgresError::Unsafe {
            address: address.to_string(),
            why,
        });
    }
    let found = session.run(async {
        if !session.client().query_one(FIND, &[]).await?.try_get(0)? {
            return Ok(None);
        }
        let row = session
            .client()
            .query_one("SELECT id, version FROM tenfour.store", &[])
            .await?;
        Ok(Some((row.try_get::<_, Vec<u8>>(0)?, row.try_get::<_, i32>(1)?)))
    });
    let found = found.map_err(|trouble| refusal(address, trouble))?;
    let Some((id, version)) = found else {
        return Err(PostgresError::NoStore(address.to_string()));
    };
    if version > VERSION {
        return Err(PostgresError::Newer {
            address: address.to_string(),
            found: version,
            known: VERSION,
        });
    }
    id.try_into().map_err(|_| PostgresError::Failed {
        address: address.to_string(),
        why: "its store has a strange id".to_owned(),
    })
}

fn connect(address: &Address) -> Result<Session, PostgresError> {
    Session::connect(address, 0, &[]).map_err(|trouble| refusal(address, trouble))
}

/// The settings that a receipt depends on, of a database whose text is UTF-8.
fn look(address: &Address, session: &Session) -> Result<Settings, PostgresError> {
    let asked = session.run(async {
        let sql = concat!("SELECT ", settings!(), ", current_setting('server_encoding')");
        let row = session.client().query_one(sql, &[]).await?;
        Ok((Settings::of(&row)?, row.try_get::<_, String>(3)?))
    });
    let (settings, encoding) = asked.map_err(|trouble| refusal(address, trouble))?;
    if encoding == "UTF8" {
        Ok(settings)
    } else {
        Err(PostgresError::Encoding {
            address: address.to_string(),
            found: encoding,
        })
    }
}

pub(crate) fn refusal(address: &Address, trouble: Trouble) -> PostgresError {
    let address = address.to_string();
    if let Trouble::Failed(cause) = &trouble
        && let Some(error) = cause.downcast_ref::<tokio_postgres::Error>()
        && let Some(state) = error.code()
    {
        let why = with_cause(error);
        // Insufficient privilege, and the classes of logins (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        return if state.code() == "42501" || state.code().starts_with("28") {
            PostgresError::NotAllowed { address, why }
        } else {
            PostgresError::Failed { address, why }
        };
    }
    match trouble {
        Trouble::Lost(why) => PostgresError::Unreachable { address, why },
        other => PostgresError::Failed {
            address,
            why: other.text(),
        },
    }
}
