//! Frames: the MBAP header (Implementation Guide, section 3.1.3), and a PDU behind it.

use bytes::{Buf, Bytes, BytesMut};

/// Transaction, protocol, length, unit.
const HEADER: usize = 7;

/// Longest PDU (section 4.1).
const MAX_PDU: usize = 253;

/// One frame, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adu {
    /// Chosen by the client; the response carries it.
    pub transaction: u16,
    /// Which device is meant.
    pub unit: u8,
    /// Function code and data.
    pub pdu: Bytes,
}

/// Bytes that are no Modbus/TCP. Nothing behind them can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AduFault {
    /// Another protocol than 0.
    #[error("the protocol identifier is {0}, not 0")]
    Protocol(u16),
    /// Shorter or longer than any frame.
    #[error("a frame of {0} bytes behind its length; 2 to 254 are possible")]
    Length(u16),
}

impl Adu {
    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.transaction.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        let length = u16::try_from(self.pdu.len() + 1).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.push(self.unit);
        out.extend_from_slice(&self.pdu);
    }
}

/// Cuts a stream of bytes into frames. Holds less than one frame.
#[derive(Debug, Default)]
pub struct Splitter(BytesMut);

impl Splitter {
    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    ///
    /// [`AduFault`], as soon as the header shows it.
    pub fn take(&mut self) -> Result<Option<Adu>, AduFault> {
        let Some(header) = self.0.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [t1, t2, p1, p2, l1, l2, unit] = *header;
        let protocol = u16::from_be_bytes([p1, p2]);
        if protocol != 0 {
            return Err(AduFault::Protocol(protocol));
        }
        let length = u16::from_be_bytes([l1, l2]);
        // The unit counts, and a PDU has a function code at least.
        let pdu = match usize::from(length).checked_sub(1) {
            Some(pdu) if (1..=MAX_PDU).contains(&pdu) => pdu,
            _ => return Err(AduFault::Length(length)),
        };
        if self.0.len() < HEADER + pdu {
            return Ok(None);
        }
        self.0.advance(HEADER);
        Ok(Some(Adu {
            transaction: u16::from_be_bytes([t1, t2]),
            unit,
            pdu: self.0.split_to(pdu).freeze(),
        }))
    }

    /// Bytes of a frame that is not whole.
    pub fn buffered(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adu(transaction: u16, pdu: &'static [u8]) -> Adu {
        Adu {
            transaction,
            unit: 17,
            pdu: Bytes::from_static(pdu),
        }
    }

    #[test]
    fn frames_are_found_whatever_the_chunks_are() {
        let all = [adu(1, &[3, 0, 0, 0, 1]), adu(2, &[0x2b]), adu(65_535, &[6; 253])];
        let mut bytes = Vec::new();
        all.iter().for_each(|adu| adu.encode(&mut bytes));
        for size in 1..=bytes.len() {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(size) {
                splitter.push(chunk);
                while let Some(adu) = splitter.take().unwrap() {
                    found.push(adu);
                }
            }
            assert_eq!(found, all);
            assert_eq!(splitter.buffered(), 0);
        }
    }

    #[test]
    fn what_is_no_frame_is_known_by_its_header() {
        let fault = |header: [u8; 7]| {
            let mut splitter = Splitter::default();
            splitter.push(&header);
            splitter.take().unwrap_err()
        };
        assert_eq!(fault([0, 1, 0, 1, 0, 6, 1]), AduFault::Protocol(1));
        assert_eq!(fault(*b"GET / H"), AduFault::Protocol(0x5420));
        assert_eq!(fault([0, 1, 0, 0, 0, 0, 1]), AduFault::Length(0));
        assert_eq!(fault([0, 1, 0, 0, 0, 1, 1]), AduFault::Length(1));
        assert_eq!(fault([0, 1, 0, 0, 0, 255, 1]), AduFault::Length(255));
        assert_eq!(fault([0, 1, 0, 0, 255, 255, 1]), AduFault::Length(65_535));
    }
}
