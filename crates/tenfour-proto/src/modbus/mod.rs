//! Modbus/TCP, as far as a server needs it: frames in, requests out, responses in, frames out.
//!
//! After *MODBUS Application Protocol Specification V1.1b3* (sections 6 and 7) and *MODBUS Messaging on TCP/IP
//! Implementation Guide V1.0b*; sections named below are of the first.

mod adu;
mod request;
mod response;

pub use adu::{Adu, AduFault, Splitter};
pub use request::{Request, Write};
pub use response::{Exception, Response};

/// Registers of one read (sections 6.3, 6.4, 6.17).
pub const MAX_READ_REGISTERS: u16 = 125;

/// Coils or inputs of one read (sections 6.1, 6.2).
pub const MAX_READ_BITS: u16 = 2_000;

/// Registers of one write (section 6.12).
pub const MAX_WRITE_REGISTERS: u16 = 123;

/// Registers of the write in a read and write (section 6.17).
pub const MAX_READ_WRITE_REGISTERS: u16 = 121;

/// Coils of one write (section 6.11).
pub const MAX_WRITE_COILS: u16 = 1_968;
