//! The task that owns the connection of a client, and makes the next one when it breaks.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::native::{ClientEvent, ErrorCode, Welcome};
use tenfour_proto::{TemporaryCode, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::dial::dial;
use super::state::Shared;
use crate::config::ClientConfig;
use crate::error::{ConnectError, Failure, ReaderError, Regressed, io_reason};
use tenfour_identity::clock::sleep_until;
use tenfour_proto::Address;

/// First and longest pause between two attempts. Each is halved to doubled by chance, so that many
/// clients do not come back in step.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long the server's goodbye is waited for. Everything is answered then; only the connection is not at its end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes taken from the machine at once.
const CHUNK: usize = 64 * 1024;

/// Bytes read at once: a TLS record has no more.
const READ: usize = 16 * 1024;

type Halves = (ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>);

/// How often the first connection is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Whoever wants it has a plan of its own.
    Once,
    /// Until the deadline, as long as there is a server that may let us in later.
    UntilDeadline,
}

/// Connects and is welcomed, then goes on in a task of its own.
pub(crate) async fn start(
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    config: ClientConfig,
    tries: Tries,
) -> Result<(Address, String), ConnectError> {
    let (address, welcome, halves) = match first(&shared, &addresses, &config, tries).await {
        Ok(connected) => connected,
        Err(error) => {
            shared.end(None);
            return Err(error);
        }
    };
    // From now on only this server: another address of the same name is another matter.
    let driver = Driver {
        shared,
        addresses: vec![address.clone()],
        config,
        paused: None,
        last_error: None,
    };
    tokio::spawn(driver.run(halves));
    Ok((address, welcome.rights))
}

