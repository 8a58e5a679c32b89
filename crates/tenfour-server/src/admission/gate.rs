//! How many may be inside: unauthenticated peers cost next to nothing and get nowhere.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenfour_proto::{Fingerprint, Moment};
use tokio::sync::Notify;

use crate::admission::counters::{Counter, Counters};
use crate::neighbourhood::neighbourhood;
use tenfour_identity::lock;

/// Native peers that have not said HELLO, at most: a handshake costs half a millisecond of a core.
const MAX_UNAUTHENTICATED: usize = 100;

/// Of these at most so many from one address (of IPv6: one /64). Loopback has no such limit.
const MAX_STRANGERS_OF_ONE: usize = 10;

/// An address that showed an allowed key this recently makes room for nobody who did not.
const REMEMBER: Duration = Duration::from_secs(3600);

/// Most addresses remembered.
const MAX_REMEMBERED: usize = 4_096;

/// Under pressure a connection without keys this silent makes room for a new one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Under pressure an unfinished line must come at this rate, in bytes a second, once it is older than [`PATIENCE`].
const SLOWEST: u64 = 500;

/// Counts who is inside. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate(Arc<GateState>);

struct GateState {
    max: usize,
    counters: Counters,
    inside: Mutex<Admitted>,
}

#[derive(Default)]
struct Admitted {
    closed: bool,
    known: usize,
    /// Of these, by key.
    by_key: HashMap<Fingerprint, usize>,
    /// Native connections that have not said who they are, the oldest first.
    waiting: BTreeMap<u64, Waiting>,
    by_address: HashMap<IpAddr, usize>,
    remembered: HashMap<IpAddr, Moment>,
    plaintext: HashMap<u64, Arc<ConnectionPermit>>,
    next: u64,
}

/// A native connection that has not said who it is.
struct Waiting {
    address: IpAddr,
    /// Somebody at that address has shown a key.
    is_remembered: bool,
    leave: Arc<Notify>,
}

/// What the gate can see of a connection without keys, and how it asks it to leave.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPermit {
    /// Milliseconds of the clock at the last byte.
    heard: AtomicU64,
    /// Milliseconds of the clock at the first byte of a line that is not finished; 0 for none.
    began: AtomicU64,
    unfinished: AtomicU64,
    leave: Notify,
}

impl ConnectionPermit {
    /// Notes that bytes came, and how many belong to an unfinished line.
    pub(crate) fn heard(&self, now: Moment, unfinished: usize) {
        let now = milliseconds(now);
        self.heard.store(now, Ordering::Relaxed);
        self.unfinished.store(unfinished as u64, Ordering::Relaxed);
        if unfinished == 0 {
            self.began.store(0, Ordering::Relaxed);
        } else if self.began.load(Ordering::Relaxed) == 0 {
            self.began.store(now.max(1), Ordering::Relaxed);
        }
    }

    /// Waits until the gate wants the place back.
    pub(crate) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// For how long it has kept us waiting: silent, or slower than allowed.
    fn idle_since(&self) -> u64 {
        let began = self.began.load(Ordering::Relaxed);
        let heard = self.heard.load(Ordering::Relaxed);
        let in_time = (heard.saturating_sub(began)) / 1000 * SLOWEST;
        let patience = PATIENCE.as_millis() as u64;
        if began > 0 && heard > began + patience && self.unfinished.load(Ordering::Relaxed) < in_time {
            began
        } else {
            heard
        }
    }
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}

impl Gate {
    pub(crate) fn new(max: usize, counters: Counters) -> Self {
        Gate(Arc::new(GateState {
            max: max.max(4),
            counters,
            inside: Mutex::default(),
        }))
    }

    /// Of the connections without keys, the one with the most bytes of an unfinished message leaves: it holds what others wait
    /// for. False if there is none.
    pub(crate) fn evict_largest(&self) -> bool {
        let mut inside = lock(&self.0.inside);
        let unfinished = |permit: &ConnectionPermit| permit.unfinished.load(Ordering::Relaxed);
        let largest = inside
            .plaintext
            .iter()
            .map(|(number, permit)| (unfinished(permit), *number))
            .max()
            .filter(|(bytes, _)| *bytes > 0);
        let Some((_, number)) = largest else {
            return false;
        };
        inside.ask_to_leave(number);
        self.0.counters.count(Counter::Evicted);
        true
    }

