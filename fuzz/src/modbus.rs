//! Modbus: the frames, and registers that are what was written last.

use std::collections::HashMap;
use std::sync::Mutex;

use tenfour_proto::modbus::{Adu, Request, Splitter, Write};

use crate::served::Served;

/// Frames cut anywhere are the same frames; what can be understood is answered by something that can.
pub fn modbus(input: &[u8]) {
    let whole = adus(std::iter::once(input));
    assert_eq!(whole, adus(input.chunks(1)));
    for adu in whole {
        let mut encoded = Vec::new();
        adu.encode(&mut encoded);
        assert_eq!(adus(std::iter::once(&encoded[..])), std::slice::from_ref(&adu));
        match Request::decode(&adu.pdu) {
            Ok(request) => assert!(request.write().is_none_or(|write| !is_empty(write))),
            Err(exception) => {
                let function = adu.pdu.first().copied().unwrap_or(0);
                assert_eq!(exception.encode(function)[0], function | 0x80);
            }
        }
    }
}

fn is_empty(write: &Write) -> bool {
    match write {
        Write::Coils { values, .. } => values.is_empty(),
        Write::Registers { values, .. } => values.is_empty(),
    }
}

/// Up to the first fault.
fn adus<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Adu> {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    for piece in pieces {
        splitter.push(piece);
        loop {
            match splitter.take() {
                Ok(Some(adu)) => found.push(adu),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// Registers and coils, by unit and address; 0 where nothing was written.
#[derive(Default)]
struct Model {
    registers: HashMap<(u8, u16), u16>,
    coils: HashMap<(u8, u16), bool>,
}

impl Model {
    fn write(&mut self, unit: u8, write: &Write) {
        match write {
            Write::Coils { address, values, .. } => {
                self.coils.extend(
                    (*address..=u16::MAX)
                        .zip(values)
                        .map(|(at, value)| ((unit, at), *value)),
                );
            }
            Write::Registers { address, values, .. } => {
                self.registers.extend(
                    (*address..=u16::MAX)
                        .zip(values)
                        .map(|(at, value)| ((unit, at), *value)),
                );
            }
        }
    }

    fn read_registers(&self, unit: u8, address: u16, quantity: u16) -> Vec<u8> {
        let at = |at: u16| self.registers.get(&(unit, at)).copied().unwrap_or(0);
        let values = (address..=u16::MAX)
            .take(usize::from(quantity))
            .flat_map(|address| at(address).to_be_bytes());
        std::iter::once(quantity as u8 * 2).chain(values).collect()
    }

    fn read_coils(&self, unit: u8, address: u16, quantity: u16) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(quantity).div_ceil(8)];
        for (number, at) in (address..=u16::MAX).take(usize::from(quantity)).enumerate() {
            let is_on = self.coils.get(&(unit, at)).copied().unwrap_or(false);
            bytes[number / 8] |= u8::from(is_on) << (number % 8);
        }
        bytes.insert(0, bytes.len() as u8);
        bytes
    }
}

static SERVED: Mutex<Option<Served<Model>>> = Mutex::new(None);

/// A whole connection to a real listener: each request has its answer, and what is read is what was written last.
pub fn registers(input: &[u8]) {
    let mut served = Served::get(&SERVED);
    let served = served.as_mut().expect("it was started");
    let heard = served.ask_modbus(input);
    let (asked, answered) = (adus(std::iter::once(input)), adus(std::iter::once(&heard[..])));
    assert_eq!(asked.len(), answered.len());
    let model = &mut served.known;
    for (request, response) in asked.iter().zip(&answered) {
        assert_eq!(
            (request.transaction, request.unit),
            (response.transaction, response.unit)
        );
        let function = request.pdu.first().copied().unwrap_or(0);
        let (told, data) = response.pdu.split_first().expect("an answer has a function");
        if *told == function | 0x80 {
            assert_eq!(data.len(), 1, "an exception has a code");
            continue;
        }
        assert_eq!(*told, function);
        let understood = Request::decode(&request.pdu).expect("only what is understood is done");
        if let Some(write) = understood.write() {
            model.write(request.unit, write);
        }
        match understood {
            Request::ReadHoldingRegisters { address, quantity }
            | Request::WriteAndRead {
                address, quantity, ..
            } => {
                assert_eq!(data, model.read_registers(request.unit, address, quantity));
            }
            Request::ReadCoils { address, quantity } => {
                assert_eq!(data, model.read_coils(request.unit, address, quantity));
            }
            _ => {}
        }
    }
}
