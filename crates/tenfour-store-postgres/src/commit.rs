//! One commit: what it needs to know comes in one round trip, what the ledger decides goes in another.

use std::collections::{BTreeSet, HashMap};

use futures_util::try_join;
use tenfour_proto::{ProducerId, Sender};
use tenfour_store::ledger::{self, Draft, Mailbox, Policy, Prefix};
use tenfour_store::{Batch, CursorChange};
use tokio_postgres::Row;

use crate::error::Trouble;
use crate::runs::{RunColumns, placed};
use crate::session::{Sent, Session, pipeline};
use crate::transaction::{OpenProducer, Transaction};
use crate::writer::Writer;
use crate::{cursors, mailboxes};

pub(crate) const SENDERS: &str =
    "INSERT INTO sender(name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING";

/// The streams of a commit, for which nobody else commits meanwhile; in the order of their numbers.
pub(crate) const STREAMS: &str = "SELECT wanted.at, stream.id, epoch, kind, used
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted(name, stream, at)
    JOIN sender ON sender.name = wanted.name
    JOIN stream ON stream.sender = sender.id AND stream.stream = wanted.stream
    ORDER BY stream.id FOR NO KEY UPDATE OF stream";

/// Their last runs, in a statement of its own: it sees what was committed while the locks were waited for.
pub(crate) const LAST_RUNS: &str = "SELECT wanted.at, last.first, last.count, last.mailbox, last.offset
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted(name, stream, at)
    JOIN sender ON sender.name = wanted.name
    JOIN stream ON stream.sender = sender.id AND stream.stream = wanted.stream
    CROSS JOIN LATERAL (
        SELECT first, count, mailbox, \"offset\" FROM run WHERE run.stream = stream.id ORDER BY first DESC LIMIT 1) AS last";

/// New streams, and those that were forgotten. Gives fewer rows where another server has made one meanwhile.
pub(crate) const NEW_STREAMS: &str = "INSERT INTO stream(sender, stream, kind, epoch, used, gone)
    SELECT sender.id, wanted.stream, wanted.kind, 0, $4, 0
      FROM unnest($1::text[], $2::bytea[], $3::smallint[]) AS wanted(name, stream, kind)
      JOIN sender ON sender.name = wanted.name
    ON CONFLICT (sender, stream) DO UPDATE SET kind = excluded.kind, used = excluded.used, gone = 0 WHERE stream.kind = 2
    RETURNING id, stream, epoch, (SELECT name FROM sender WHERE id = stream.sender)";

pub(crate) const USED: &str = "UPDATE stream SET used = $2 WHERE id = ANY($1)";

type Key = (Sender, ProducerId);

/// What batches and cursors name.
struct Wanted<'a> {
    producers: Vec<(&'a Sender, ProducerId, Policy)>,
    names: Vec<String>,
    streams: Vec<[u8; 16]>,
    senders: Vec<String>,
    mailboxes: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(batches: &'a [Batch], changes: &'a [CursorChange]) -> Self {
        let mut producers: HashMap<(&Sender, ProducerId), Policy> = HashMap::new();
        let mut mailboxes = BTreeSet::new();
        for batch in batches {
            producers
                .entry((&batch.sender, batch.producer_id()))
                .or_insert_with(|| Policy::of(&batch.sender, batch.kind()));
            mailboxes.extend(batch.messages.iter().map(|(_, message)| message.mailbox.as_str()));
        }
        for change in changes {
            if !change.bury.is_empty() {
                mailboxes.insert(change.name.dead_letters().as_str());
            }
            if !change.bury.is_empty() || !change.answers.is_empty() {
                mailboxes.insert(change.mailbox.as_str());
            }
        }
        let mut producers: Vec<_> = producers
            .into_iter()
            .map(|((sender, producer), policy)| (sender, producer, policy))
            .collect();
        producers.sort_by_key(|(_, producer, _)| *producer.as_bytes());
        let names: Vec<String> = producers.iter().map(|(sender, ..)| sender.to_string()).collect();
        let senders: BTreeSet<&String> = names.iter().collect();
        Wanted {
            streams: producers
                .iter()
                .map(|(_, producer, _)| *producer.as_bytes())
                .collect(),
            senders: senders.into_iter().cloned().collect(),
            names,
            producers,
            mailboxes: mailboxes.into_iter().collect(),
        }
    }

    fn ids(&self) -> Vec<&[u8]> {
        self.streams.iter().map(|id| &id[..]).collect()
    }
}

/// What was found of it.
struct Found {
    streams: Vec<Row>,
    last_runs: Vec<Row>,
    mailboxes: Vec<Row>,
    cursors: Vec<Row>,
}

/// Does the whole of a commit within one transaction.
pub(crate) fn commit(
    store: &mut Writer,
    session: &Session,
    batches: &[Batch],
    changes: &[CursorChange],
    time: i64,
    plan: &mut Option<(Draft, Vec<Mailbox>)>,
) -> Result<(), Trouble> {
    let wanted = Wanted::of(batches, changes);
    let found = session.run(find(store, session, &wanted, changes))?;
    for row in &found.mailboxes {
        mailboxes::place(&mut store.mailboxes, row)?;
    }
    let hours = store.hours.now();
    let mut producers = known(&wanted, &found)?;
    session.run(create(store, session, &wanted, &mut producers, hours))?;

    let mut transaction = Transaction::new(
        session,
        &mut store.streams,
        &store.sizes,
        &store.retention,
        time,
        hours,
    );
    transaction.producers = producers;
    transaction.cursors = found.cursors.iter().map(cursors::key).collect::<Result<_, _>>()?;
    let draft = ledger::draft(
        &mut transaction,
        &mut store.mailboxes,
        &store.quota,
        batches,
        changes,
    )?;
    let rows = transaction.into_rows();
    let raised = store.mailboxes.take_raised();
    let (_, raised) = plan.insert((draft, raised));

    let runs = RunColumns::of(&rows.runs);
    let mut writing: Vec<Sent<'_>> = vec![
        Box::pin(write_mailboxes(session, mailboxes::INSERT, raised, |mailbox| {
            mailbox.is_new
        })),
        Box::pin(write_mailboxes(session, mailboxes::REVIVE, raised, |mailbox| {
            mailbox.is_revived
        })),
    ];
    writing.extend(rows.packs.iter().map(|pack| pack.insert(session, &time)));
    if !rows.runs.is_empty() {
        writing.push(Box::pin(runs.insert(session)));
    }
    if !rows.used.is_empty() {
        writing.push(Box::pin(async {
            let statement = session.statement(USED)?;
            session.client().execute(statement, &[&rows.used, &hours]).await?;
            Ok(())
        }));
    }
    for change in &rows.cursors {
        writing.push(Box::pin(cursors::advance(session, store.lane.id, change, hours)));
    }
    writing.push(Box::pin(store.lane.end(session)));
    session.run(pipeline(writing))?;
    for pack in &rows.packs {
        store.sizes.add(pack.mailbox, pack.bytes, pack.synthetic);
    }
    Ok(())
}