    /// The server stops: every plain connection leaves, and none is let in.
    pub(crate) fn close(&self) {
        let mut inside = lock(&self.0.inside);
        inside.closed = true;
        for permit in inside.plaintext.values() {
            permit.leave.notify_one();
        }
    }

    /// A place for a connection without keys (text, HTTP, Modbus). Under pressure the longest silent one leaves for it.
    pub(crate) fn admit_plain(&self, now: Moment) -> Option<PlaintextPermit> {
        let mut inside = lock(&self.0.inside);
        if inside.closed {
            return None;
        }
        let total = inside.total();
        // A quarter of all places is for keys that identified themselves.
        let is_full = inside.plaintext.len() + inside.waiting.len() >= self.0.max - self.0.max / 4
            || total >= self.0.max;
        if total * 2 >= self.0.max || is_full {
            let longest = inside.longest_silent();
            let silent_too_long =
                |since: u64| milliseconds(now).saturating_sub(since) >= PATIENCE.as_millis() as u64;
            match longest {
                Some((number, since)) if is_full || silent_too_long(since) => {
                    inside.ask_to_leave(number);
                    self.0.counters.count(Counter::Evicted);
                }
                None if is_full => {
                    self.0.counters.count(Counter::TooManyConnections);
                    return None;
                }
                _ => {}
            }
        }
        let number = inside.next;
        inside.next += 1;
        let permit = Arc::new(ConnectionPermit::default());
        permit.heard(now, 0);
        inside.plaintext.insert(number, Arc::clone(&permit));
        Some(PlaintextPermit {
            gate: self.clone(),
            number,
            permit,
        })
    }

    /// A place for a native connection that has not said who it is. Where there is none, the one that waits longest leaves for
    /// it: silent sockets keep nobody out.
    pub(crate) fn admit_stranger(&self, peer: IpAddr, now: Moment) -> Option<UnauthenticatedPermit> {
        let address = neighbourhood(peer);
        let mut inside = lock(&self.0.inside);
        let inside = &mut *inside;
        let of_this = inside.by_address.get(&address).copied().unwrap_or(0);
        let is_remembered = inside
            .remembered
            .get(&address)
            .is_some_and(|last| now.since(*last) < REMEMBER);
        let is_crowd = of_this >= MAX_STRANGERS_OF_ONE && !peer.to_canonical().is_loopback();
        let is_full = inside.total() >= self.0.max || inside.waiting.len() >= MAX_UNAUTHENTICATED;
        if (is_crowd || is_full) && !inside.make_room(is_crowd.then_some(address), is_remembered) {
            self.0.counters.count(Counter::TooManyConnections);
            return None;
        }
        if is_crowd || is_full {
            self.0.counters.count(Counter::Evicted);
        }
        let (number, leave) = (inside.next, Arc::new(Notify::new()));
        inside.next += 1;
        inside.waiting.insert(
            number,
            Waiting {
                address,
                is_remembered,
                leave: Arc::clone(&leave),
            },
        );
        *inside.by_address.entry(address).or_default() += 1;
        Some(UnauthenticatedPermit {
            gate: self.clone(),
            number,
            address,
            leave,
            identified: None,
        })
    }
}

impl Admitted {
    fn total(&self) -> usize {
        self.known + self.waiting.len() + self.plaintext.len()
    }

    /// Asks the stranger that waits longest to leave, of one address or of all; those that are remembered only for one that
    /// is. Where none waits, the longest silent connection without keys goes. False if there is nobody to ask.
    fn make_room(&mut self, of: Option<IpAddr>, for_remembered: bool) -> bool {
        let may_ask = |waiting: &&Waiting| of.is_none_or(|address| waiting.address == address);
        let longest = |is_remembered: bool| {
            let mut asked = self.waiting.iter().filter(|(_, waiting)| may_ask(waiting));
            asked
                .find(|(_, waiting)| waiting.is_remembered == is_remembered)
                .map(|(number, _)| *number)
        };
        let number = longest(false).or_else(|| for_remembered.then(|| longest(true)).flatten());
        if let Some(number) = number {
            if let Some(waiting) = self.stranger_leaves(number) {
                waiting.leave.notify_one();
            }
            return true;
        }
        let silent = self.longest_silent().filter(|_| of.is_none());
        if let Some((number, _)) = silent {
            self.ask_to_leave(number);
        }
        silent.is_some()
    }

    /// The connection without keys that is silent longest, and since when, in milliseconds of the clock.
    fn longest_silent(&self) -> Option<(u64, u64)> {
        let since = self
            .plaintext
            .iter()
            .map(|(number, permit)| (*number, permit.idle_since()));
        since.min_by_key(|(_, since)| *since)
    }

