//! How many may be inside: unauthenticated peers cost next to nothing and get nowhere.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenfour_proto::Moment;
use tokio::sync::Notify;

use crate::admission::counters::{Counter, Counters};
use tenfour_identity::lock;

/// Native peers that have not said HELLO, at most: a handshake costs half a millisecond of a core.
const MAX_UNAUTHENTICATED: usize = 100;

/// From here on some of them are dropped at random, so that a flood cannot keep everyone else out.
const EARLY_DROP: usize = 30;

/// Of these at most so many from one address (of IPv6: one /64). Loopback has no such limit.
const MAX_STRANGERS_OF_ONE: usize = 10;

/// An address that showed an allowed key this recently is not dropped at random.
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
    random: RandomState,
    drawn: AtomicU64,
    inside: Mutex<Admitted>,
}

#[derive(Default)]
struct Admitted {
    closed: bool,
    known: usize,
    unauthenticated: usize,
    by_address: HashMap<IpAddr, usize>,
    remembered: HashMap<IpAddr, Moment>,
    plaintext: HashMap<u64, Arc<ConnectionPermit>>,
    next: u64,
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
            random: RandomState::new(),
            drawn: AtomicU64::new(0),
            inside: Mutex::default(),
        }))
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
        let is_full = inside.plaintext.len() + inside.unauthenticated >= self.0.max - self.0.max / 4
            || total >= self.0.max;
        if total * 2 >= self.0.max || is_full {
            let longest = inside
                .plaintext
                .iter()
                .min_by_key(|(_, permit)| permit.idle_since())
                .map(|(number, permit)| (*number, permit.idle_since()));
            let silent_too_long =
                |since: u64| milliseconds(now).saturating_sub(since) >= PATIENCE.as_millis() as u64;
            match longest {
                Some((number, since)) if is_full || silent_too_long(since) => {
                    if let Some(permit) = inside.plaintext.remove(&number) {
                        permit.leave.notify_one();
                        self.0.counters.count(Counter::Evicted);
                    }
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

    /// A place for a native connection that has not said who it is.
    pub(crate) fn admit_stranger(&self, peer: IpAddr, now: Moment) -> Option<UnauthenticatedPermit> {
        let address = neighbourhood(peer);
        let mut inside = lock(&self.0.inside);
        let inside = &mut *inside;
        let of_this = inside.by_address.get(&address).copied().unwrap_or(0);
        let known_address = inside
            .remembered
            .get(&address)
            .is_some_and(|last| now.since(*last) < REMEMBER);
        // The chance to be dropped rises from nothing at 30 to certainty at 100.
        let over = inside.unauthenticated.saturating_sub(EARLY_DROP);
        let unlucky = !known_address && over > 0 && self.draw(MAX_UNAUTHENTICATED - EARLY_DROP) < over;
        let of_this_limit = of_this >= MAX_STRANGERS_OF_ONE && !peer.to_canonical().is_loopback();
        if inside.total() >= self.0.max
            || inside.unauthenticated >= MAX_UNAUTHENTICATED
            || of_this_limit
            || unlucky
        {
            self.0.counters.count(Counter::TooManyConnections);
            return None;
        }
        inside.unauthenticated += 1;
        *inside.by_address.entry(address).or_default() += 1;
        Some(UnauthenticatedPermit {
            gate: self.clone(),
            address,
            identified: false,
        })
    }

    /// A number below `end`.
    fn draw(&self, end: usize) -> usize {
        let mut hasher = self.0.random.build_hasher();
        hasher.write_u64(self.0.drawn.fetch_add(1, Ordering::Relaxed));
        (hasher.finish() % end as u64) as usize
    }
}

impl Admitted {
    fn total(&self) -> usize {
        self.known + self.unauthenticated + self.plaintext.len()
    }

    fn stranger_leaves(&mut self, address: IpAddr) {
        self.unauthenticated = self.unauthenticated.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// Of IPv6 one network of 64 bits is one neighbour.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
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
    address: IpAddr,
    identified: bool,
}

impl UnauthenticatedPermit {
    /// It showed a key that is allowed.
    pub(crate) fn identified(&mut self, now: Moment) {
        let mut inside = lock(&self.gate.0.inside);
        if !self.identified {
            self.identified = true;
            inside.stranger_leaves(self.address);
            inside.known += 1;
            if inside.remembered.len() >= MAX_REMEMBERED {
                inside.remembered.retain(|_, last| now.since(*last) < REMEMBER);
            }
            if inside.remembered.len() < MAX_REMEMBERED {
                inside.remembered.insert(self.address, now);
            }
        }
    }
}

impl Drop for UnauthenticatedPermit {
    fn drop(&mut self) {
        let mut inside = lock(&self.gate.0.inside);
        if self.identified {
            inside.known = inside.known.saturating_sub(1);
        } else {
            inside.stranger_leaves(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn strangers_of_one_address_are_few() {
        let gate = Gate::new(4_096, Counters::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let passes: Vec<_> = (0..MAX_STRANGERS_OF_ONE)
            .map(|_| gate.admit_stranger(address, at(0)).unwrap())
            .collect();
        assert!(gate.admit_stranger(address, at(0)).is_none());
        assert!(gate.admit_stranger("192.0.2.2".parse().unwrap(), at(0)).is_some());
        drop(passes);
        assert!(gate.admit_stranger(address, at(0)).is_some());
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::ffff".parse().unwrap();
        assert_eq!(neighbourhood(one), neighbourhood(neighbour));
    }

    #[test]
    fn a_flood_of_strangers_stays_below_its_ceiling_and_is_counted() {
        let counters = Counters::default();
        let gate = Gate::new(4_096, counters.clone());
        let passes: Vec<_> = (0..1_000u32)
            .filter_map(|n| gate.admit_stranger(IpAddr::V4(n.into()), at(0)))
            .collect();
        assert!((EARLY_DROP..=MAX_UNAUTHENTICATED).contains(&passes.len()));
        assert_eq!(
            counters.get(Counter::TooManyConnections),
            1_000 - passes.len() as u64
        );
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
            pass.identified(at(0));
            passes.push(pass);
        }
        let counts = |inside: &Admitted| (inside.known, inside.unauthenticated);
        assert_eq!(counts(&lock(&gate.0.inside)), (50, 0));
        drop(passes);
        assert_eq!(lock(&gate.0.inside).known, 0);
    }
}
