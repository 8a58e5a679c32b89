//! What servers tell each other, beside their commits: a NOTIFY within a commit would have all commits of the whole cluster wait
//! for each other. A word that is lost costs time only: what it said is looked for once a second.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tenfour_proto::{MailboxName, ProducerId, Sender};
use tenfour_store::{Answered, Heard, News};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_postgres::Row;

use crate::address::Address;
use crate::error::Trouble;
use crate::session::{PAUSE, Session};
use crate::sql::last_offset;
use crate::{lane, replies};

/// Words that are not sent yet; more are not said.
const WORDS: usize = 4_096;

/// What is said within so long is said together.
const GATHER: Duration = Duration::from_millis(5);

/// Everything is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// A notification holds less than 8,000 bytes (https://www.postgresql.org/docs/current/sql-notify.html).
const LONGEST: usize = 7_000;

/// Replies that are looked at in one go, and so many numbers may be late.
const REPLIES: i64 = 1_024;

const ENDS: &str = concat!("SELECT name, ", last_offset!(), " FROM mailbox WHERE NOT removed");

const NEW_REPLIES: &str = "SELECT reply.stream, code, sum, body, at, sender.name, stream.stream, sequence
    FROM reply JOIN stream ON stream.id = reply.stream JOIN sender ON sender.id = stream.sender
    WHERE at > $1 ORDER BY at LIMIT $2";

const STATEMENTS: &[&str] = &[ENDS, NEW_REPLIES];

/// Something that this server has done.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Raised(MailboxName, u64),
    Answered,
    Claimed(u64, ProducerId, Sender),
}

/// Where the writer leaves its words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(Option<tokio::sync::mpsc::Sender<Word>>);

impl Words {
    /// Says it, if there is somebody to hear it and room for it.
    pub(crate) fn say(&self, word: Word) {
        if let Some(words) = &self.0 {
            let _ = words.try_send(word);
        }
    }
}

/// Listens, and says what the writer has left.
pub(crate) struct PostgresNews {
    address: Address,
    lane: i64,
    session: Option<Session>,
    words: Receiver<Word>,
    looked: Option<Instant>,
    ends: HashMap<MailboxName, u64>,
    /// The highest number of a reply that was seen; none before the first look.
    seen: Option<i64>,
    /// Those that were seen of late: lower numbers may come later.
    replies: BTreeSet<i64>,
}

impl PostgresNews {
    pub(crate) fn new(address: Address, lane: i64) -> (Self, Words) {
        let (say, words) = channel(WORDS);
        let news = PostgresNews {
            address,
            lane,
            session: None,
            words,
            looked: None,
            ends: HashMap::new(),
            seen: None,
            replies: BTreeSet::new(),
        };
        (news, Words(Some(say)))
    }

    fn connect(&self) -> Result<Session, Trouble> {
        let session = lane::connect(&self.address, self.lane, STATEMENTS)?;
        session.run(async { Ok(session.client().batch_execute("LISTEN tenfour").await?) })?;
        Ok(session)
    }

