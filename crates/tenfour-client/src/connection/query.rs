//! What is asked of a server beside the messages: its state, or a copy of its store. One at a time on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tenfour_proto::native::{
    BackupEnd, Client as Machine, ClientEvent, RemoveOutcome, RemoveRequest, StatusEnd, StatusRequest,
    StatusRow,
};
use tenfour_proto::{CursorName, MailboxName, ProducerId};
use tokio::sync::mpsc;

use super::wake::Wake;

/// Bytes of a backup that wait to be written. Beyond, nothing more is read from the connection.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// What the server is doing.
    Status,
    /// What became of the messages of a producer of ours.
    DeliveryState(ProducerId),
    /// All of its store.
    Backup,
    /// That a mailbox be removed, or a cursor of it.
    Remove(MailboxName, Option<CursorName>),
}

/// A part of the answer.
#[derive(Debug)]
pub(crate) enum Part {
    Row(StatusRow),
    StatusEnd(StatusEnd),
    Piece(Bytes),
    BackupEnd(BackupEnd),
    Removed(RemoveOutcome),
}

/// A question on its connection.
#[derive(Debug)]
pub(crate) struct Query {
    question: Question,
    /// Its number on the connection, once it is on its way.
    request: Option<u32>,
    tell: mpsc::UnboundedSender<Part>,
    waiting: Arc<AtomicUsize>,
}

/// Where the answer comes.
#[derive(Debug)]
pub(crate) struct Answers {
    parts: mpsc::UnboundedReceiver<Part>,
    waiting: Arc<AtomicUsize>,
    wake: Wake,
}

impl Query {
    pub(crate) fn new(question: Question, wake: Wake) -> (Self, Answers) {
        let (tell, parts) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let query = Query {
            question,
            request: None,
            tell,
            waiting: Arc::clone(&waiting),
        };
        (query, Answers { parts, waiting, wake })
    }

    /// Sends the question, where that was not done yet.
    pub(crate) fn transmit(&mut self, machine: &mut Machine, next_request: &mut u32) {
        if self.request.is_some() {
            return;
        }
        *next_request += 1;
        let request = *next_request;
        self.request = Some(request);
        match &self.question {
            Question::Status => machine.status(StatusRequest {
                request,
                producer: None,
            }),
            Question::DeliveryState(producer) => machine.status(StatusRequest {
                request,
                producer: Some(*producer),
            }),
            Question::Backup => machine.backup(request),
            Question::Remove(mailbox, cursor) => machine.remove(RemoveRequest {
                request,
                mailbox: mailbox.clone(),
                cursor: cursor.clone(),
            }),
        }
    }

    /// Hands on a part of the answer. False when that was the last one.
    pub(crate) fn take_event(&self, event: ClientEvent) -> bool {
        let (request, part) = match event {
            ClientEvent::Status(request, row) => (request, Part::Row(row)),
            ClientEvent::StatusEnd(request, end) => (request, Part::StatusEnd(end)),
            ClientEvent::Backup(request, bytes) => (request, Part::Piece(bytes)),
            ClientEvent::BackupEnd(request, end) => (request, Part::BackupEnd(end)),
            ClientEvent::Removed(request, outcome) => (request, Part::Removed(outcome)),
            _ => return true,
        };
        // Of a question that nobody waits for any more there may still be answers on their way.
        if self.request != Some(request) {
            return true;
        }
        if let Part::Piece(bytes) = &part {
            self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        let is_last = matches!(part, Part::StatusEnd(_) | Part::BackupEnd(_) | Part::Removed(_));
        // Whoever asked may be gone, which is looked at elsewhere.
        let _ = self.tell.send(part);
        !is_last
    }

    /// It is on its way: a connection that is lost takes the answer with it.
    pub(crate) fn is_sent(&self) -> bool {
        self.request.is_some()
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.tell.is_closed()
    }

    /// More has come than was written.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= MOST_WAITING
    }
}

impl Answers {
    /// The next part; `None` when the connection was lost.
    pub(crate) async fn next(&mut self) -> Option<Part> {
        let part = self.parts.recv().await?;
        if let Part::Piece(bytes) = &part {
            let before = self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            if before >= MOST_WAITING {
                self.wake.wake();
            }
        }
        Some(part)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.parts.close();
        self.wake.wake();
    }
}
