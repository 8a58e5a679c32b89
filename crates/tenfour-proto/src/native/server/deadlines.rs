//! What a server does because time has passed.

use super::{Phase, Server};
use crate::Moment;
use crate::native::ErrorCode;
use crate::native::frame::Frame;

impl Server {
    /// The peer cannot be heard because the server itself is not reading: it counts as alive, and is told so.
    pub fn keep_alive(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Open | Phase::Draining) {
            self.last_heard = now;
            Frame::Ping([0; 8]).encode(&mut self.transmit);
        }
    }

    /// Acts on the time.
    pub fn handle_timeout(&mut self, now: Moment) {
        match self.phase {
            Phase::Hello if now >= self.began + self.options.handshake_deadline => {
                self.fail(
                    ErrorCode::TimedOut,
                    "HELLO did not come in time",
                    String::new(),
                    None,
                );
            }
            Phase::Open | Phase::Draining => {
                let silence = now.since(self.last_heard);
                if silence >= self.options.heartbeat * 2 {
                    self.fail(
                        ErrorCode::TimedOut,
                        "nothing was heard for two heartbeats",
                        String::new(),
                        None,
                    );
                } else if now >= self.next_ping {
                    // Whether or not the peer was heard: a client that uploads for long must hear us.
                    self.next_ping = now + self.options.heartbeat;
                    Frame::Ping([0; 8]).encode(&mut self.transmit);
                }
            }
            _ => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.phase {
            Phase::Hello => Some(self.began + self.options.handshake_deadline),
            Phase::Open | Phase::Draining => {
                Some(self.next_ping.min(self.last_heard + self.options.heartbeat * 2))
            }
            Phase::Deciding | Phase::Ended => None,
        }
    }
}
