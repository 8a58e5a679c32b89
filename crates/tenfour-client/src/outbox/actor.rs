//! The thread that has the outbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tenfour_proto::Message;
use tenfour_store::{Dispatch, OutboxError};
use tokio::sync::{oneshot, watch};

/// So often it looks whether another process has queued something.
const GLANCE: Duration = Duration::from_millis(100);

/// Messages put with one flush at most.
const MOST: usize = 4_096;

/// Handed to all who want something of the outbox. The thread ends with the last of them.
#[derive(Clone)]
pub(super) struct Actor {
    jobs: Sender<Job>,
    changed: watch::Receiver<u64>,
    servers: watch::Receiver<u64>,
    failed: watch::Receiver<Option<Arc<OutboxError>>>,
}

/// Counts what happens.
struct Command {
    changed: watch::Sender<u64>,
    servers: watch::Sender<u64>,
    /// Why nothing can be done with the outbox any more.
    failed: watch::Sender<Option<Arc<OutboxError>>>,
}

enum Job {
    Put(Put),
    Work(Box<dyn FnOnce(&mut Dispatch) + Send>),
}

struct Put {
    address: Arc<str>,
    message: Message,
    tell: oneshot::Sender<Result<u64, Arc<OutboxError>>>,
}

impl Actor {
    pub(super) fn start(dispatch: Dispatch) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, todo) = channel();
        let (changed, its_changed) = watch::channel(0);
        let (servers, its_servers) = watch::channel(0);
        let (failed, its_failed) = watch::channel(None);
        let tell = Command {
            changed,
            servers,
            failed,
        };
        let thread = std::thread::Builder::new()
            .name("outbox".into())
            .spawn(move || run(dispatch, &todo, &tell))?;
        let actor = Actor {
            jobs,
            changed: its_changed,
            servers: its_servers,
            failed: its_failed,
        };
        Ok((actor, thread))
    }

    /// Changes whenever something was queued or decided.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Changes whenever there may be a server that was not there before.
    pub(super) fn servers(&self) -> watch::Receiver<u64> {
        self.servers.clone()
    }

    /// Waits until nothing can be done with the outbox any more, and says why.
    pub(super) async fn failed(&self) -> Arc<OutboxError> {
        let mut failed = self.failed.clone();
        let reason = failed.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_else(|| Arc::new(gone()))
    }

    /// Queues a message; returns when it is on the disk. Those that wait together are flushed together.
    pub(super) async fn put(&self, address: Arc<str>, message: Message) -> Result<u64, Arc<OutboxError>> {
        let (tell, answer) = oneshot::channel();
        let put = Put {
            address,
            message,
            tell,
        };
        // A thread that is gone drops the job, which the answer says.
        let _ = self.jobs.send(Job::Put(put));
        answer.await.unwrap_or_else(|_| Err(Arc::new(gone())))
    }

    /// Works on the outbox.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Dispatch) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let (tell, answer) = oneshot::channel();
        let work = Job::Work(Box::new(move |dispatch| {
            // Whoever asked may be gone.
            let _ = tell.send(work(dispatch));
        }));
        let _ = self.jobs.send(work);
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The thread has ended: only a panic in it does that while somebody asks.
fn gone() -> OutboxError {
    OutboxError::Closed
}

fn run(mut dispatch: Dispatch, todo: &Receiver<Job>, tell: &Command) {
    let mut version = dispatch.version().ok();
    let mut known = HashSet::new();
    let mut glance = Instant::now() + GLANCE;
    loop {
        match todo.recv_timeout(glance.saturating_duration_since(Instant::now())) {
            Ok(job) => work(&mut dispatch, job, todo, &mut known, tell),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if glance <= Instant::now() {
            glance = Instant::now() + GLANCE;
            let now = match dispatch.version() {
                Err(error @ OutboxError::Gone(_)) => {
                    tell.failed.send_replace(Some(Arc::new(error)));
                    None
                }
                version => version.ok(),
            };
            if now != version {
                version = now;
                tell.servers.send_modify(|count| *count += 1);
                tell.changed.send_modify(|count| *count += 1);
            }
        }
    }
}

/// Does a job, and with one that puts all of that kind that wait behind it.
fn work(
    dispatch: &mut Dispatch,
    job: Job,
    todo: &Receiver<Job>,
    known: &mut HashSet<Arc<str>>,
    tell: &Command,
) {
    let first = match job {
        Job::Work(work) => return work(dispatch),
        Job::Put(put) => put,
    };
    let mut together = vec![first];
    let mut next = None;
    while together.len() < MOST
        && let Ok(job) = todo.try_recv()
    {
        match job {
            Job::Put(put) if together.first().is_some_and(|first| first.address == put.address) => {
                together.push(put);
            }
            other => {
                next = Some(other);
                break;
            }
        }
    }
    put(dispatch, together, known, tell);
    if let Some(next) = next {
        work(dispatch, next, todo, known, tell);
    }
}

fn put(dispatch: &mut Dispatch, together: Vec<Put>, known: &mut HashSet<Arc<str>>, tell: &Command) {
    let Some(address) = together.first().map(|put| Arc::clone(&put.address)) else {
        return;
    };
    let (messages, tells): (Vec<_>, Vec<_>) = together.into_iter().map(|put| (put.message, put.tell)).unzip();
    let put = dispatch.put(&address, &messages);
    // Before anybody is told: who then waits for the delivery waits for this one, too.
    if put.is_ok() && known.insert(address) {
        tell.servers.send_modify(|count| *count += 1);
    }
    tell.changed.send_modify(|count| *count += 1);
    match put {
        Ok(first) => (first..).zip(tells).for_each(|(number, tell)| {
            let _ = tell.send(Ok(number));
        }),
        Err(error) => {
            let error = Arc::new(error);
            for tell in tells {
                let _ = tell.send(Err(Arc::clone(&error)));
            }
        }
    }
}
