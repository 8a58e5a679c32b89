//! What a client is told: one PDU.

use super::request::Write;

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Of functions 1 and 2.
    Bits(Vec<bool>),
    /// Of functions 3, 4 and 23.
    Registers(Vec<u16>),
    /// Of functions 5, 6, 15 and 16: what was written is named again.
    Written(Write),
}

impl Response {
    /// The PDU for a request of this function.
    pub fn encode(&self, function: u8) -> Vec<u8> {
        let mut pdu = vec![function];
        match self {
            Response::Bits(bits) => {
                let bytes = bits.chunks(8).map(|chunk| {
                    let set = chunk.iter().enumerate().filter(|(_, bit)| **bit);
                    set.fold(0u8, |byte, (at, _)| byte | 1 << at)
                });
                pdu.push(u8::try_from(bits.len().div_ceil(8)).unwrap_or(u8::MAX));
                pdu.extend(bytes);
            }
            Response::Registers(registers) => {
                pdu.push(u8::try_from(2 * registers.len()).unwrap_or(u8::MAX));
                pdu.extend(registers.iter().flat_map(|register| register.to_be_bytes()));
            }
            Response::Written(write) => {
                let (address, second) = match write {
                    Write::Coils {
                        function: 5,
                        address,
                        values,
                    } => {
                        let on = values.first() == Some(&true);
                        (*address, if on { 0xff00 } else { 0 })
                    }
                    Write::Registers {
                        function: 6,
                        address,
                        values,
                    } => (*address, values.first().copied().unwrap_or(0)),
                    Write::Coils { address, values, .. } => (*address, length(values.len())),
                    Write::Registers { address, values, .. } => (*address, length(values.len())),
                };
                pdu.extend_from_slice(&address.to_be_bytes());
                pdu.extend_from_slice(&second.to_be_bytes());
            }
        }
        pdu
    }
}

fn length(values: usize) -> u16 {
    u16::try_from(values).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::exception::Exception;
    use crate::modbus::request::Request;

    /// The examples of the specification, sections 6.1 to 6.17 and 7.
    #[test]
    fn the_examples_of_the_specification() {
        let bits = |bytes: &[u8], count: usize| {
            let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
            Response::Bits((0..count).map(bit).collect())
        };
        assert_eq!(
            bits(&[0xcd, 0x6b, 0x05], 19).encode(1),
            [0x01, 0x03, 0xcd, 0x6b, 0x05]
        );
        assert_eq!(
            Response::Registers(vec![0x022b, 0, 0x64]).encode(3),
            [0x03, 0x06, 0x02, 0x2b, 0x00, 0x00, 0x00, 0x64]
        );
        let written = |pdu: &[u8]| Response::Written(Request::decode(pdu).unwrap().write().unwrap().clone());
        let coil = [0x05, 0x00, 0xac, 0xff, 0x00];
        assert_eq!(written(&coil).encode(5), coil);
        let register = [0x06, 0x00, 0x01, 0x00, 0x03];
        assert_eq!(written(&register).encode(6), register);
        assert_eq!(
            written(&[0x0f, 0x00, 0x13, 0x00, 0x0a, 0x02, 0xcd, 0x01]).encode(15),
            [0x0f, 0x00, 0x13, 0x00, 0x0a]
        );
        assert_eq!(
            written(&[0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0a, 0x01, 0x02]).encode(16),
            [0x10, 0x00, 0x01, 0x00, 0x02]
        );
        assert_eq!(Exception::IllegalDataAddress.encode(1), [0x81, 0x02]);
    }
}
