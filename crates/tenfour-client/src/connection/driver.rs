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
use crate::error::{ConnectError, Failure, WentBack, io_reason};
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

/// Connects and is welcomed, then goes on in a task of its own.
pub(crate) async fn start(
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    config: ClientConfig,
) -> Result<(Address, String), ConnectError> {
    let until = Instant::now() + config.timeout;
    let (address, welcome, halves) = match connect(&shared, &addresses, &config, until).await {
        Ok(connected) => connected,
        Err(error) => {
            shared.has_finished();
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
            Some(ClientEvent::Failed(error)) => match error.code {
                ErrorCode::NotAllowed => ConnectError::NotAllowed {
                    address: address.clone(),
                    reason: error.text,
                    reference: error.reference,
                },
                ErrorCode::Invitation => ConnectError::Invitation {
                    address: address.clone(),
                    reason: error.text,
                },
                ErrorCode::Durability => ConnectError::Durability {
                    address: address.clone(),
                    demanded: config.durability,
                },
                ErrorCode::TakenOver => return Err(ConnectError::TakenOver),
                ErrorCode::Version | ErrorCode::Protocol | ErrorCode::Gap => ConnectError::Incompatible {
                    address: address.clone(),
                    reason: format!("the server ended the connection: {}", error.text),
                },
                _ => broken(format!("the server ended the connection: {}", error.text)),
            },
            Some(ClientEvent::WentBack {
                mark,
                receipted,
                first,
                now,
            }) => ConnectError::WentBack(WentBack {
                mark,
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
        loop {
            let end = self.converse(halves).await;
            self.shared.with(|state| state.machine.disconnected());
            let reason = match end {
                End::Finished => break,
                End::Failed(failure) => {
                    self.shared.fail(failure);
                    break;
                }
                End::Lost(reason) => reason,
            };
            if self.shared.with(|state| state.has_nothing_left()) {
                break;
            }
            tracing::debug!(reason, "the connection is lost");
            self.last_error = Some(reason);
            match self.reconnect().await {
                Ok(new) => halves = new,
                Err(failure) => {
                    self.shared.fail(failure);
                    break;
                }
            }
        }
        self.shared.has_finished();
    }

    /// Tries until it works, or the deadline of a message passes, or it is no use.
    async fn reconnect(&mut self) -> Result<Halves, Failure> {
        let mut pause = PAUSES.0;
        loop {
            let wait = pause.mul_f64(0.5 + chance());
            pause = (pause * 2).min(PAUSES.1);
            self.rest(wait).await?;
            let deadline = self.shared.with(|state| state.deadline());
            let until = deadline.unwrap_or_else(|| Instant::now() + self.config.timeout);
            match connect(&self.shared, &self.addresses, &self.config, until).await {
                Ok((_, _, halves)) => {
                    self.paused = None;
                    return Ok(halves);
                }
                Err(ConnectError::TakenOver) => return Err(Failure::TakenOver),
                Err(ConnectError::WentBack(went_back)) => return Err(Failure::WentBack(went_back)),
                Err(ConnectError::OtherStore { first, now }) => {
                    return Err(Failure::OtherStore { first, now });
                }
                Err(error) if error.is_temporary() => {
                    tracing::debug!(%error, "no connection");
                    self.last_error = Some(error.to_string());
                }
                Err(error) => return Err(Failure::Connect(error)),
            }
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
                () = self.shared.wake.notified() => {}
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
                self.shared
                    .with(|state| state.machine.poll_transmit(&mut out, CHUNK));
            }
            let (timeout, deadline, ended, leaving) = self.shared.with(|state| {
                (
                    state.machine.poll_timeout(),
                    state.deadline(),
                    state.machine.has_ended(),
                    state.has_nothing_left(),
                )
            });
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
                count = reader.read(&mut input) => {
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
                () = self.shared.wake.notified(), if !unwritten => {}
                () = sleep_until(wake_at) => {
                    let now = self.shared.clock.now();
                    self.shared.with(|state| state.machine.handle_timeout(now));
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
                    return Some(match error.code {
                        ErrorCode::TakenOver => End::Failed(Failure::TakenOver),
                        ErrorCode::NotAllowed => End::Failed(Failure::Connect(ConnectError::NotAllowed {
                            address: self.address(),
                            reason: error.text,
                            reference: error.reference,
                        })),
                        ErrorCode::Internal | ErrorCode::TimedOut => End::Lost(error.text),
                        _ => End::Failed(Failure::Protocol(format!(
                            "the server ended the connection: {}",
                            error.text
                        ))),
                    });
                }
                ClientEvent::Reply(sequence, reply) => self.shared.reply(sequence, reply),
                // The first three come instead of a WELCOME only, which is not taken here.
                ClientEvent::WentBack { .. }
                | ClientEvent::OtherStore { .. }
                | ClientEvent::Welcomed(_)
                | ClientEvent::Item(_)
                | ClientEvent::ReadEnd(_)
                | ClientEvent::Progressed(_)
                | ClientEvent::Status(_)
                | ClientEvent::StatusEnd(_)
                | ClientEvent::Backup(_)
                | ClientEvent::BackupEnd(_) => {}
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
