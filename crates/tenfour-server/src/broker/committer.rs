//! Whoever holds the store does what is on the queue, in its order: a thread of its own, or the one that brought a single
//! message while nobody else waited.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tenfour_proto::{ProducerId, Sender, Stored, TemporaryCode};
use tenfour_store::{Batch, BatchOutcome, Claim, Claimant, Store, StoreError};
use tokio::sync::oneshot;

use super::completions::Completion;
use super::consumer_group::ConsumerGroup;
use super::job::{Deposit, Job, NotResumed, Resumed, StoreGone};
use super::shared::Shared;
use tenfour_identity::clock::wall_clock;
use tenfour_identity::lock;

/// What can wait is done when nothing came for so long: a piece of it takes as long as several commits.
const QUIET: Duration = Duration::from_millis(20);

/// When it is never quiet, that much of what can wait is done this often.
const WITHOUT_QUIET: Duration = Duration::from_millis(100);
const SHARE: Duration = Duration::from_millis(10);

/// So often the writer looks whether others have worked, who do not wake it, and whether the store is in its place.
const GLANCE: Duration = Duration::from_millis(500);

/// How often the writer lets others run before it sleeps.
const PATIENCE: u32 = 8;

/// Most claims of one transaction.
const CLAIMS: usize = 1_024;

/// What goes into the next commit.
#[derive(Default)]
struct Gathered {
    deposits: Vec<Deposit>,
    cursors: Vec<Arc<ConsumerGroup>>,
    /// Behind all of these, so that each is told of everything that was deposited before.
    claims: Vec<ClaimJob>,
}

/// A connection that is to send on a producer from here on.
struct ClaimJob {
    sender: Sender,
    producer: ProducerId,
    by: Claimant,
    past: Past,
    reply: oneshot::Sender<Result<Resumed, NotResumed>>,
}

/// What of a producer's past is wanted.
#[derive(Clone, Copy)]
struct Past {
    after: Option<u64>,
    has_receipts: bool,
    /// Runs of it.
    most: usize,
}

/// Works until the inbox is closed and empty, or the store fails.
pub(super) fn run(shared: &Shared) {
    let (mut tidied, mut looked) = (Instant::now(), Instant::now());
    while wait(shared) {
        let begun = Instant::now();
        work_off(&mut lock(&shared.owned), shared);
        lock(&shared.queue).jobs.took(begun.elapsed(), Instant::now());
        // While it is never quiet, what can wait gets a part of the time.
        if tidied.elapsed() >= WITHOUT_QUIET {
            let begun = Instant::now();
            while tidy_under_load(shared) && begun.elapsed() < SHARE {}
            tidied = Instant::now();
        }
        if looked.elapsed() >= GLANCE {
            glance(shared);
            looked = Instant::now();
        }
    }
    *lock(&shared.owned) = None;
}

/// Does one round of what is on the queue. Whoever calls it holds the store, so the jobs of a peer are done in their order.
/// True if there is more.
pub(super) fn work_off(owned: &mut Option<Box<dyn Store>>, shared: &Shared) -> bool {
    let Some(store) = owned else {
        let jobs = lock(&shared.queue).jobs.drain();
        jobs.into_iter().for_each(Job::refuse);
        return false;
    };
    let jobs = lock(&shared.queue).jobs.round(Instant::now());
    shared.untidy.store(true, Ordering::Relaxed);
    let mut gathered = Gathered::default();
    if let Err(error) = work(store.as_mut(), jobs, &mut gathered, shared) {
        fail(&error, gathered.deposits, shared);
    }
    lock(&shared.queue).jobs.is_ready(Instant::now())
}

/// Does what waits: deposits together, the others in their place among them.
fn work(
    store: &mut dyn Store,
    jobs: impl IntoIterator<Item = Job>,
    gathered: &mut Gathered,
    shared: &Shared,
) -> Result<(), StoreError> {
    let mut result = Ok(());
    for job in jobs {
        match job {
            Job::Deposit(deposit) => gathered.deposits.push(deposit),
            // Whoever resumes must see everything that was deposited before.
            Job::Resume {
                sender,
                producer,
                after,
                has_receipts,
                most,
                claim,
                reply,
            } => {
                let past = Past {
                    after,
                    has_receipts,
                    most,
                };
                if let Some(by) = claim {
                    let claim = ClaimJob {
                        sender,
                        producer,
                        by,
                        past,
                        reply,
                    };
                    // Those that come together are one transaction; of one producer each comes after the other.
                    if gathered.claims.len() == CLAIMS
                        || gathered.claims.iter().any(|other| claim.is_of(other))
                    {
                        result = result.and_then(|()| commit(store, gathered, shared));
                    }
                    gathered.claims.push(claim);
                    continue;
                }
                result = result.and_then(|()| commit(store, gathered, shared));
                let answer = match &result {
                    Ok(()) => resume(store, &sender, producer, past),
                    Err(_) => Err(NotResumed::Gone(StoreGone)),
                };
                let _ = reply.send(answer);
            }
            Job::SaveCursor(cursor) => gathered.cursors.push(cursor),
            Job::Draw(cursor) => {
                // What was given back before comes first.
                result = result
                    .and_then(|()| commit(store, gathered, shared))
                    .and_then(|()| {
                        let Some((most, is_first)) = cursor.wanted() else {
                            return Ok(());
                        };
                        let portion = store.draw(cursor.mailbox(), cursor.name(), most, is_first)?;
                        cursor.drawn(portion, Instant::now());
                        Ok(())
                    });
            }
            Job::Remove {
                mailbox,
                cursor,
                last,
                tell,
            } => {
                // What was deposited before goes with it.
                result = result
                    .and_then(|()| commit(store, gathered, shared))
                    .and_then(|()| match &cursor {
                        Some(cursor) => store.remove_cursor(&mailbox, cursor),
                        None => store.remove_mailbox(&mailbox, last),
                    })
                    .map(|removal| _ = tell.send(removal));
            }
            Job::Finish {
                sender,
                producers,
                tell,
            } => {
                // What was deposited on them comes first.
                result = result
                    .and_then(|()| commit(store, gathered, shared))
                    .and_then(|()| store.finish(&sender, &producers))
                    .map(|is_saved| _ = tell.send(is_saved));
            }
        }
    }
    result.and_then(|()| commit(store, gathered, shared))
}

