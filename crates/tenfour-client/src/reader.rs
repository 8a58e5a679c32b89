//! Reading a mailbox of a server: what is there, and what comes.

use std::time::Duration;

use tenfour_proto::native::{ClientEvent, Credit, EndReason, ErrorCode, ReadFrom, ReadRequest};
use tenfour_proto::{Item, MailboxName};

use crate::config::ClientConfig;
use crate::connection::session::Session;
use crate::error::ConnectError;
use tenfour_proto::Address;

/// What may be on its way to us: enough to keep the wire full.
const WINDOW: Credit = Credit {
    messages: 1_024,
    bytes: 1024 * 1024,
};

/// Pause after the first attempt to connect again; each is twice as long as the last.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// But not longer than this.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Messages of one mailbox, in order. In the following kind it outlives its connections and goes on
/// at the next offset.
pub struct Follower {
    addresses: Vec<Address>,
    config: ClientConfig,
    mailbox: MailboxName,
    from: ReadFrom,
    follow: bool,
    session: Option<Session>,
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
    /// The server has as many cursors as it may have.
    #[error("the server has too many cursors to make another one")]
    TooManyCursors,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl FollowError {
    /// The server has ended a read of `mailbox` at `offset`, before its end.
    pub(crate) fn ended(reason: EndReason, mailbox: &MailboxName, offset: u64) -> Self {
        let mailbox = mailbox.clone();
        match reason {
            EndReason::NotAllowed => FollowError::NotAllowed(mailbox),
            EndReason::Damaged => FollowError::Damaged { mailbox, offset },
            EndReason::TooManyCursors => FollowError::TooManyCursors,
            _ => FollowError::Failed,
        }
    }
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
            session: None,
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
        let mut session = Session::open(&self.addresses, &self.config).await?;
        session.machine.read(ReadRequest {
            request: 1,
            mailbox: self.mailbox.clone(),
            from: self.from,
            cursor: None,
            follow: self.follow,
            credit: WINDOW,
        });
        self.session = Some(session);
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
            let Some(session) = &mut self.session else {
                self.open_again().await?;
                continue;
            };
            match session.machine.poll_event() {
                Some(ClientEvent::Item(item)) => {
                    self.take(&item);
                    return Ok(Some(*item));
                }
                Some(ClientEvent::ReadEnd(end)) => {
                    self.ended = true;
                    match end.reason {
                        EndReason::CaughtUp => {}
                        reason => return Err(FollowError::ended(reason, &self.mailbox, end.next)),
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
                    if let Err(reason) = session.step().await {
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
            && let Some(session) = &mut self.session
        {
            session.machine.grant(self.used.messages, self.used.bytes);
            self.used = Credit {
                messages: 0,
                bytes: 0,
            };
        }
    }

    /// A follower connects again; whoever reads to the end once is told.
    fn lost(&mut self, reason: String) -> Result<(), FollowError> {
        self.session = None;
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
        let mut pause = FIRST_PAUSE;
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
