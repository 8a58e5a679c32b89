//! Who sends on a stream: the claim raises its epoch, and what comes under an older one is not stored.

use futures_util::try_join;
use tenfour_proto::{ProducerId, Sender, TemporaryCode};
use tenfour_store::ledger::Policy;
use tenfour_store::{Claim, Claimant};

use crate::commit::{LAST_RUNS, SENDERS, STREAMS};
use crate::error::Trouble;
use crate::session::Session;
use crate::writer::Writer;

/// Makes streams that are new, and raises the epochs of the others, unless a later connection of the same process has one. Waits
/// for commits under older claims that are under way. In one order at all servers.
pub(crate) const CLAIM: &str = "INSERT INTO stream(sender, stream, kind, epoch, process, attempt, used, gone)
    SELECT sender.id, wanted.stream, wanted.kind, 1, wanted.process, wanted.attempt, $6, 0
      FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bytea[], $5::bigint[])
        AS wanted(name, stream, kind, process, attempt)
      JOIN sender ON sender.name = wanted.name
     ORDER BY sender.id, wanted.stream
    ON CONFLICT (sender, stream) DO UPDATE SET epoch = stream.epoch + 1, process = excluded.process, attempt = excluded.attempt
     WHERE NOT (stream.process IS NOT DISTINCT FROM excluded.process AND stream.attempt >= excluded.attempt)";

/// The epochs of those that are claimed by these very connections: now, or by a claim whose outcome was lost.
pub(crate) const HELD: &str = "SELECT wanted.at, epoch
    FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[]) WITH ORDINALITY AS wanted(name, stream, process, attempt, at)
    JOIN sender ON sender.name = wanted.name
    JOIN stream ON stream.sender = sender.id AND stream.stream = wanted.stream
     AND stream.process = wanted.process AND stream.attempt = wanted.attempt";

/// Claims by column.
#[derive(Default)]
struct Columns<'a> {
    /// Where each stands among those that were asked for.
    places: Vec<usize>,
    names: Vec<&'a str>,
    streams: Vec<&'a [u8]>,
    kinds: Vec<i16>,
    processes: Vec<&'a [u8]>,
    attempts: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, place: usize, name: &'a str, claim: &'a (Sender, ProducerId, Claimant)) {
        let (sender, producer, by) = claim;
        self.places.push(place);
        self.names.push(name);
        self.streams.push(&producer.as_bytes()[..]);
        self.kinds.push(Policy::of(sender, by.kind).kind as i16);
        self.processes.push(&by.process[..]);
        self.attempts.push(by.attempt as i64);
    }

    /// The place that a row names.
    fn place(&self, row: &tokio_postgres::Row) -> Result<usize, Trouble> {
        let index = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        let place = self.places.get(index).copied();
        place.ok_or_else(|| Trouble::Failed("a row that nobody asked for".into()))
    }
}

/// Claims producers, none of them twice, within one transaction.
pub(crate) fn claim_all(
    store: &mut Writer,
    session: &Session,
    claims: &[(Sender, ProducerId, Claimant)],
    plan: &mut Option<Vec<Claim>>,
) -> Result<(), Trouble> {
    let names: Vec<String> = claims.iter().map(|(sender, ..)| sender.to_string()).collect();
    let mut all = Columns::default();
    for (place, (claim, name)) in claims.iter().zip(&names).enumerate() {
        all.push(place, name, claim);
    }
    let mut senders = all.names.clone();
    senders.sort_unstable();
    senders.dedup();
    let (client, hours) = (session.client(), store.hours.now());
    // Locked in the order of all commits; what is new is made in an order of its own.
    let known = session.run(async {
        let begin = store.lane.begin(session, Some(store.demand));
        let made = async {
            client.execute(session.statement(SENDERS)?, &[&senders]).await?;
            Ok(())
        };
        let locked = async {
            let statement = session.statement(STREAMS)?;
            Ok(client.query(statement, &[&all.names, &all.streams]).await?)
        };
        let ((), (), known) = try_join!(begin, made, locked)?;
        Ok(known)
    })?;
    let mut is_known = vec![false; claims.len()];
    for row in &known {
        if let Some(known) = is_known.get_mut(all.place(row)?) {
            *known = true;
        }
    }
    let mut outcomes = vec![Claim::TakenOver; claims.len()];
    let mut wanted = Columns::default();
    for (place, (claim, name)) in claims.iter().zip(&names).enumerate() {
        let policy = Policy::of(&claim.0, claim.2.kind);
        let is_new = !is_known.get(place).is_some_and(|known| *known);
        if is_new && !session.run(store.counts.take(session, &claim.0, policy))? {
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = Claim::NotNow(TemporaryCode::Busy);
            }
            continue;
        }
        wanted.push(place, name, claim);
    }
    let (held, marks) = session.run(async {
        let claimed = async {
            let statement = session.statement(CLAIM)?;
            let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
                &wanted.names,
                &wanted.streams,
                &wanted.kinds,
                &wanted.processes,
                &wanted.attempts,
                &hours,
            ];
            client.execute(statement, &columns).await?;
            Ok::<_, Trouble>(())
        };
        let held = async {
            let statement = session.statement(HELD)?;
            let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [
                &wanted.names,
                &wanted.streams,
                &wanted.processes,
                &wanted.attempts,
            ];
            Ok(client.query(statement, &columns).await?)
        };
        // In a statement of its own: it sees what was committed while the claims waited.
        let marks = async {
            let statement = session.statement(LAST_RUNS)?;
            Ok(client.query(statement, &[&wanted.names, &wanted.streams]).await?)
        };
        let ((), held, marks) = try_join!(claimed, held, marks)?;
        Ok((held, marks))
    })?;
    for row in &held {
        if let Some(outcome) = outcomes.get_mut(wanted.place(row)?) {
            *outcome = Claim::Held {
                epoch: row.try_get::<_, i64>(1)?.unsigned_abs(),
                high_water_mark: 0,
            };
        }
    }
    for row in &marks {
        let end = row.try_get::<_, i64>(1)? + row.try_get::<_, i64>(2)? - 1;
        if let Some(Claim::Held { high_water_mark, .. }) = outcomes.get_mut(wanted.place(row)?) {
            *high_water_mark = end.unsigned_abs();
        }
    }
    *plan = Some(outcomes);
    session.run(store.lane.end(session))
}

/// Makes producers of an outbox one-shot producers, within one transaction.
pub(crate) fn finish(
    store: &mut Writer,
    session: &Session,
    sender: &Sender,
    producers: &[ProducerId],
    plan: &mut Option<()>,
) -> Result<(), Trouble> {
    let ids: Vec<&[u8]> = producers.iter().map(|id| &id.as_bytes()[..]).collect();
    let (name, hours) = (sender.to_string(), store.hours.now());
    session.run(async {
        store.lane.begin(session, Some(store.demand)).await?;
        session
            .client()
            .execute(
                "UPDATE stream SET kind = 0, used = $3 WHERE kind = 1 AND stream = ANY($2)
                 AND sender = (SELECT id FROM sender WHERE name = $1)",
                &[&name, &ids, &hours],
            )
            .await?;
        Ok(())
    })?;
    *plan = Some(());
    session.run(store.lane.end(session))
}
