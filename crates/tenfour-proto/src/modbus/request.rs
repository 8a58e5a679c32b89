//! What a client wants: one PDU.

use super::exception::Exception;
use super::limits::{
    MAX_READ_BITS, MAX_READ_REGISTERS, MAX_READ_WRITE_REGISTERS, MAX_WRITE_COILS, MAX_WRITE_REGISTERS,
};

/// A request that is sound: its quantities are within their limits, and its addresses exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Function 1.
    ReadCoils {
        /// The first.
        address: u16,
        /// How many.
        quantity: u16,
    },
    /// Function 2.
    ReadDiscreteInputs {
        /// The first.
        address: u16,
        /// How many.
        quantity: u16,
    },
    /// Function 3.
    ReadHoldingRegisters {
        /// The first.
        address: u16,
        /// How many.
        quantity: u16,
    },
    /// Function 4.
    ReadInputRegisters {
        /// The first.
        address: u16,
        /// How many.
        quantity: u16,
    },
    /// Functions 5, 6, 15 and 16.
    Write(Write),
    /// Function 23: the write comes first.
    WriteAndRead {
        /// What is written.
        write: Write,
        /// The first holding register that is read.
        address: u16,
        /// How many.
        quantity: u16,
    },
}

/// Values on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Coils from an address on.
    Coils {
        /// 5 or 15.
        function: u8,
        /// The first.
        address: u16,
        /// At least one.
        values: Vec<bool>,
    },
    /// Holding registers from an address on.
    Registers {
        /// 6, 16 or 23.
        function: u8,
        /// The first.
        address: u16,
        /// At least one.
        values: Vec<u16>,
    },
}

impl Request {
    /// What is written, if anything is.
    pub fn write(&self) -> Option<&Write> {
        match self {
            Request::Write(write) | Request::WriteAndRead { write, .. } => Some(write),
            _ => None,
        }
    }

    /// Understands a PDU.
    ///
    /// # Errors
    ///
    /// What the client is told, in the order of the specification's state diagrams: 1 for a function that is not served,
    /// 3 for a quantity or length that cannot be, 2 for addresses beyond the last.
    pub fn decode(pdu: &[u8]) -> Result<Self, Exception> {
        let (function, data) = match pdu.split_first() {
            Some((function, data)) => (*function, data),
            None => return Err(Exception::IllegalFunction),
        };
        let mut data = Data(data);
        match function {
            1 | 2 => {
                let (address, quantity) = data.range(MAX_READ_BITS)?;
                data.end()?;
                Ok(if function == 1 {
                    Request::ReadCoils { address, quantity }
                } else {
                    Request::ReadDiscreteInputs { address, quantity }
                })
            }
            3 | 4 => {
                let (address, quantity) = data.range(MAX_READ_REGISTERS)?;
                data.end()?;
                Ok(if function == 3 {
                    Request::ReadHoldingRegisters { address, quantity }
                } else {
                    Request::ReadInputRegisters { address, quantity }
                })
            }
            5 => {
                let address = data.word()?;
                let value = match data.word()? {
                    0x0000 => false,
                    0xff00 => true,
                    _ => return Err(Exception::IllegalDataValue),
                };
                data.end()?;
                Ok(Request::Write(Write::Coils {
                    function,
                    address,
                    values: vec![value],
                }))
            }
            6 => {
                let (address, value) = (data.word()?, data.word()?);
                data.end()?;
                Ok(Request::Write(Write::Registers {
                    function,
                    address,
                    values: vec![value],
                }))
            }
            15 => {
                let (address, quantity) = data.quantity(MAX_WRITE_COILS)?;
                let bytes = data.counted(usize::from(quantity).div_ceil(8))?;
                in_range(address, quantity)?;
                let bit = |at: u16| {
                    let byte = bytes.get(usize::from(at / 8)).copied().unwrap_or(0);
                    byte >> (at % 8) & 1 == 1
                };
                Ok(Request::Write(Write::Coils {
                    function,
                    address,
                    values: (0..quantity).map(bit).collect(),
                }))
            }
            16 => Ok(Request::Write(data.registers(function, MAX_WRITE_REGISTERS)?)),
            23 => {
                let (address, quantity) = data.quantity(MAX_READ_REGISTERS)?;
                let write = data.registers(function, MAX_READ_WRITE_REGISTERS)?;
                in_range(address, quantity)?;
                Ok(Request::WriteAndRead {
                    write,
                    address,
                    quantity,
                })
            }
            _ => Err(Exception::IllegalFunction),
        }
    }
}

/// The last address is 65,535.
fn in_range(address: u16, quantity: u16) -> Result<(), Exception> {
    if u32::from(address) + u32::from(quantity) > 0x1_0000 {
        return Err(Exception::IllegalDataAddress);
    }
    Ok(())
}

struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    fn word(&mut self) -> Result<u16, Exception> {
        let (word, rest) = self
            .0
            .split_first_chunk::<2>()
            .ok_or(Exception::IllegalDataValue)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*word))
    }

    /// Address and quantity, of which only the second is looked at.
    fn quantity(&mut self, most: u16) -> Result<(u16, u16), Exception> {
        let (address, quantity) = (self.word()?, self.word()?);
        if !(1..=most).contains(&quantity) {
            return Err(Exception::IllegalDataValue);
        }
        Ok((address, quantity))
    }

    fn range(&mut self, most: u16) -> Result<(u16, u16), Exception> {
        let (address, quantity) = self.quantity(most)?;
        in_range(address, quantity)?;
        Ok((address, quantity))
    }

    /// The rest: so many bytes, preceded by their number.
    fn counted(&mut self, length: usize) -> Result<&'a [u8], Exception> {
        match self.0.split_first() {
            Some((count, bytes)) if usize::from(*count) == length && bytes.len() == length => {
                self.0 = &[];
                Ok(bytes)
            }
            _ => Err(Exception::IllegalDataValue),
        }
    }

    fn registers(&mut self, function: u8, most: u16) -> Result<Write, Exception> {
        let (address, quantity) = self.quantity(most)?;
        let bytes = self.counted(2 * usize::from(quantity))?;
        in_range(address, quantity)?;
        let words = bytes.as_chunks::<2>().0;
        Ok(Write::Registers {
            function,
            address,
            values: words.iter().map(|word| u16::from_be_bytes(*word)).collect(),
        })
    }

    fn end(&self) -> Result<(), Exception> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Exception::IllegalDataValue)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the specification, sections 6.1 to 6.17.
    #[test]
    fn the_examples_of_the_specification() {
        let registers = |function, address, values: &[u16]| Write::Registers {
            function,
            address,
            values: values.to_vec(),
        };
        for (pdu, request) in [
            (
                &[0x01, 0x00, 0x13, 0x00, 0x13][..],
                Request::ReadCoils {
                    address: 0x13,
                    quantity: 0x13,
                },
            ),
            (
                &[0x02, 0x00, 0xc4, 0x00, 0x16],
                Request::ReadDiscreteInputs {
                    address: 0xc4,
                    quantity: 0x16,
                },
            ),
            (
                &[0x03, 0x00, 0x6b, 0x00, 0x03],
                Request::ReadHoldingRegisters {
                    address: 0x6b,
                    quantity: 3,
                },
            ),
            (
                &[0x04, 0x00, 0x08, 0x00, 0x01],
                Request::ReadInputRegisters {
                    address: 8,
                    quantity: 1,
                },
            ),
            (
                &[0x05, 0x00, 0xac, 0xff, 0x00],
                Request::Write(Write::Coils {
                    function: 5,
                    address: 0xac,
                    values: vec![true],
                }),
            ),
            (
                &[0x06, 0x00, 0x01, 0x00, 0x03],
                Request::Write(registers(6, 1, &[3])),
            ),
            (
                &[0x0f, 0x00, 0x13, 0x00, 0x0a, 0x02, 0xcd, 0x01],
                Request::Write(Write::Coils {
                    function: 15,
                    address: 0x13,
                    values: [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|bit| bit == 1).to_vec(),
                }),
            ),
            (
                &[0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0a, 0x01, 0x02],
                Request::Write(registers(16, 1, &[0x0a, 0x102])),
            ),
            (
                &[
                    0x17, 0x00, 0x03, 0x00, 0x06, 0x00, 0x0e, 0x00, 0x03, 0x06, 0x00, 0xff, 0x00, 0xff, 0x00,
                    0xff,
                ],
                Request::WriteAndRead {
                    write: registers(23, 14, &[255, 255, 255]),
                    address: 3,
                    quantity: 6,
                },
            ),
        ] {
            assert_eq!(Request::decode(pdu), Ok(request));
            // Whatever lacks or is too much is no such request.
            for end in 1..pdu.len() {
                assert_eq!(Request::decode(&pdu[..end]), Err(Exception::IllegalDataValue));
            }
            let longer = [pdu, &[0]].concat();
            assert_eq!(Request::decode(&longer), Err(Exception::IllegalDataValue));
        }
    }

    #[test]
    fn limits_and_addresses() {
        use Exception::{IllegalDataAddress as Address, IllegalDataValue as Value};
        let read = |function: u8, address: u16, quantity: u16| {
            let [a, b] = address.to_be_bytes();
            let [c, d] = quantity.to_be_bytes();
            Request::decode(&[function, a, b, c, d]).err()
        };
        for (function, most) in [(1, 2_000), (2, 2_000), (3, 125), (4, 125)] {
            assert_eq!(read(function, 0, 0), Some(Value));
            assert_eq!(read(function, 0, most), None);
            assert_eq!(read(function, 0, most + 1), Some(Value));
            assert_eq!(read(function, 65_535, 1), None);
            assert_eq!(read(function, 65_535, 2), Some(Address));
        }
        let write = |quantity: u16, address: u16| {
            let [a, b] = address.to_be_bytes();
            let [c, d] = quantity.to_be_bytes();
            let body = vec![0; 2 * usize::from(quantity)];
            Request::decode(&[&[16, a, b, c, d, (2 * quantity) as u8][..], &body].concat()).err()
        };
        assert_eq!(write(0, 0), Some(Value));
        assert_eq!(write(123, 0), None);
        assert_eq!(write(124, 0), Some(Value));
        assert_eq!(write(2, 65_535), Some(Address));
        assert_eq!(Request::decode(&[5, 0, 0, 0, 1]), Err(Value));
        for function in [0, 7, 8, 11, 12, 17, 20, 21, 22, 24, 43, 100, 0x83] {
            let decoded = Request::decode(&[function, 0, 0, 0, 1]);
            assert_eq!(decoded, Err(Exception::IllegalFunction), "{function}");
        }
        assert_eq!(Request::decode(&[]), Err(Exception::IllegalFunction));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(pdu in proptest::collection::vec(any::<u8>(), 0..260)) {
            let _ = Request::decode(&pdu);
        }
    }
}