    /// Waits until something is heard, or the time is over.
    async fn listen(&mut self, session: &mut Session, until: Instant) -> Result<Vec<Heard>, Trouble> {
        let mut heard = Vec::new();
        while heard.is_empty() && Instant::now() < until {
            let due = self
                .looked
                .map_or_else(Instant::now, |looked| looked + LOOK)
                .min(until);
            tokio::select! {
                notification = session.notification() => {
                    let Some(notification) = notification else {
                        return Err(Trouble::Lost("the connection is closed".to_owned()));
                    };
                    self.hear(session, notification.payload(), &mut heard).await?;
                    while let Some(more) = session.next_notification() {
                        self.hear(session, more.payload(), &mut heard).await?;
                    }
                }
                Some(word) = self.words.recv() => self.say(session, word).await?,
                () = tokio::time::sleep_until(due.into()) => {
                    if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                        self.look(session, &mut heard).await?;
                    }
                }
            }
        }
        Ok(heard)
    }

    /// Says a word, with those that come soon after.
    async fn say(&mut self, session: &Session, first: Word) -> Result<(), Trouble> {
        tokio::time::sleep(GATHER).await;
        let mut raised: HashMap<MailboxName, u64> = HashMap::new();
        let mut is_answered = false;
        let mut payloads = Vec::new();
        let mut next = Some(first);
        while let Some(word) = next {
            match word {
                Word::Raised(mailbox, last) => {
                    let known = raised.entry(mailbox).or_default();
                    *known = last.max(*known);
                }
                Word::Answered => is_answered = true,
                Word::Claimed(epoch, producer, sender) => {
                    let number = u128::from_be_bytes(*producer.as_bytes());
                    payloads.push(format!("{} c {epoch} {:032x} {sender}", self.lane, number));
                }
            }
            next = self.words.try_recv().ok();
        }
        if is_answered {
            payloads.push(format!("{} a", self.lane));
        }
        let mut payload = String::new();
        for (mailbox, last) in raised {
            if payload.len() > LONGEST {
                payloads.push(std::mem::take(&mut payload));
            }
            if payload.is_empty() {
                payload = format!("{} r", self.lane);
            }
            payload.push_str(&format!(" {mailbox}:{last}"));
        }
        payloads.extend(Some(payload).filter(|payload| !payload.is_empty()));
        session
            .client()
            .execute(
                "SELECT pg_notify('tenfour', said) FROM unnest($1::text[]) AS said",
                &[&payloads],
            )
            .await?;
        Ok(())
    }

    /// Understands the words of another server.
    async fn hear(
        &mut self,
        session: &Session,
        payload: &str,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Trouble> {
        let mut words = payload.split(' ');
        if words.next().is_none_or(|lane| lane == self.lane.to_string()) {
            return Ok(());
        }
        match words.next() {
            Some("r") => {
                for word in words {
                    if let Some((name, last)) = word.split_once(':')
                        && let (Ok(mailbox), Ok(last)) = (name.parse::<MailboxName>(), last.parse())
                    {
                        self.ends.insert(mailbox.clone(), last);
                        heard.push(Heard::Raised(mailbox, last));
                    }
                }
            }
            Some("a") => self.look_for_replies(session, heard).await?,
            Some("c") => {
                if let (Some(epoch), Some(producer), Some(sender)) =
                    (words.next(), words.next(), words.next())
                    && let (Ok(epoch), Ok(number), Ok(sender)) =
                        (epoch.parse(), u128::from_str_radix(producer, 16), sender.parse())
                {
                    heard.push(Heard::Claimed {
                        sender,
                        producer: ProducerId::from_bytes(number.to_be_bytes()),
                        epoch,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Finds what was not said, or not heard.
    async fn look(&mut self, session: &Session, heard: &mut Vec<Heard>) -> Result<(), Trouble> {
        for row in session.client().query(session.statement(ENDS)?, &[]).await? {
            let last = row.try_get::<_, i64>(1)?.unsigned_abs();
            if let Ok(mailbox) = row.try_get::<_, &str>(0)?.parse::<MailboxName>()
                && self.ends.insert(mailbox.clone(), last) != Some(last)
            {
                heard.push(Heard::Raised(mailbox, last));
            }
        }
        self.look_for_replies(session, heard).await?;
        self.looked = Some(Instant::now());
        Ok(())
    }

    async fn look_for_replies(&mut self, session: &Session, heard: &mut Vec<Heard>) -> Result<(), Trouble> {
        let Some(seen) = self.seen else {
            let row = session
                .client()
                .query_one("SELECT coalesce(max(at), 0) FROM reply", &[])
                .await?;
            self.seen = Some(row.try_get(0)?);
            return Ok(());
        };
        let statement = session.statement(NEW_REPLIES)?;
        let rows = session
            .client()
            .query(statement, &[&(seen - REPLIES), &(2 * REPLIES)])
            .await?;
        for row in &rows {
            let at = row.try_get(4)?;
            self.seen = self.seen.max(Some(at));
            if self.replies.insert(at) && at > seen - REPLIES {
                heard.extend(answered(row)?.map(Heard::Answered));
            }
        }
        let kept = self.seen.unwrap_or(seen) - REPLIES;
        self.replies = self.replies.split_off(&kept);
        Ok(())
    }
}

/// A reply of [`NEW_REPLIES`]; one that is damaged is none.
fn answered(row: &Row) -> Result<Option<Answered>, Trouble> {
    let sequence = row.try_get::<_, i64>(7)?.unsigned_abs();
    let sender = row.try_get::<_, &str>(5)?.parse();
    let producer = <[u8; 16]>::try_from(row.try_get::<_, &[u8]>(6)?);
    let reply = replies::checked(row, sequence)?;
    Ok(match (sender, producer, reply) {
        (Ok(sender), Ok(producer), Some(reply)) => Some(Answered {
            sender,
            producer: ProducerId::from_bytes(producer),
            sequence,
            reply,
        }),
        _ => None,
    })
}

impl News for PostgresNews {
    fn wait(&mut self, longest: Duration) -> Vec<Heard> {
        let session = match self.session.take() {
            Some(session) => Ok(session),
            None => self.connect(),
        };
        let heard = session.and_then(|mut session| {
            let Some(runtime) = session.take_runtime() else {
                return Err(Trouble::Lost("closed".to_owned()));
            };
            let heard = runtime.block_on(self.listen(&mut session, Instant::now() + longest));
            session.give_runtime(runtime);
            if heard.is_ok() {
                self.session = Some(session);
            }
            heard
        });
        heard.unwrap_or_else(|trouble| {
            tracing::debug!(why = trouble.text(), "nothing is heard of other servers");
            std::thread::sleep(PAUSE);
            Vec::new()
        })
    }
}
