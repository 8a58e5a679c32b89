//! Reading a mailbox of a server: what is there, and what comes.

use std::time::Duration;

use tenfour_proto::native::{
    Client as Machine, ClientEvent, Credit, EndReason, ErrorCode, ReadFrom, ReadRequest,
};
use tenfour_proto::{Item, MailboxName, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::dial::dial;
use super::{ClientConfig, ConnectError};
use crate::Address;
use crate::clock::{Clock, sleep_until};

/// What may be on its way to us: enough to keep the wire full.
const WINDOW: Credit = Credit {
    messages: 1_024,
    bytes: 1024 * 1024,
};

/// Longest pause between two attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Messages of one mailbox, in order. In the following kind it outlives its connections and goes on
/// at the next offset.
pub struct Follower {
    addresses: Vec<Address>,
    config: ClientConfig,
    mailbox: MailboxName,
    from: ReadFrom,
    follow: bool,
    connection: Option<Connection>,
    used: Credit,
    ended: bool,
}

/// Reading stopped before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// This key may not read that mailbox.
    #[error("this key may not read `{0}`")]
    NotAllowed(MailboxName),
    /// The server has ended the read: the key is not allowed in any more, in the server's words.
    #[error("{0}")]
    CutOff(String),
    /// A message on the server does not match its checksum.
    #[error("the message at {mailbox} #{offset} is damaged on the server")]
    Damaged {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
    },
    /// The server could not read its store.
    #[error("the server cannot read its store")]
    Failed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

struct Connection {
    machine: Machine,
    stream: TlsStream<TcpStream>,
    clock: Clock,
    input: Vec<u8>,
}

impl Follower {
    /// Connects and begins to read `mailbox`; with `follow` it waits for new messages at the end.
    pub async fn connect(
        addresses: &[Address],
        config: ClientConfig,
        mailbox: MailboxName,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Self, FollowError> {
        let mut follower = Follower {
            addresses: addresses.to_vec(),
            config,
            mailbox,
            from,
            follow,
            connection: None,
            used: Credit {
                messages: 0,
                bytes: 0,
            },
            ended: false,
        };
        follower.open().await?;
        Ok(follower)
    }

    async fn open(&mut self) -> Result<(), FollowError> {
        let opening = async {
            let (address, stream) = dial(&self.addresses, &self.config).await?;
            let mut machine = Machine::new(super::options(&self.config, None, None));
            let clock = Clock::start();
            machine.connected(clock.now());
            let mut connection = Connection {
                machine,
                stream,
                clock,
                input: vec![0; 64 * 1024],
            };
            loop {
                connection
                    .step()
                    .await
                    .map_err(|reason| broken(&address, reason))?;
                match connection.machine.poll_event() {
                    Some(ClientEvent::Welcomed(_)) => break,
                    Some(ClientEvent::Failed(error)) if error.code == ErrorCode::NotAllowed => {
                        return Err(ConnectError::NotAllowed {
                            address,
                            reason: error.text,
                            reference: error.reference,
                        });
                    }
                    Some(ClientEvent::Failed(error)) if error.code == ErrorCode::Durability => {
                        return Err(ConnectError::Durability {
                            address,
                            demanded: self.config.durability,
                        });
                    }
                    Some(ClientEvent::Failed(error)) => return Err(broken(&address, error.text)),
                    Some(ClientEvent::GoingAway(reason)) => {
                        return Err(ConnectError::NotNow { address, reason });
                    }
                    _ => {}
                }
            }
            connection.machine.read(ReadRequest {
                request: 1,
                mailbox: self.mailbox.clone(),
                from: self.from,
                follow: self.follow,
                credit: WINDOW,
            });
            Ok(connection)
        };
        let connection = tokio::time::timeout(self.config.timeout, opening).await;
        self.connection = Some(match connection {
            Ok(connection) => connection?,
            Err(_) => match self.addresses.first() {
                Some(address) => return Err(ConnectError::TimedOut(address.clone()).into()),
                None => return Err(ConnectError::Unreachable(Vec::new()).into()),
            },
        });
        self.used = Credit {
            messages: 0,
            bytes: 0,
        };
        Ok(())
    }

    /// The next message; `None` at the end of a read that does not follow.
    pub async fn next(&mut self) -> Result<Option<Item>, FollowError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(connection) = &mut self.connection else {
                self.open_again().await?;
                continue;
            };
            match connection.machine.poll_event() {
                Some(ClientEvent::Item(item)) => {
                    self.take(&item);
                    return Ok(Some(*item));
                }
                Some(ClientEvent::ReadEnd(end)) => {
                    self.ended = true;
                    match end.reason {
                        EndReason::CaughtUp => {}
                        EndReason::NotAllowed => return Err(FollowError::NotAllowed(self.mailbox.clone())),
                        EndReason::Damaged => {
                            return Err(FollowError::Damaged {
                                mailbox: self.mailbox.clone(),
                                offset: end.next,
                            });
                        }
                        _ => return Err(FollowError::Failed),
                    }
                }
                Some(ClientEvent::Failed(error)) if error.code == ErrorCode::NotAllowed => {
                    self.ended = true;
                    return Err(FollowError::CutOff(error.text));
                }
                Some(ClientEvent::Failed(error)) => self.lost(error.text)?,
                Some(ClientEvent::Closed | ClientEvent::Dead) => {
                    self.lost("the server is gone".to_owned())?
                }
                Some(_) => {}
                None => {
                    if let Err(reason) = connection.step().await {
                        self.lost(reason)?;
                    }
                }
            }
        }
    }

    fn take(&mut self, item: &Item) {
        self.from = ReadFrom::Offset(item.offset + 1);
        self.used.messages += 1;
        let length = u32::try_from(item.message.body.len()).unwrap_or(u32::MAX);
        self.used.bytes = self.used.bytes.saturating_add(length);
        if (self.used.messages >= WINDOW.messages / 2 || self.used.bytes >= WINDOW.bytes / 2)
            && let Some(connection) = &mut self.connection
        {
            connection.machine.grant(self.used.messages, self.used.bytes);
            self.used = Credit {
                messages: 0,
                bytes: 0,
            };
        }
    }

    /// A follower connects again; whoever reads to the end once is told.
    fn lost(&mut self, reason: String) -> Result<(), FollowError> {
        self.connection = None;
        if self.follow {
            tracing::info!(reason, "the connection is lost, trying again");
            Ok(())
        } else {
            Err(FollowError::Lost(reason))
        }
    }

    async fn open_again(&mut self) -> Result<(), FollowError> {
        // What has come before the end of what was asked for is not asked for again.
        if let ReadFrom::Last(_) = self.from {
            self.from = ReadFrom::Last(0);
        }
        let mut pause = Duration::from_millis(100);
        loop {
            match self.open().await {
                Err(FollowError::Connect(error)) if error.is_temporary() => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }
}

fn broken(address: &Address, reason: String) -> ConnectError {
    ConnectError::Broken {
        address: address.clone(),
        reason,
    }
}

impl Connection {
    /// Writes what is ready, then waits for bytes or the time. An error is the end of the connection.
    async fn step(&mut self) -> Result<(), String> {
        let mut out = Vec::new();
        self.machine.poll_transmit(&mut out, limits::MAX_FRAME_BODY);
        let io = |error: std::io::Error| super::error::io_reason(&error);
        if !out.is_empty() {
            self.stream.write_all(&out).await.map_err(io)?;
            self.stream.flush().await.map_err(io)?;
        }
        let at = self
            .machine
            .poll_timeout()
            .map(|moment| self.clock.instant(moment));
        tokio::select! {
            count = self.stream.read(&mut self.input) => {
                let count = count.map_err(io)?;
                if count == 0 {
                    return Err("the server closed the connection".to_owned());
                }
                let input = self.input.get(..count).unwrap_or_default();
                self.machine.handle_bytes(self.clock.now(), input).map_err(|fault| fault.to_string())
            }
            () = sleep_until(at) => {
                self.machine.handle_timeout(self.clock.now());
                Ok(())
            }
        }
    }
}
