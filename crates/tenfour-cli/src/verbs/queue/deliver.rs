//! `tenfour queue --run` and `--flush`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenfour::outbox::{DispatchError, Dispatcher, Outbox};
use tenfour::store::OpenError;
use tokio::time::{Instant, sleep_until};

use super::list;
use super::local::{failed, open, open_failure};
use crate::amount::show_count;
use crate::args::{self, Queue};
use crate::exit::{Code, Failure, connect_code, ending_code};
use crate::{output, service_manager, setup, signals};

/// So often it is looked how far another process is that delivers.
const GLANCE: Duration = Duration::from_millis(100);

/// From a message to its receipt, on a connection that works; then another one is made. Long enough for a window of
/// messages on a slow line.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the delivering of the outbox.
fn start(outbox: Outbox, arguments: &Queue) -> Result<Dispatcher, OpenError> {
    let identity = arguments.identity.clone();
    let setup = move || config(&identity).map_err(|failure| failure.message);
    Dispatcher::start(outbox, arguments.keep, setup)
}

fn config(identity: &args::Identity) -> Result<tenfour::ClientConfig, Failure> {
    setup::client(identity, PATIENCE, tenfour::Durability::Disk, None)
}

/// Delivers until a signal comes.
pub async fn run(arguments: Queue) -> Result<(), Failure> {
    signals::survive_file_limits();
    // Said at once, not in a log.
    config(&arguments.identity)?;
    let stop = signals::stop();
    let courier = start(open(&arguments)?, &arguments).map_err(|error| open_failure(&error))?;
    service_manager::tell(service_manager::READY);
    tracing::info!("delivering from the outbox");
    let ended = tokio::select! {
        _ = stop => Ok(()),
        error = courier.failed() => Err(failed(&error)),
    };
    service_manager::tell(service_manager::STOPPING);
    courier.stop().await;
    ended
}

/// Delivers what is there now.
pub async fn flush(arguments: Queue, only: Option<String>) -> Result<(), Failure> {
    config(&arguments.identity)?;
    let job = Flush {
        path: open(&arguments)?.path().to_owned(),
        only,
        timeout: arguments.timeout,
    };
    let work = async {
        match start(job.outbox()?, &arguments) {
            Ok(courier) => {
                let result = job.deliver(&courier).await;
                courier.stop().await;
                result
            }
            Err(OpenError::InUse { .. }) => job.wait_for_another().await,
            Err(error) => Err(open_failure(&error)),
        }
    };
    let result = tokio::select! {
        result = work => result,
        code = signals::stop() => Err(Failure::new(code, "interrupted; what was not delivered stays in the outbox")),
    };
    if arguments.json {
        let outbox = job.outbox()?;
        let routes = outbox.routes().map_err(|error| failed(&error))?;
        for route in routes.iter().filter(|route| job.counts(&route.address)) {
            output::answer_line(&list::json(route));
        }
    }
    result
}

struct Flush {
    path: PathBuf,
    /// `HOST:PORT` of the one server that counts.
    only: Option<String>,
    timeout: Duration,
}

/// What is left for the servers that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    waiting: u64,
    numbered: u64,
    refused: u64,
    not_allowed: u64,
    /// Something that a server lacks is not dealt with yet.
    lacking: bool,
}

impl Flush {
    fn outbox(&self) -> Result<Outbox, Failure> {
        Outbox::open(&self.path).map_err(|error| open_failure(&error))
    }

