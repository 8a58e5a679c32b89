//! What comes back for a message that asked.

use bytes::Bytes;

use crate::limits::MAX_REPLY;

/// The answer to a message that asked for one. The first is the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// How the handler ended: 0 is success. `None`: no handler could do it, and it is in the dead letters.
    pub code: Option<u8>,
    /// What the handler says; at most [`MAX_REPLY`] bytes.
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

    /// The same as a handler may say it: with a code, 0 if it named none, and cut where a reply ends.
    #[must_use]
    pub fn of_handler(mut self) -> Self {
        self.body.truncate(MAX_REPLY);
        self.code = self.code.or(Some(0));
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
