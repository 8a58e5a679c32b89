//! The log of a program that stays: it never waits for whoever reads it.
//!
//! A paused terminal or a full pipe blocks a write to stderr. Lines go to a thread through a bounded queue; what does not
//! fit is counted, and the count is said once somebody reads again. What strangers can cause gets one line of
//! each kind for each address and second.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::prelude::*;

/// Lines that wait for somebody to read.
const LINES: usize = 1_000;

/// One line of a kind for each address in this time.
const PACE: Duration = Duration::from_secs(1);

/// Addresses that are remembered at once.
const ADDRESSES: usize = 1_024;

/// The last lines have so long to be read.
const FAREWELL: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Lines on their way to stderr.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// A line is being written.
    writing: bool,
    /// Lines for which there was no room.
    dropped: u64,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.lines.len() < LINES {
            state.lines.push_back(line);
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Writes lines for ever, at the pace of whoever reads.
    fn write(&self, mut out: impl Write) {
        loop {
            let mut state = self.state();
            state.writing = false;
            self.changed.notify_all();
            while state.lines.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let line = state.lines.pop_front().unwrap_or_default();
            let dropped = std::mem::take(&mut state.dropped);
            state.writing = true;
            drop(state);
            // Nobody to talk to is no reason to fail.
            let _ = out.write_all(&line);
            if dropped > 0 {
                let _ = writeln!(out, "tenfour: {dropped} lines were left out: nobody was reading");
            }
        }
    }

    fn flush(&self, patience: Duration) {
        let state = self.state();
        let waits = |state: &mut State| !state.lines.is_empty() || state.writing;
        drop(self.changed.wait_timeout_while(state, patience, waits));
    }
}

/// One event of the log, until it is whole.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            say(std::mem::take(&mut self.0));
        }
    }
}

/// Begins to log what `filter` lets through. A program that `stays` never waits for its reader.
pub fn start(filter: Targets, stays: bool, ansi: bool) {
    if stays {
        let queue = QUEUE.get_or_init(Queue::default);
        let writing = || queue.write(io::stderr());
        // Without the thread every line would wait in vain: then there is no log.
        let _ = std::thread::Builder::new().name("log".into()).spawn(writing);
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Line(Vec::new()))
        .with_ansi(ansi)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter).with_filter(Pace::default()))
        .init();
}

/// What is logged usually.
pub fn usual() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

/// Writes a line to stderr: at once, or behind the others of a program that stays.
pub fn say(line: Vec<u8>) {
    match QUEUE.get() {
        Some(queue) => queue.push(line),
        // Nobody to talk to is no reason to fail.
        None => drop(io::stderr().lock().write_all(&line)),
    }
}

/// Waits for the last lines to be read, if somebody reads.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FAREWELL);
    }
}

/// Lets one line of each kind through for each peer's address and second. Errors always come through.
#[derive(Default)]
struct Pace {
    peers: Mutex<HashMap<(IpAddr, Identifier), Instant>>,
}

impl Pace {
    fn admits(&self, peer: (IpAddr, Identifier), now: Instant) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= ADDRESSES {
            peers.retain(|_, last| now.saturating_duration_since(*last) < PACE);
        }
        let is_due = peers
            .get(&peer)
            .is_none_or(|last| now.saturating_duration_since(*last) >= PACE);
        // More addresses in a second than anybody could read lines of: these get none.
        let admits = is_due && peers.len() < ADDRESSES;
        if admits {
            peers.insert(peer, now);
        }
        admits
    }
}

impl<S: Subscriber> Filter<S> for Pace {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut peer = Peer(None);
        event.record(&mut peer);
        match peer.0 {
            Some(peer) if *event.metadata().level() != Level::ERROR => {
                self.admits((peer, event.metadata().callsite()), Instant::now())
            }
            _ => true,
        }
    }
}

/// The field `peer` of an event: an address, with a port or without.
struct Peer(Option<IpAddr>);

impl Visit for Peer {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            let text = format!("{value:?}");
            let with_port = text.parse::<SocketAddr>().map(|peer| peer.ip());
            self.0 = with_port.or_else(|_| text.parse()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a line only when it is told to.
    struct Paused(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Ctrl-S, or a full pipe: the next line stopped every listener.
    #[test]
    fn who_logs_never_waits_for_who_reads() {
        let queue = Arc::new(Queue::default());
        let (go, paused) = channel();
        let (said, lines) = channel();
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || writer.write(Paused(paused, said)));
        for number in 0..=LINES + 10 {
            queue.push(format!("{number}\n").into_bytes());
        }
        queue.flush(Duration::from_millis(1));
        for _ in 0..LINES + 10 {
            let _ = go.send(());
        }
        let first = lines.recv().unwrap();
        assert_eq!(first, b"0\n");
        let said: Vec<u8> = lines.iter().take(LINES).flatten().collect();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("lines were left out"), "{said}");
    }

    /// Two kinds of lines.
    fn kinds() -> [Identifier; 2] {
        macro_rules! kind {
            () => {{
                struct Kind;
                static KIND: Kind = Kind;
                static METADATA: Metadata<'static> = tracing::metadata! {
                    name: "kind", target: "test", level: Level::INFO, fields: &[], callsite: &KIND,
                    kind: tracing::metadata::Kind::EVENT
                };
                impl tracing::Callsite for Kind {
                    fn set_interest(&self, _: tracing::subscriber::Interest) {}

                    fn metadata(&self) -> &Metadata<'_> {
                        &METADATA
                    }
                }
                Identifier(&KIND)
            }};
        }
        [kind!(), kind!()]
    }

    #[test]
    fn each_address_has_one_line_a_second() {
        let (pace, now) = (Pace::default(), Instant::now());
        let [one, another] = kinds();
        let peer = IpAddr::from([127, 0, 0, 1]);
        assert!(pace.admits((peer, one.clone()), now));
        assert!(!pace.admits((peer, one.clone()), now + PACE / 2));
        assert!(pace.admits((peer, another), now));
        assert!(pace.admits((IpAddr::from([127, 0, 0, 2]), one.clone()), now));
        assert!(pace.admits((peer, one), now + PACE));
    }

    #[test]
    fn strangers_cannot_make_it_remember_them_all() {
        let (pace, now) = (Pace::default(), Instant::now());
        let [kind, _] = kinds();
        let lines = (0..100_000_u32)
            .filter(|number| pace.admits((IpAddr::from(number.to_be_bytes()), kind.clone()), now))
            .count();
        assert_eq!(lines, ADDRESSES);
        assert!(pace.admits((IpAddr::from([127, 0, 0, 1]), kind), now + PACE));
    }
}
