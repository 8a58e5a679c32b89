//! How much one request may ask for.

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
