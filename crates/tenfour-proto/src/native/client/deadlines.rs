//! What a client does because time has passed.

use super::{Client, ClientEvent, Phase};
use crate::Moment;
use crate::native::frame::Frame;

impl Client {
    /// Acts on the time.
    pub fn handle_timeout(&mut self, now: Moment) {
        if let Phase::Paused(until) = self.phase
            && now >= until
        {
            Frame::Resume(self.window.settled() + 1).encode(&mut self.transmit);
            self.phase = Phase::Open;
        }
        if matches!(
            self.phase,
            Phase::Open | Phase::Paused(_) | Phase::Leaving | Phase::Closing
        ) {
            let silence = now.since(self.last_heard);
            if silence >= self.heartbeat * 2 {
                self.phase = Phase::Ended;
                self.events.push_back(ClientEvent::Dead);
            } else if now >= self.next_ping {
                // Whether or not the other end was heard: it must hear us even while it only talks.
                self.next_ping = now + self.heartbeat;
                Frame::Ping([0; 8]).encode(&mut self.transmit);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let due = self.next_ping.min(self.last_heard + self.heartbeat * 2);
        match self.phase {
            Phase::Open | Phase::Leaving | Phase::Closing => Some(due),
            Phase::Paused(until) => Some(until.min(due)),
            Phase::Apart | Phase::Greeting | Phase::Ended => None,
        }
    }
}
