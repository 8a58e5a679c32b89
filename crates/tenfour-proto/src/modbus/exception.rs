//! Why a request is not done.

/// Why a request is not done (section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exception {
    /// The function is not served.
    IllegalFunction = 1,
    /// There is no such address.
    IllegalDataAddress = 2,
    /// A quantity or length that cannot be.
    IllegalDataValue = 3,
    /// Something failed, and nobody knows what became of it.
    ServerDeviceFailure = 4,
    /// Not now; nothing was done.
    ServerDeviceBusy = 6,
}

impl Exception {
    /// The PDU for a request of this function.
    pub fn encode(self, function: u8) -> Vec<u8> {
        vec![function | 0x80, self as u8]
    }
}
