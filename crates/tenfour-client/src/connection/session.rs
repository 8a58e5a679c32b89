//! A connection that reads: dialled, greeted, and moved on by whoever waits for its events.

use bytes::{Buf, BytesMut};
use tenfour_proto::limits;
use tenfour_proto::native::{Client as Machine, ClientEvent, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::dial::dial;
use crate::config::{ClientConfig, options};
use crate::error::{ConnectError, io_reason};
use tenfour_identity::clock::{Clock, sleep_until};
use tenfour_proto::Address;

pub(crate) struct Session {
    pub(crate) machine: Machine,
    stream: TlsStream<TcpStream>,
    clock: Clock,
    input: Vec<u8>,
    /// What is being written.
    output: BytesMut,
}

impl Session {
    /// Connects to the first of `addresses` that answers, up to its WELCOME.
    pub(crate) async fn open(addresses: &[Address], config: &ClientConfig) -> Result<Self, ConnectError> {
        match tokio::time::timeout(config.timeout, Self::greet(addresses, config)).await {
            Ok(session) => session,
            Err(_) => Err(match addresses.first() {
                Some(address) => ConnectError::TimedOut(address.clone()),
                None => ConnectError::Unreachable(Vec::new()),
            }),
        }
    }

    async fn greet(addresses: &[Address], config: &ClientConfig) -> Result<Self, ConnectError> {
        let (address, stream) = dial(addresses, config).await?;
        let mut machine = Machine::new(options(config, None, None));
        let clock = Clock::start();
        machine.connected(clock.now());
        let mut session = Session {
            machine,
            stream,
            clock,
            input: vec![0; 64 * 1024],
            output: BytesMut::new(),
        };
        loop {
            if let Err(reason) = session.step().await {
                return Err(ConnectError::Broken { address, reason });
            }
            match session.machine.poll_event() {
                Some(ClientEvent::Welcomed(_)) => return Ok(session),
                Some(ClientEvent::Failed(error)) => {
                    return Err(match error.code {
                        ErrorCode::NotAllowed => ConnectError::NotAllowed {
                            address,
                            reason: error.text,
                            reference: error.reference,
                        },
                        ErrorCode::Durability => ConnectError::Durability {
                            address,
                            demanded: config.durability,
                        },
                        _ => ConnectError::Broken {
                            address,
                            reason: error.text,
                        },
                    });
                }
                Some(ClientEvent::GoingAway(reason)) => {
                    return Err(ConnectError::NotNow { address, reason });
                }
                _ => {}
            }
        }
    }

    /// Writes what is ready, then waits for bytes or the time. An error is the end of the connection. May be
    /// given up at any await: nothing is lost.
    pub(crate) async fn step(&mut self) -> Result<(), String> {
        let io = |error: std::io::Error| io_reason(&error);
        let mut ready = Vec::new();
        self.machine.poll_transmit(&mut ready, limits::MAX_FRAME_BODY);
        self.output.extend_from_slice(&ready);
        while self.output.has_remaining() {
            self.stream.write_buf(&mut self.output).await.map_err(io)?;
        }
        self.stream.flush().await.map_err(io)?;
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
