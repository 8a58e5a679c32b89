//! Frames of a backup: the store of a server, as a file.

use bytes::Bytes;

use super::{Fault, fields};

/// A piece of the file; an empty one only says that it takes time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPart {
    pub(super) request: u32,
    pub(super) bytes: Bytes,
}

/// How a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupEnd {
    /// That was all of it; so many bytes.
    Complete(u64),
    /// This key may not have it.
    NotAllowed,
    /// There is no file: the server keeps its messages in memory.
    NoFile,
    /// The server has no room to make a copy.
    Full,
    /// The store could not be read, or a reason that this version does not know.
    Failed,
}

/// The end on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupEndFrame {
    pub(super) request: u32,
    pub(super) end: BackupEnd,
}

impl BackupPart {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(BackupPart {
            request: fields::number(&mut body)?,
            bytes: body,
        })
    }
}

impl BackupEndFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        let (reason, bytes): (u16, u64) = match self.end {
            BackupEnd::Complete(bytes) => (0, bytes),
            BackupEnd::NotAllowed => (1, 0),
            BackupEnd::NoFile => (2, 0),
            BackupEnd::Failed => (3, 0),
            BackupEnd::Full => (4, 0),
        };
        out.extend_from_slice(&reason.to_be_bytes());
        out.extend_from_slice(&bytes.to_be_bytes());
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        let request = fields::number(&mut body)?;
        let reason: u16 = fields::number(&mut body)?;
        let bytes = fields::number(&mut body)?;
        Ok(BackupEndFrame {
            request,
            end: match reason {
                0 => BackupEnd::Complete(bytes),
                1 => BackupEnd::NotAllowed,
                2 => BackupEnd::NoFile,
                4 => BackupEnd::Full,
                _ => BackupEnd::Failed,
            },
        })
    }
}
