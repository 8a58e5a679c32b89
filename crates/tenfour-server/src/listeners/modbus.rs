//! The Modbus listener: a write is a message, answered after the flush; what was written last can be read.

mod config;
mod device;
mod fold;
mod image;
mod inputs;
mod record;
mod registers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tenfour_proto::Listener;
use tenfour_proto::modbus::{Adu, Exception, Request, Response, Splitter, Write};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::admission::connections::RegistryEntry;
use crate::admission::counters::Counter;
use crate::admission::gate::PlaintextPermit;
use crate::context::Context;
use crate::listeners::accept::{self, BLOCKED_WRITE};
pub use config::{ModbusConfig, ModbusListeners};
use device::Device;
use record::Record;
use registers::Units;

/// Bytes of one read: a few frames.
const READ: usize = 1024;

/// Listens until the server stops.
pub(crate) fn listen(listeners: ModbusListeners, context: &Arc<Context>, alive: &mpsc::Sender<()>) {
    let device = Device {
        context: Arc::clone(context),
        config: Arc::new(listeners.config),
    };
    // A device has the same registers wherever it is reached.
    let units = Arc::new(Units::new(device));
    for listener in listeners.sockets {
        accept::answer_at_once(&listener);
        accept::look_for_the_vanished(&listener);
        let units = Arc::clone(&units);
        let accepted = move |stream, peer, context: &Arc<Context>, alive: &mpsc::Sender<()>| {
            accepted(stream, peer, &units, context, alive);
        };
        tokio::spawn(accept::accept(
            listener,
            Arc::clone(context),
            alive.clone(),
            accepted,
        ));
    }
}

fn accepted(
    stream: TcpStream,
    peer: SocketAddr,
    units: &Arc<Units>,
    context: &Arc<Context>,
    alive: &mpsc::Sender<()>,
) {
    let Some(pass) = context.gate.admit_plain(context.clock.now()) else {
        return;
    };
    context.tell_connected(peer, Listener::Modbus);
    let connection = Connection {
        stream,
        peer,
        splitter: Splitter::default(),
        entry: context.connections.enter(peer, Listener::Modbus, None),
        context: Arc::clone(context),
        units: Arc::clone(units),
        pass,
    };
    let alive = alive.clone();
    tokio::spawn(async move {
        connection.run().await;
        drop(alive);
    });
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    splitter: Splitter,
    context: Arc<Context>,
    units: Arc<Units>,
    pass: PlaintextPermit,
    entry: RegistryEntry,
}

impl Connection {
    /// One request after the other, each answered before the next.
    async fn run(mut self) {
        let mut stopping = self.context.stopping.subscribe();
        loop {
            tokio::select! {
                ready = self.stream.readable() => {
                    if ready.is_err() || !self.read() {
                        return;
                    }
                }
                () = self.pass.permit.asked_to_leave() => return,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            loop {
                let adu = match self.splitter.take() {
                    Ok(Some(adu)) => adu,
                    Ok(None) => break,
                    Err(fault) => {
                        // Where the next frame would begin is not known.
                        self.context.counters.count(Counter::Protocol);
                        tracing::info!(peer = %self.peer, %fault, "a Modbus connection ended");
                        return;
                    }
                };
                let mut out = Vec::new();
                self.answer(adu).await.encode(&mut out);
                match tokio::time::timeout(BLOCKED_WRITE, self.stream.write_all(&out)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => {
                        self.context.counters.count(Counter::SlowReader);
                        return;
                    }
                }
            }
        }
    }

    /// False at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; READ];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => self.splitter.push(buffer.get(..count).unwrap_or_default()),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
        let now = self.context.clock.now();
        self.pass.permit.heard(now, self.splitter.buffered());
        true
    }

    async fn answer(&self, adu: Adu) -> Adu {
        let function = adu.pdu.first().copied().unwrap_or(0);
        let answer = match Request::decode(&adu.pdu) {
            Ok(request) => self.perform(adu.unit, request).await,
            Err(exception) => Err(exception),
        };
        let pdu = match answer {
            Ok(response) => response.encode(function),
            Err(exception) => {
                tracing::debug!(peer = %self.peer, function, ?exception, "a Modbus request was not done");
                self.context.counters.count(match exception {
                    Exception::ServerDeviceBusy => Counter::NotNow,
                    _ => Counter::ModbusRefused,
                });
                exception.encode(function)
            }
        };
        Adu {
            pdu: pdu.into(),
            ..adu
        }
    }

    async fn perform(&self, unit: u8, request: Request) -> Result<Response, Exception> {
        if let Some(write) = request.write() {
            self.store(unit, write).await?;
        }
        let (units, device) = (&self.units, &self.units.device);
        Ok(match request {
            Request::Write(write) => Response::Written(write),
            Request::ReadCoils { address, quantity } => {
                let fold = units.current(unit).await?;
                Response::Bits(fold.coils(unit, address, quantity))
            }
            Request::ReadHoldingRegisters { address, quantity }
            | Request::WriteAndRead {
                address, quantity, ..
            } => {
                let fold = units.current(unit).await?;
                Response::Registers(fold.registers(unit, address, quantity))
            }
            Request::ReadDiscreteInputs { address, quantity } => {
                let inputs = inputs::discrete(device, unit).await?;
                Response::Bits(part(&inputs, address, quantity)?)
            }
            Request::ReadInputRegisters { address, quantity } if address >= inputs::STORE => {
                let id = inputs::store(device);
                Response::Registers(part(&id, address - inputs::STORE, quantity)?)
            }
            Request::ReadInputRegisters { address, quantity } => {
                let inputs = inputs::registers(device, unit).await?;
                Response::Registers(part(&inputs, address, quantity)?)
            }
        })
    }

    /// Done when it is stored.
    async fn store(&self, unit: u8, write: &Write) -> Result<(), Exception> {
        let json = Record::of(unit, write).json();
        self.entry.count_received(1);
        let device = &self.units.device;
        device
            .deposit(Some(self.peer), device.mailbox(unit), json)
            .await?;
        registers::written(&self.units, unit);
        Ok(())
    }
}

fn part<T: Copy>(all: &[T], address: u16, quantity: u16) -> Result<Vec<T>, Exception> {
    let first = usize::from(address);
    all.get(first..first + usize::from(quantity))
        .map(<[T]>::to_vec)
        .ok_or(Exception::IllegalDataAddress)
}