    /// Asks a connection without keys to leave; its place is free at once.
    fn ask_to_leave(&mut self, number: u64) {
        if let Some(permit) = self.plaintext.remove(&number) {
            permit.leave.notify_one();
        }
    }

    fn stranger_leaves(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        one_less(&mut self.by_address, waiting.address);
        Some(waiting)
    }
}

/// Counts one less; of whom there is none, nothing is kept.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, whose: K) {
    if let Entry::Occupied(mut count) = counts.entry(whose) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// The place of a connection without keys.
pub(crate) struct PlaintextPermit {
    gate: Gate,
    number: u64,
    pub(crate) permit: Arc<ConnectionPermit>,
}

impl Drop for PlaintextPermit {
    fn drop(&mut self) {
        lock(&self.gate.0.inside).plaintext.remove(&self.number);
    }
}

/// The place of a native connection, before and after it identified itself.
pub(crate) struct UnauthenticatedPermit {
    gate: Gate,
    number: u64,
    address: IpAddr,
    leave: Arc<Notify>,
    /// By this key.
    identified: Option<Fingerprint>,
}

impl UnauthenticatedPermit {
    /// Waits until somebody else needs the place more. Never once it was identified.
    pub(crate) async fn asked_to_leave(&self) {
        if self.identified.is_some() {
            std::future::pending::<()>().await;
        }
        self.leave.notified().await;
    }

    /// It showed a key that is allowed. False if there is no place for it now: a key has half of all places at most, and an
    /// eighth of them is for the server's own and for those who run it.
    pub(crate) fn identified(&mut self, now: Moment, key: Fingerprint, is_own: bool) -> bool {
        let max = self.gate.0.max;
        let mut inside = lock(&self.gate.0.inside);
        if self.identified.is_none() {
            let of_this = inside.by_key.get(&key).copied().unwrap_or(0);
            let is_crowd = of_this >= (max / 2).max(1) || inside.known >= max - max / 8;
            if is_crowd && !is_own {
                return false;
            }
            self.identified = Some(key);
            inside.stranger_leaves(self.number);
            inside.known += 1;
            *inside.by_key.entry(key).or_default() += 1;
            if inside.remembered.len() >= MAX_REMEMBERED {
                inside.remembered.retain(|_, last| now.since(*last) < REMEMBER);
            }
            if inside.remembered.len() < MAX_REMEMBERED {
                inside.remembered.insert(self.address, now);
            }
        }
        true
    }
}