/// The first round trip.
async fn find(
    store: &Writer,
    session: &Session,
    wanted: &Wanted<'_>,
    changes: &[CursorChange],
) -> Result<Found, Trouble> {
    let client = session.client();
    let ids = wanted.ids();
    let begin = store.lane.begin(session, Some(store.demand));
    let senders = async {
        if !wanted.senders.is_empty() {
            client
                .execute(session.statement(SENDERS)?, &[&wanted.senders])
                .await?;
        }
        Ok(())
    };
    let streams = async {
        Ok(client
            .query(session.statement(STREAMS)?, &[&wanted.names, &ids])
            .await?)
    };
    let locked = async {
        client
            .query(session.statement(mailboxes::LOCK)?, &[&wanted.mailboxes])
            .await?;
        Ok(())
    };
    let cursors = cursors::lock(session, changes);
    let mailboxes = async {
        Ok(client
            .query(session.statement(mailboxes::ENDS)?, &[&wanted.mailboxes])
            .await?)
    };
    let last_runs = async {
        Ok(client
            .query(session.statement(LAST_RUNS)?, &[&wanted.names, &ids])
            .await?)
    };
    let ((), (), streams, (), cursors, mailboxes, last_runs) =
        try_join!(begin, senders, streams, locked, cursors, mailboxes, last_runs)?;
    Ok(Found {
        streams,
        last_runs,
        mailboxes,
        cursors,
    })
}