    fn counts(&self, address: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == address)
    }

    fn left(&self, outbox: &Outbox) -> Result<Left, Failure> {
        let routes = outbox.routes().map_err(|error| failed(&error))?;
        let mut left = Left::default();
        for route in routes.iter().filter(|route| self.counts(&route.address)) {
            left.waiting += route.waiting;
            left.numbered += route.numbered;
            left.refused += route.refused;
            left.not_allowed += route.not_allowed;
            left.lacking |= route.lost.is_some();
        }
        Ok(left)
    }

    async fn deliver(&self, courier: &Dispatcher) -> Result<(), Failure> {
        let outbox = self.outbox()?;
        let addresses: Vec<Arc<str>> = outbox
            .routes()
            .map_err(|error| failed(&error))?
            .into_iter()
            .filter(|route| self.counts(&route.address) && (route.waiting > 0 || route.lost.is_some()))
            .map(|route| route.address.into())
            .collect();
        let mut board = courier.watch();
        let mut answers = 0;
        let mut deadline = Instant::now() + self.timeout;
        for address in &addresses {
            loop {
                {
                    let now = board.borrow_and_update();
                    let progress = addresses
                        .iter()
                        .filter_map(|address| now.destinations.get(address));
                    let answered = progress.map(|it| it.receipts + it.refused).sum();
                    if answered > answers {
                        answers = answered;
                        deadline = Instant::now() + self.timeout;
                    }
                }
                tokio::select! {
                    delivered = courier.delivered(address) => match delivered {
                        Ok(()) => break,
                        Err(error) => return Err(self.failure(&outbox, Some(&(Arc::clone(address), error)))),
                    },
                    _ = board.changed() => {}
                    () = sleep_until(deadline) => {
                        let error = courier.progress(address).error;
                        let error = error.map(|error| (Arc::clone(address), error));
                        return Err(self.failure(&outbox, error.as_ref()));
                    }
                }
            }
        }
        none_refused(self.left(&outbox)?)
    }

    /// The words and the code for what could not be delivered.
    fn failure(&self, outbox: &Outbox, error: Option<&(Arc<str>, Arc<DispatchError>)>) -> Failure {
        let left = match self.left(outbox) {
            Ok(left) => left,
            Err(failure) => return failure,
        };
        let what = waiting(left);
        let unknown = if left.numbered > 0 {
            Code::Unknown
        } else {
            Code::Unavailable
        };
        let Some((address, error)) = error else {
            return Failure::new(unknown, format!("nothing was answered for a while; {what}"));
        };
        let (code, hint) = match &**error {
            DispatchError::Connect(error) if connect_code(error) != Code::Unavailable => {
                return with_words(Failure::connect(error, address), &what);
            }
            DispatchError::Connect(error) => {
                return with_words(Failure::connect(error, address), &what).code(unknown);
            }
            DispatchError::Failed(failure) => (ending_code(failure).unwrap_or(unknown), None),
            DispatchError::Regressed { .. } => (Code::Regressed, Some(went_back_hint(address))),
            DispatchError::OtherStore { .. } => (Code::Unknown, Some(other_store_hint(address))),
            DispatchError::OtherKey { .. } => {
                (Code::Unknown, Some("--identity FILE names that key".to_owned()))
            }
            _ => (Code::Local, None),
        };
        let failure = Failure::new(code, format!("{address}: {error}; {what}"));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A server that lacks what it gave receipts for, as whoever delivers has noted it.
    fn behind(&self, outbox: &Outbox, left: Left) -> Result<Option<Failure>, Failure> {
        let routes = outbox.routes().map_err(|error| failed(&error))?;
        let behind = routes
            .into_iter()
            .find(|route| self.counts(&route.address) && route.lost.is_some() && route.verdict.is_none());
        Ok(behind.map(|route| {
            let address = &route.address;
            let (code, error, hint) = match list::lacks(&route) {
                Some((from, to, _)) => (
                    Code::Regressed,
                    DispatchError::Regressed { from, to }.to_string(),
                    went_back_hint(address),
                ),
                None => (
                    Code::Unknown,
                    "another store answers there now, and messages may be in the first one".to_owned(),
                    other_store_hint(address),
                ),
            };
            Failure::new(code, format!("{address}: {error}; {}", waiting(left))).hint(hint)
        }))
    }

    /// Another process delivers: it is watched.
    async fn wait_for_another(&self) -> Result<(), Failure> {
        let outbox = self.outbox()?;
        let mut before = self.left(&outbox)?;
        let mut deadline = Instant::now() + self.timeout;
        loop {
            let now = self.left(&outbox)?;
            if let Some(failure) = self.behind(&outbox, now)? {
                return Err(failure);
            }
            if now.waiting == 0 && !now.lacking {
                return none_refused(now);
            }
            if now != before {
                before = now;
                deadline = Instant::now() + self.timeout;
            }
            if Instant::now() >= deadline {
                let code = if now.numbered > 0 {
                    Code::Unknown
                } else {
                    Code::Unavailable
                };
                let text = format!("nothing was answered for a while; {}", waiting(now));
                return Err(
                    Failure::new(code, text).hint("tenfour queue --list shows what stands in the way")
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

fn went_back_hint(address: &str) -> String {
    format!(
        "tenfour queue {address} --resend-lost sends again what is still here, --forget-lost goes on without it"
    )
}

fn other_store_hint(address: &str) -> String {
    format!("tenfour queue {address} --resend-lost sends them there all the same, --forget-lost drops them")
}

fn waiting(left: Left) -> String {
    format!("left in the outbox: {}", show_count(left.waiting, "message"))
}

/// What was refused stays until somebody has decided about it, and so long it is said.
fn none_refused(left: Left) -> Result<(), Failure> {
    if left.refused == 0 {
        return Ok(());
    }
    let text = format!(
        "the outbox keeps what was refused: {}",
        show_count(left.refused, "message")
    );
    let code = if left.not_allowed > 0 {
        Code::NotAllowed
    } else {
        Code::Refused
    };
    Err(Failure::new(code, text)
        .hint("tenfour queue --list shows the reasons; --retry NUMBER or --drop NUMBER decides"))
}

fn with_words(mut failure: Failure, words: &str) -> Failure {
    failure.message = format!("{}; {words}", failure.message);
    failure
}
