//! What is sent: bytes, a mailbox, and at most two short words about the bytes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::MailboxName;
use crate::limits::MAX_WORD;

/// A message as its sender gives it. Its body is never altered on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where it goes.
    pub mailbox: MailboxName,
    /// What kind of bytes the body is, if the sender says so.
    pub content_type: Option<ContentType>,
    /// What the body is called, if the sender says so. Never a path.
    pub name: Option<MessageName>,
    /// Its sender wants a reply.
    pub asks: bool,
    /// Any bytes, also none.
    pub body: Bytes,
}

impl Message {
    /// A message for `mailbox` that is only bytes.
    pub fn new(mailbox: MailboxName, body: impl Into<Bytes>) -> Self {
        Message {
            mailbox,
            content_type: None,
            name: None,
            asks: false,
            body: body.into(),
        }
    }

    /// The same message, to which a reply is wanted.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.asks = true;
        self
    }

    /// The same message under a name.
    pub fn with_name(mut self, name: MessageName) -> Self {
        self.name = Some(name);
        self
    }

    /// The same message with a content type.
    pub fn with_content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = Some(content_type);
        self
    }
}

/// The name of a message, such as a file's: 1 to 255 bytes of UTF-8 without `/` and control
/// characters, and neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageName(Box<str>);

/// The content type of a message: 1 to 255 printable ASCII characters. Its grammar is the readers' business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Box<str>);

/// Why a text cannot be a message's name or content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More than 255 bytes; the length is given.
    #[error("it has {0} bytes, at most {MAX_WORD} are allowed")]
    TooLong(usize),
    /// A character that is not allowed.
    #[error("it has a character that is not allowed")]
    Character,
    /// `.`, `..`, or something with a slash.
    #[error("it is a path, and a name is never a path")]
    Path,
}

fn check_length(text: &str) -> Result<(), WordError> {
    match text.len() {
        0 => Err(WordError::Empty),
        n if n > MAX_WORD => Err(WordError::TooLong(n)),
        _ => Ok(()),
    }
}

impl FromStr for MessageName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        check_length(text)?;
        if text.contains('/') || text == "." || text == ".." {
            return Err(WordError::Path);
        }
        if text.chars().any(char::is_control) {
            return Err(WordError::Character);
        }
        Ok(MessageName(text.into()))
    }
}

impl FromStr for ContentType {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        check_length(text)?;
        if !text.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
            return Err(WordError::Character);
        }
        Ok(ContentType(text.into()))
    }
}

impl MessageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContentType {
    /// The content type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        assert!("report.pdf".parse::<MessageName>().is_ok());
        assert!("größe 1.txt".parse::<MessageName>().is_ok());
        assert_eq!("a/b".parse::<MessageName>(), Err(WordError::Path));
        assert_eq!("..".parse::<MessageName>(), Err(WordError::Path));
        assert_eq!("a\nb".parse::<MessageName>(), Err(WordError::Character));
        assert_eq!("".parse::<MessageName>(), Err(WordError::Empty));
        assert_eq!(
            "x".repeat(256).parse::<MessageName>(),
            Err(WordError::TooLong(256))
        );
        assert_eq!("te\u{7f}xt".parse::<ContentType>(), Err(WordError::Character));
        assert!("text/plain; charset=utf-8".parse::<ContentType>().is_ok());
    }
}