/// The producers that are there, and were not forgotten.
fn known(wanted: &Wanted<'_>, found: &Found) -> Result<HashMap<Key, OpenProducer>, Trouble> {
    let at = |row: &Row| -> Result<_, Trouble> {
        let index = row.try_get::<_, i64>(0)? - 1;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let producer = wanted.producers.get(index).zip(wanted.names.get(index));
        producer.ok_or_else(|| Trouble::Failed("a row that nobody asked for".into()))
    };
    let mut producers = HashMap::new();
    for row in &found.streams {
        let ((sender, producer, _), name) = at(row)?;
        if i64::from(row.try_get::<_, i16>(3)?) == Policy::FORGOTTEN {
            continue;
        }
        let open = OpenProducer {
            epoch: row.try_get(2)?,
            used: row.try_get(4)?,
            ..OpenProducer::new(row.try_get(1)?, Prefix::new(name, *producer))
        };
        producers.insert(((*sender).clone(), *producer), open);
    }
    for row in &found.last_runs {
        let ((sender, producer, _), _) = at(row)?;
        if let Some(open) = producers.get_mut(&((*sender).clone(), *producer)) {
            let run = placed(row, 1)?;
            open.state.high_water_mark = run.first + run.count - 1;
            open.state.last_run = Some(run);
            open.written = open.state.high_water_mark;
        }
    }
    Ok(producers)
}

/// Makes those that are not there, as far as their senders may have more.
async fn create(
    store: &mut Writer,
    session: &Session,
    wanted: &Wanted<'_>,
    producers: &mut HashMap<Key, OpenProducer>,
    hours: i64,
) -> Result<(), Trouble> {
    let (mut names, mut ids, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let mut keys = HashMap::new();
    let all = wanted.producers.iter().zip(&wanted.names);
    for ((sender, producer, policy), name) in all {
        let key = ((*sender).clone(), *producer);
        let is_counted = *producer.as_bytes() != [0; 16];
        if producers.contains_key(&key) || is_counted && !store.counts.take(session, sender, *policy).await? {
            continue;
        }
        names.push(name);
        ids.push(producer.as_bytes().to_vec());
        kinds.push(policy.kind as i16);
        keys.insert((name.clone(), *producer.as_bytes()), key);
    }
    if names.is_empty() {
        return Ok(());
    }
    let made = session
        .client()
        .query(session.statement(NEW_STREAMS)?, &[&names, &ids, &kinds, &hours])
        .await?;
    if made.len() < names.len() {
        return Err(Trouble::Again);
    }
    for row in made {
        let (name, id): (String, &[u8]) = (row.try_get(3)?, row.try_get(1)?);
        let Ok(id) = <[u8; 16]>::try_from(id) else {
            continue;
        };
        let open = OpenProducer {
            epoch: row.try_get(2)?,
            used: hours,
            ..OpenProducer::new(row.try_get(0)?, Prefix::new(&name, ProducerId::from_bytes(id)))
        };
        if let Some(key) = keys.remove(&(name, id)) {
            producers.insert(key, open);
        }
    }
    Ok(())
}

/// Writes down mailboxes that are new, or used again.
async fn write_mailboxes(
    session: &Session,
    statement: &'static str,
    mailboxes: &[Mailbox],
    which: fn(&Mailbox) -> bool,
) -> Result<(), Trouble> {
    let wanted = || mailboxes.iter().filter(|mailbox| which(mailbox));
    let ids: Vec<i32> = wanted().map(|mailbox| mailbox.id as i32).collect();
    let names: Vec<&str> = wanted().map(|mailbox| mailbox.name.as_str()).collect();
    let makers: Vec<Option<String>> = wanted()
        .map(|mailbox| mailbox.maker().map(ToString::to_string))
        .collect();
    if !ids.is_empty() {
        let statement = session.statement(statement)?;
        session
            .client()
            .execute(statement, &[&ids, &names, &makers])
            .await?;
    }
    Ok(())
}