impl Drop for UnauthenticatedPermit {
    fn drop(&mut self) {
        let mut inside = lock(&self.gate.0.inside);
        if let Some(key) = self.identified {
            inside.known = inside.known.saturating_sub(1);
            one_less(&mut inside.by_key, key);
        } else {
            inside.stranger_leaves(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn key(number: u8) -> Fingerprint {
        Fingerprint::from_bytes([number; 32])
    }

    /// Whether it was asked to leave.
    fn is_asked(pass: &UnauthenticatedPermit) -> bool {
        let mut leaving = std::pin::pin!(pass.asked_to_leave());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        leaving.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn strangers_of_one_address_make_room_for_each_other() {
        let gate = Gate::new(4_096, Counters::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let other = gate.admit_stranger("192.0.2.2".parse().unwrap(), at(0)).unwrap();
        let passes: Vec<_> = (0..=MAX_STRANGERS_OF_ONE)
            .map(|_| gate.admit_stranger(address, at(0)).unwrap())
            .collect();
        assert!(is_asked(&passes[0]) && !is_asked(&passes[1]) && !is_asked(&other));
        assert_eq!(lock(&gate.0.inside).by_address[&address], MAX_STRANGERS_OF_ONE);
        drop(passes);
        assert!(!lock(&gate.0.inside).by_address.contains_key(&address));
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::ffff".parse().unwrap();
        assert_eq!(neighbourhood(one), neighbourhood(neighbour));
    }

    /// A hundred silent sockets kept a key that was known out for as long as they were renewed.
    #[test]
    fn silent_strangers_keep_nobody_out() {
        let counters = Counters::default();
        let gate = Gate::new(64, counters.clone());
        let mut passes: Vec<_> = (0..1_000u32)
            .map(|n| gate.admit_stranger(IpAddr::V4(n.into()), at(0)).unwrap())
            .collect();
        assert_eq!(lock(&gate.0.inside).total(), 64);
        assert_eq!(counters.get(Counter::Evicted), 1_000 - 64);
        let known = passes.last_mut().unwrap();
        assert!(known.identified(at(0), key(1), false));
        assert!(!is_asked(known));
        // Whoever comes from where a key was shown makes room for no stranger.
        let again = gate.admit_stranger(IpAddr::V4(999.into()), at(1)).unwrap();
        let flood: Vec<_> = (5_000..6_000u32)
            .filter_map(|n| gate.admit_stranger(IpAddr::V4(n.into()), at(1)))
            .collect();
        assert!(!is_asked(&again) && !is_asked(&passes[999]));
        drop(flood);
    }

    #[test]
    fn text_connections_make_room_for_keys() {
        let gate = Gate::new(8, Counters::default());
        let plain: Vec<_> = (0..6).map(|n| gate.admit_plain(at(n)).unwrap()).collect();
        let mut keys = Vec::new();
        for n in 0..4u32 {
            let mut pass = gate.admit_stranger(IpAddr::V4(n.into()), at(9)).unwrap();
            assert!(pass.identified(at(9), key(n as u8), false));
            keys.push(pass);
        }
        assert_eq!(lock(&gate.0.inside).plaintext.len(), 4);
        drop(plain);
    }

    #[test]
    fn under_pressure_the_longest_silent_goes() {
        let counters = Counters::default();
        let gate = Gate::new(8, counters.clone());
        let passes: Vec<_> = (0..4).map(|n| gate.admit_plain(at(n)).unwrap()).collect();
        passes[0].permit.heard(at(50), 0);
        let _fifth = gate.admit_plain(at(60)).unwrap();
        assert_eq!(
            counters.get(Counter::Evicted),
            1,
            "half full, and one was silent for a minute"
        );
        let _sixth = gate.admit_plain(at(61)).unwrap();
        assert_eq!(counters.get(Counter::Evicted), 2);
        passes[3].permit.heard(at(62), 0);
        let _seventh = gate.admit_plain(at(63)).unwrap();
        assert_eq!(
            counters.get(Counter::Evicted),
            2,
            "nobody is silent for long enough"
        );
        for n in 0..10 {
            std::mem::forget(gate.admit_plain(at(64 + n)).unwrap());
        }
        assert!(
            lock(&gate.0.inside).plaintext.len() <= 6,
            "a quarter is for those we know"
        );
    }

    #[test]
    fn whoever_identified_makes_room_for_strangers() {
        let gate = Gate::new(4_096, Counters::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut passes = Vec::new();
        for _ in 0..50 {
            let mut pass = gate.admit_stranger(address, at(0)).unwrap();
            assert!(pass.identified(at(0), key(1), false));
            passes.push(pass);
        }
        let counts = |inside: &Admitted| (inside.known, inside.waiting.len());
        assert_eq!(counts(&lock(&gate.0.inside)), (50, 0));
        drop(passes);
        assert_eq!(lock(&gate.0.inside).known, 0);
    }

    /// One key held all places, and the server's own user could not ask what was going on.
    #[test]
    fn one_key_leaves_places_to_others() {
        let gate = Gate::new(16, Counters::default());
        let mut inside = Vec::new();
        let mut enter = |number: u8, is_own: bool| {
            let address = IpAddr::V4(u32::from(number).into());
            let Some(mut pass) = gate.admit_stranger(address, at(0)) else {
                return false;
            };
            let entered = pass.identified(at(0), key(number), is_own);
            if entered {
                inside.push(pass);
            }
            entered
        };
        assert_eq!((0..20).filter(|_| enter(1, false)).count(), 8);
        assert_eq!((0..20).filter(|_| enter(2, false)).count(), 6);
        assert!(!enter(3, false));
        assert!(enter(4, true) && enter(4, true));
    }

    #[test]
    fn whoever_holds_most_of_what_others_wait_for_leaves() {
        let gate = Gate::new(16, Counters::default());
        assert!(!gate.evict_largest());
        let passes: Vec<_> = (0..4).map(|n| gate.admit_plain(at(n)).unwrap()).collect();
        assert!(!gate.evict_largest(), "nobody holds anything");
        for (pass, bytes) in passes.iter().zip([10, 1_000, 20, 0]) {
            pass.permit.heard(at(5), bytes);
        }
        assert!(gate.evict_largest() && gate.evict_largest() && gate.evict_largest());
        assert!(!gate.evict_largest());
        assert_eq!(lock(&gate.0.inside).plaintext.len(), 1);
    }
}