/// The first connection. A server that is full cuts whoever comes, or says that it is busy: a script that runs once must not
/// fail by that.
async fn first(
    shared: &Shared,
    addresses: &[Address],
    config: &ClientConfig,
    tries: Tries,
) -> Result<(Address, Welcome, Halves), ConnectError> {
    let until = Instant::now() + config.timeout;
    let mut pause = PAUSES.0;
    let mut before = None;
    loop {
        let error = match connect(shared, addresses, config, until).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        if matches!(error, ConnectError::TimedOut(_)) && Instant::now() >= until {
            // The time is over: an earlier try says more of the reason.
            return Err(before.unwrap_or(error));
        }
        let wait = pause.mul_f64(0.5 + chance());
        if tries == Tries::Once || !error.is_of_the_moment() || Instant::now() + wait >= until {
            return Err(error);
        }
        tracing::info!(%error, "no connection, trying again");
        before = Some(error);
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// One connection, up to its WELCOME.
async fn connect(
    shared: &Shared,
    addresses: &[Address],
    config: &ClientConfig,
    until: Instant,
) -> Result<(Address, Welcome, Halves), ConnectError> {
    let first = addresses.first().cloned();
    let timed_out = || match &first {
        Some(address) => ConnectError::TimedOut(address.clone()),
        None => ConnectError::Unreachable(Vec::new()),
    };
    tokio::time::timeout_at(until, async {
        let (address, stream) = dial(addresses, config).await?;
        let mut halves = tokio::io::split(stream);
        // As any silence.
        let greeted = greet(shared, &address, config, &mut halves);
        match tokio::time::timeout(limits::HEARTBEAT * 2, greeted).await {
            Ok(welcome) => Ok((address, welcome?, halves)),
            Err(_) => Err(ConnectError::TimedOut(address)),
        }
    })
    .await
    .unwrap_or_else(|_| Err(timed_out()))
}

/// HELLO, and what the server says to it.
async fn greet(
    shared: &Shared,
    address: &Address,
    config: &ClientConfig,
    halves: &mut Halves,
) -> Result<Welcome, ConnectError> {
    let broken = |reason: String| ConnectError::Broken {
        address: address.clone(),
        reason,
    };
    let mut out = Vec::new();
    shared.with(|state| {
        state.machine.disconnected();
        state.machine.connected(shared.clock.now());
        state.machine.poll_transmit(&mut out, 0);
    });
    let io = |error: std::io::Error| broken(io_reason(&error));
    halves.1.write_all(&out).await.map_err(io)?;
    halves.1.flush().await.map_err(io)?;
    let mut buffer = vec![0; READ];
    loop {
        let count = halves.0.read(&mut buffer).await.map_err(io)?;
        if count == 0 {
            return Err(broken(
                "the server closed the connection without a word".to_owned(),
            ));
        }
        let input = buffer.get(..count).unwrap_or_default();
        let (fault, event) = shared.with(|state| {
            let fault = state.machine.handle_bytes(shared.clock.now(), input).err();
            (fault, state.machine.poll_event())
        });
        return Err(match event {
            Some(ClientEvent::Welcomed(welcome)) => return Ok(*welcome),
            Some(ClientEvent::Failed(error)) => ConnectError::of_server(address, config.durability, error),
            Some(ClientEvent::Regressed {
                high_water_mark,
                receipted,
                first,
                now,
            }) => ConnectError::Regressed(Regressed {
                high_water_mark,
                receipted,
                first,
                now,
            }),
            Some(ClientEvent::OtherStore { first, now }) => ConnectError::OtherStore { first, now },
            Some(ClientEvent::GoingAway(reason)) => ConnectError::NotNow {
                address: address.clone(),
                reason,
            },
            Some(_) | None => match fault {
                Some(fault) if fault.code == ErrorCode::Durability => ConnectError::Durability {
                    address: address.clone(),
                    demanded: config.durability,
                },
                Some(fault) => broken(fault.to_string()),
                None => continue,
            },
        });
    }
}

struct Driver {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    config: ClientConfig,
    /// The server's last word was that it takes nothing now.
    paused: Option<TemporaryCode>,
    last_error: Option<String>,
}

/// How a connection ended.
enum End {
    /// Everything is answered and goodbye is said, or nobody is left to ask.
    Finished,
    /// Try again.
    Lost(String),
    /// It is no use.
    Failed(Failure),
}

impl Driver {
    async fn run(mut self, mut halves: Halves) {
        let end = loop {
            let end = self.converse(halves).await;
            let (reason, is_lost) = match end {
                End::Finished => break None,
                End::Failed(failure) => (self.give_up(failure), true),
                End::Lost(reason) => (Ok(reason), false),
            };
            let reason = match reason {
                Ok(reason) => reason,
                Err(error) => break Some(error),
            };
            let wanted = self.shared.with(|state| state.disconnected(&reason)) || is_lost;
            if self.shared.with(|state| state.has_nothing_left()) {
                break None;
            }
            if !wanted {
                tracing::info!(server = %self.address(), reason, "the connection is lost, trying again");
            }
            self.last_error = Some(reason);
            match self.reconnect(wanted).await {
                Ok(new) => halves = new,
                Err(error) => break error,
            }
        };
        self.shared.with(|state| state.machine.disconnected());
        self.shared.end(end);
    }

    /// The stream has ended. Whoever reads on the connection goes on, by another one that has no stream, unless the
    /// reason concerns him too: then it is given back.
    fn give_up(&self, failure: Failure) -> Result<String, ReaderError> {
        let reason = failure.to_string();
        let of_all = match &failure {
            Failure::Connect(ConnectError::NotAllowed { reason, .. }) => {
                Some(ReaderError::CutOff(reason.clone()))
            }
            Failure::Connect(error) => Some(ReaderError::Connect(error.clone())),
            Failure::Protocol(text) => Some(ReaderError::Lost(text.clone())),
            _ => None,
        };
        self.shared.fail(failure);
        let asked = self.shared.with(|state| {
            state.machine.disconnected();
            state.machine.abandon_producer();
            state.is_asked_for_more()
        });
        match of_all {
            Some(error) => Err(error),
            None if asked => Ok(reason),
            None => Err(ReaderError::Lost(reason)),
        }
    }

    /// Tries until it works, or it is no use. The deadline of a message ends its stream, and the trying where nobody
    /// reads. With `at_once` the first try does not wait.
    async fn reconnect(&mut self, at_once: bool) -> Result<Halves, Option<ReaderError>> {
        let mut pause = PAUSES.0;
        let mut wait = if at_once {
            Duration::ZERO
        } else {
            pause.mul_f64(0.5 + chance())
        };
        loop {
            let tried = match self.rest(wait).await {
                Err(Failure::Closed) => return Err(None),
                Err(failure) => Err(failure),
                Ok(()) => self.try_once().await,
            };
            match tried {
                Ok(Some(halves)) => {
                    self.paused = None;
                    return Ok(halves);
                }
                Ok(None) => {}
                Err(failure) => drop(self.give_up(failure)?),
            }
            pause = (pause * 2).min(PAUSES.1);
            wait = pause.mul_f64(0.5 + chance());
        }
    }

    /// One attempt. `None`: another one may help.
    async fn try_once(&mut self) -> Result<Option<Halves>, Failure> {
        let deadline = self.shared.with(|state| state.deadline());
        let until = deadline.unwrap_or_else(|| Instant::now() + self.config.timeout);
        match connect(&self.shared, &self.addresses, &self.config, until).await {
            Ok((_, _, halves)) => Ok(Some(halves)),
            Err(ConnectError::TakenOver) => Err(Failure::TakenOver),
            Err(ConnectError::Regressed(regressed)) => Err(Failure::Regressed(regressed)),
            Err(ConnectError::OtherStore { first, now }) => Err(Failure::OtherStore { first, now }),
            Err(error) if error.is_temporary() => {
                tracing::info!(%error, "no connection, trying again");
                self.last_error = Some(error.to_string());
                Ok(None)
            }
            Err(error) => Err(Failure::Connect(error)),
        }
    }

    /// Waits between two attempts. Messages that come meanwhile bring their deadlines with them.
    async fn rest(&self, wait: Duration) -> Result<(), Failure> {
        let end = Instant::now() + wait;
        loop {
            let (deadline, abandoned) = self
                .shared
                .with(|state| (state.deadline(), state.has_nothing_left()));
            if abandoned {
                return Err(Failure::Closed);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(self.deadline_passed());
            }
            let until = deadline.map_or(end, |deadline| deadline.min(end));
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.shared.wake.woken() => {}
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    fn deadline_passed(&self) -> Failure {
        Failure::Deadline {
            last_error: self.last_error.clone(),
            paused: self.paused,
        }
    }

    /// Sends and receives until the connection ends.
    async fn converse(&mut self, (mut reader, mut writer): Halves) -> End {
        let mut input = vec![0; READ];
        let mut out = Vec::with_capacity(CHUNK);
        let mut written = 0;
        let mut flushed = true;
        let mut farewell = None;
        // Events of the same bytes as WELCOME wait already.
        if let Some(end) = self.take_events() {
            return end;
        }
        loop {
            if written == out.len() {
                out.clear();
                written = 0;
                self.shared.with(|state| {
                    state.transmit();
                    state.machine.poll_transmit(&mut out, CHUNK);
                });
            }
            let (timeout, deadline, ended, leaving, backlogged, flooded) = self.shared.with(|state| {
                (
                    state.machine.poll_timeout(),
                    state.deadline(),
                    state.machine.has_ended(),
                    state.has_nothing_left(),
                    state.is_backlogged(),
                    state.is_flooded(),
                )
            });
            if flooded {
                return self.lost("nobody waits any more for what the server sends");
            }
            if leaving {
                farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
            }
            if ended && out.is_empty() && flushed {
                return End::Lost("the connection has ended".to_owned());
            }
            let timeout = timeout.map(|moment| self.shared.clock.instant(moment));
            let wake_at = [timeout, deadline, farewell].into_iter().flatten().min();
            let unwritten = written < out.len();
            tokio::select! {
                count = reader.read(&mut input), if !backlogged => {
                    let count = match count {
                        Ok(0) => return self.lost("the server closed the connection"),
                        Ok(count) => count,
                        Err(error) => return self.lost(&io_reason(&error)),
                    };
                    let bytes = input.get(..count).unwrap_or_default();
                    let now = self.shared.clock.now();
                    let fault = self.shared.with(|state| state.machine.handle_bytes(now, bytes).err());
                    if let Some(end) = self.take_events() {
                        return end;
                    }
                    if let Some(fault) = fault {
                        return End::Failed(Failure::Protocol(fault.to_string()));
                    }
                }
                result = push(&mut writer, out.get(written..).unwrap_or_default()), if unwritten || !flushed => {
                    flushed = !unwritten;
                    match result {
                        Ok(count) => written += count,
                        // What the server still said is read first.
                        Err(_) => written = out.len(),
                    }
                }
                () = self.shared.wake.woken(), if !unwritten => {}
                () = sleep_until(wake_at) => {
                    let now = self.shared.clock.now();
                    self.shared.with(|state| {
                        if backlogged {
                            state.machine.keep_alive(now);
                        }
                        state.machine.handle_timeout(now);
                    });
                    if let Some(end) = self.take_events() {
                        return end;
                    }
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return End::Failed(self.deadline_passed());
                    }
                    if farewell.is_some_and(|farewell| farewell <= Instant::now()) {
                        return End::Finished;
                    }
                }
            }
        }
    }

    fn lost(&self, reason: &str) -> End {
        End::Lost(reason.to_owned())
    }

    /// Acts on what the machine has understood.
    fn take_events(&mut self) -> Option<End> {
        while let Some(event) = self.shared.with(|state| state.machine.poll_event()) {
            match event {
                ClientEvent::Settled(settlement, durability) => {
                    self.paused = None;
                    self.shared.settle(&settlement, durability);
                }
                ClientEvent::Paused(reason) => {
                    self.paused = Some(reason);
                    self.last_error = Some(reason.to_string());
                }
                ClientEvent::GoingAway(reason) => {
                    tracing::debug!(%reason, "the server sends us away");
                }
                ClientEvent::Closed => {
                    let done = self.shared.with(|state| state.has_nothing_left());
                    return Some(if done {
                        End::Finished
                    } else {
                        End::Lost("the server stopped".to_owned())
                    });
                }
                ClientEvent::Dead => {
                    let silence = limits::HEARTBEAT.as_secs() * 2;
                    return Some(End::Lost(format!("nothing was heard for {silence} s")));
                }
                ClientEvent::Failed(error) => {
                    let error = ConnectError::of_server(&self.address(), self.config.durability, error);
                    return Some(match error {
                        ConnectError::TakenOver => End::Failed(Failure::TakenOver),
                        error if error.is_temporary() => End::Lost(error.reason()),
                        error => End::Failed(Failure::Connect(error)),
                    });
                }
                ClientEvent::Reply(sequence, reply) => self.shared.reply(sequence, reply),
                // They come instead of a WELCOME only, which is not taken here.
                ClientEvent::Regressed { .. } | ClientEvent::OtherStore { .. } | ClientEvent::Welcomed(_) => {
                }
                event => self.shared.with(|state| state.take_event(event)),
            }
        }
        None
    }

    fn address(&self) -> Address {
        // There is always the one that welcomed us.
        self.addresses
            .first()
            .cloned()
            .unwrap_or_else(|| Address::from_ip([0, 0, 0, 0].into(), 0))
    }
}

/// Writes some of the bytes; flushes when there are none.
async fn push(writer: &mut WriteHalf<TlsStream<TcpStream>>, bytes: &[u8]) -> std::io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await.map(|()| 0)
    } else {
        writer.write(bytes).await
    }
}

/// A number from 0 to 1.
pub(crate) fn chance() -> f64 {
    let draw = RandomState::new().build_hasher().finish();
    (draw >> 11) as f64 / (1u64 << 53) as f64
}