/// Waits until there is something to do; what can wait is done meanwhile. False when the inbox is closed and empty.
fn wait(shared: &Shared) -> bool {
    let mut patience = PATIENCE;
    let mut queue = lock(&shared.queue);
    while !queue.jobs.is_ready(Instant::now()) {
        if queue.closed && queue.jobs.is_empty() {
            return false;
        }
        if queue.closed {
            queue.jobs.wake();
            continue;
        }
        let rest = queue.jobs.rest(Instant::now());
        if !queue.jobs.is_empty() && !rest.is_zero() {
            let waited = shared.wake.wait_timeout(queue, rest);
            (queue, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            continue;
        }
        if patience > 0 {
            // Others may be about to deposit: letting them costs less than sleeping and being woken.
            patience -= 1;
            drop(queue);
            std::thread::yield_now();
            queue = lock(&shared.queue);
        } else {
            let untidy = shared.untidy.load(Ordering::Relaxed);
            let waited = shared
                .wake
                .wait_timeout(queue, if untidy { QUIET } else { GLANCE });
            let (guard, quiet) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            queue = guard;
            if quiet.timed_out() && !untidy && !queue.closed {
                drop(queue);
                glance(shared);
                queue = lock(&shared.queue);
            } else if untidy && quiet.timed_out() && queue.jobs.is_empty() && !queue.closed {
                drop(queue);
                tidy(shared);
                queue = lock(&shared.queue);
            }
        }
    }
    true
}

/// What is done now and then, whether there is work or not.
fn glance(shared: &Shared) {
    shared.readers.close_idle();
    verify(shared);
}

/// Looks whether the store still is the one that was opened.
fn verify(shared: &Shared) {
    let mut owned = lock(&shared.owned);
    let Some(verified) = owned.as_mut().map(|store| store.verify()) else {
        return;
    };
    let is_displaced = matches!(verified, Err(StoreError::Displaced(_)));
    let was_displaced = shared.displaced.swap(is_displaced, Ordering::Relaxed);
    match verified {
        Err(_) if is_displaced && was_displaced => {}
        Err(error) if is_displaced => {
            tracing::error!(%error, "nothing is accepted until it is back, or until the server is started anew; what it holds can be saved now: tenfour backup FILE");
        }
        Err(error) => fail(&error, Vec::new(), shared),
        Ok(()) if was_displaced => tracing::info!("the store is in its place again"),
        Ok(()) => {}
    }
}

/// One piece of what can wait.
fn tidy(shared: &Shared) {
    let mut owned = lock(&shared.owned);
    shared.untidy.store(false, Ordering::Relaxed);
    let more = a_piece(shared, owned.as_mut().map(|store| store.tidy()));
    shared.untidy.fetch_or(more, Ordering::Relaxed);
}

/// The same of what cannot wait for quiet. True when there is more.
fn tidy_under_load(shared: &Shared) -> bool {
    let mut owned = lock(&shared.owned);
    a_piece(shared, owned.as_mut().map(|store| store.tidy_under_load()))
}

fn a_piece(shared: &Shared, done: Option<Result<bool, StoreError>>) -> bool {
    match done {
        Some(Ok(more)) => more,
        Some(Err(error)) => {
            fail(&error, Vec::new(), shared);
            false
        }
        None => false,
    }
}

fn resume(
    store: &mut dyn Store,
    sender: &Sender,
    producer: ProducerId,
    wanted: Past,
) -> Result<Resumed, NotResumed> {
    let high_water_mark = store.high_water_mark(sender, producer).map_err(unreadable)?;
    past(store, sender, producer, high_water_mark, wanted).map_err(unreadable)
}

impl ClaimJob {
    fn is_of(&self, other: &ClaimJob) -> bool {
        (&self.sender, self.producer) == (&other.sender, other.producer)
    }
}

/// Claims all that were gathered, and answers each.
fn claim(store: &mut dyn Store, gathered: &mut Gathered) -> Result<(), StoreError> {
    let jobs = std::mem::take(&mut gathered.claims);
    if jobs.is_empty() {
        return Ok(());
    }
    let claims: Vec<_> = jobs
        .iter()
        .map(|job| (job.sender.clone(), job.producer, job.by))
        .collect();
    // Without an answer whoever waits is told that the store is gone.
    let claimed = store.claim_all(&claims)?;
    for (job, claimed) in jobs.into_iter().zip(claimed) {
        let answer = match claimed {
            Claim::Held {
                epoch,
                high_water_mark,
            } => past(store, &job.sender, job.producer, high_water_mark, job.past)
                .map(|resumed| Resumed { epoch, ..resumed })
                .map_err(unreadable),
            Claim::TakenOver => Err(NotResumed::TakenOver),
            Claim::NotNow(code) => Err(NotResumed::NotNow(code)),
        };
        let _ = job.reply.send(answer);
    }
    Ok(())
}

/// What a client may lack that goes on at this mark.
fn past(
    store: &mut dyn Store,
    sender: &Sender,
    producer: ProducerId,
    high_water_mark: u64,
    wanted: Past,
) -> Result<Resumed, StoreError> {
    let receipts = match wanted.after {
        Some(after) if after < high_water_mark => store.replay(sender, producer, after, wanted.most)?,
        _ => Stored::default(),
    };
    let forgotten = if high_water_mark == 0 && wanted.has_receipts {
        store.forgotten_high_water_mark(sender, producer)?
    } else {
        0
    };
    Ok(Resumed {
        epoch: 0,
        high_water_mark,
        forgotten,
        receipts,
    })
}

fn unreadable(error: StoreError) -> NotResumed {
    tracing::error!(%error, "a producer's mark cannot be read");
    NotResumed::Gone(StoreGone)
}

/// Does all that was gathered.
fn commit(store: &mut dyn Store, gathered: &mut Gathered, shared: &Shared) -> Result<(), StoreError> {
    deposit(store, gathered, shared)?;
    claim(store, gathered)
}

/// One transaction, one flush, one answer for each deposit and cursor.
fn deposit(store: &mut dyn Store, gathered: &mut Gathered, shared: &Shared) -> Result<(), StoreError> {
    let mut deposits = Vec::with_capacity(gathered.deposits.len());
    let mut batches = Vec::with_capacity(gathered.deposits.len());
    for mut deposit in gathered.deposits.drain(..) {
        if deposit.completions.turns_away(deposit.epoch) {
            deposit.turn_away(TemporaryCode::Full);
            continue;
        }
        let emptied = Batch {
            sender: deposit.batch.sender.clone(),
            producer: deposit.batch.producer,
            epoch: deposit.batch.epoch,
            source: deposit.batch.source,
            messages: Vec::new(),
        };
        batches.push(std::mem::replace(&mut deposit.batch, emptied));
        deposits.push(deposit);
    }
    let cursors = std::mem::take(&mut gathered.cursors);
    if batches.is_empty() && cursors.is_empty() {
        return Ok(());
    }
    let (changes, versions): (Vec<_>, Vec<_>) = cursors.iter().map(|cursor| cursor.take_change()).unzip();
    let committed = match store.commit(&batches, &changes, wall_clock()) {
        Ok(committed) => committed,
        Err(error) => {
            gathered.deposits = deposits;
            return Err(error);
        }
    };
    shared.notifier.announce(&committed.raised);
    shared.replies.deliver(committed.answered);
    let now = Instant::now();
    for ((mut deposit, batch), outcome) in deposits.into_iter().zip(batches).zip(committed.outcomes) {
        match outcome {
            BatchOutcome::Settled(stored) => {
                let runs = &stored.settlement().runs;
                let messages = runs
                    .iter()
                    .filter(|run| !run.duplicate)
                    .map(|run| run.count)
                    .sum();
                shared
                    .latency
                    .count(messages, now.saturating_duration_since(deposit.arrived));
                deposit.completions.put(Completion::Settled(stored));
            }
            BatchOutcome::NotNow(code) => {
                deposit.batch = batch;
                deposit.turn_away(code);
            }
            BatchOutcome::TakenOver => deposit.completions.put(Completion::TakenOver),
        }
    }
    let saved = cursors.iter().zip(changes).zip(versions).zip(committed.cursors);
    for (((cursor, change), version), outcome) in saved {
        cursor.take_outcome(change, version, outcome);
    }
    Ok(())
}

/// No receipt for anything that was on its way, and nothing more is taken.
fn fail(error: &StoreError, gathered: Vec<Deposit>, shared: &Shared) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the store failed; nothing more is accepted"
    );
    let rest = {
        let mut queue = lock(&shared.queue);
        queue.closed = true;
        queue.jobs.drain()
    };
    for deposit in gathered {
        deposit.completions.put(Completion::Gone);
    }
    for job in rest {
        if let Job::Deposit(deposit) = job {
            deposit.completions.put(Completion::Gone);
        }
    }
    shared.wake.notify_one();
    shared.failed.send_replace(true);
}
