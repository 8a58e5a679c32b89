//! Who sends on a stream: the claim raises its epoch, and what comes under an older one is not stored.

use futures_util::try_join;
use tenfour_proto::{ProducerId, Sender, TemporaryCode};
use tenfour_store::ledger::Policy;
use tenfour_store::{Claim, Claimant};

use crate::commit::SENDERS;
use crate::error::Trouble;
use crate::past;
use crate::session::Session;
use crate::writer::Writer;

/// Makes the stream if it is new. No row: a later connection of the same process has it. Waits for a commit under an older claim
/// that is under way.
pub(crate) const CLAIM: &str = "INSERT INTO stream(sender, stream, kind, epoch, process, attempt, used, gone)
    SELECT id, $2, $3, 1, $4, $5, $6, 0 FROM sender WHERE name = $1
    ON CONFLICT (sender, stream) DO UPDATE SET epoch = stream.epoch + 1, process = excluded.process, attempt = excluded.attempt
     WHERE NOT (stream.process IS NOT DISTINCT FROM excluded.process AND stream.attempt >= excluded.attempt)
    RETURNING id, epoch";

/// The stream, and whether it is claimed by that very connection: a claim whose outcome was lost is done again.
pub(crate) const OWN: &str =
    "SELECT epoch, process = $3 AND attempt = $4 FROM stream JOIN sender ON sender.id = stream.sender
    WHERE sender.name = $1 AND stream.stream = $2";

/// Claims a producer, within one transaction.
pub(crate) fn claim(
    store: &mut Writer,
    session: &Session,
    sender: &Sender,
    producer: ProducerId,
    by: &Claimant,
    plan: &mut Option<Claim>,
) -> Result<(), Trouble> {
    let (name, id) = (sender.to_string(), &producer.as_bytes()[..]);
    let (process, attempt) = (&by.process[..], by.attempt as i64);
    let policy = Policy::of(sender, by.kind);
    let (kind, hours) = (policy.kind as i16, store.hours.now());
    let client = session.client();
    let own = session.run(async {
        let begin = store.lane.begin(session, Some(store.demand));
        let names = [&name];
        let made = async {
            let statement = session.statement(SENDERS)?;
            client.execute(statement, &[&&names[..]]).await?;
            Ok(())
        };
        let own = async {
            let statement = session.statement(OWN)?;
            Ok(client
                .query_opt(statement, &[&name, &id, &process, &attempt])
                .await?)
        };
        let ((), (), own) = try_join!(begin, made, own)?;
        Ok(own)
    })?;
    let claimed = match own {
        Some(row) if row.try_get::<_, Option<bool>>(1)? == Some(true) => Some(row.try_get::<_, i64>(0)?),
        known => session.run(async {
            if known.is_none() && !store.counts.take(session, sender, policy).await? {
                *plan = Some(Claim::NotNow(TemporaryCode::Busy));
                return Ok(None);
            }
            let statement = session.statement(CLAIM)?;
            let claimed = client
                .query_opt(statement, &[&name, &id, &kind, &process, &attempt, &hours])
                .await?;
            if claimed.is_none() {
                *plan = Some(Claim::TakenOver);
            }
            Ok(claimed.map(|row| row.try_get(1)).transpose()?)
        })?,
    };
    if let Some(epoch) = claimed {
        // In a statement of its own: it sees what was committed while the claim waited.
        let state = past::state(session, sender, producer)?;
        *plan = Some(Claim::Held {
            epoch: epoch.unsigned_abs(),
            high_water_mark: state.map_or(0, |state| state.high_water_mark),
        });
    }
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
