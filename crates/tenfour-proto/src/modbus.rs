//! Modbus/TCP, as far as a server needs it: frames in, requests out, responses in, frames out.
//!
//! After *MODBUS Application Protocol Specification V1.1b3* (sections 6 and 7) and *MODBUS Messaging on TCP/IP
//! Implementation Guide V1.0b*; sections named below are of the first.

mod adu;
mod exception;
mod limits;
mod request;
mod response;

pub use adu::{Adu, AduFault, Splitter};
pub use exception::Exception;
pub use limits::{
    MAX_READ_BITS, MAX_READ_REGISTERS, MAX_READ_WRITE_REGISTERS, MAX_WRITE_COILS, MAX_WRITE_REGISTERS,
};
pub use request::{Request, Write};
pub use response::Response;
