//! What comes back for a message that asked.

use bytes::Bytes;

/// The answer to a message that asked for one. The first is the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How the handler ended: 0 is success. `None`: no handler could do it, and it is in the dead letters.
    pub code: Option<u8>,
    /// What the handler says; at most [`MAX_REPLY`](crate::limits::MAX_REPLY) bytes.
    pub body: Bytes,
}

impl Reply {
    /// A success.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Reply {
            code: Some(0),
            body: body.into(),
        }
    }

    /// The same with another code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Nobody could handle the message.
    pub fn dead() -> Self {
        Reply {
            code: None,
            body: Bytes::new(),
        }
    }
}
