//! Bytes that have arrived and are not understood yet.

use bytes::{Bytes, BytesMut};

/// What has arrived of a connection, up to its first piece that is not whole. Each byte is copied a bounded number of
/// times, however small the steps in which a piece comes; a connection that rests holds its unfinished piece only.
#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    bytes: BytesMut,
    /// Pieces were split off: the memory is shared with them.
    is_shared: bool,
    /// Bytes copied or looked at so far.
    #[cfg(test)]
    pub(crate) touched: usize,
}

impl ReceiveBuffer {
    /// Takes what arrived.
    pub(crate) fn push(&mut self, input: &[u8]) {
        #[cfg(test)]
        let capacity = self.bytes.capacity();
        self.bytes.extend_from_slice(input);
        #[cfg(test)]
        {
            self.touched += input.len();
            if self.bytes.capacity() != capacity {
                self.touched += self.bytes.len();
            }
        }
    }

    /// Splits off the first piece; it shares the memory.
    pub(crate) fn split_to(&mut self, length: usize) -> Bytes {
        self.is_shared = true;
        self.bytes.split_to(length).freeze()
    }

    /// The first byte of that value, at `from` or behind it.
    pub(crate) fn find(&mut self, byte: u8, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let found = rest.iter().position(|b| *b == byte);
        #[cfg(test)]
        {
            self.touched += found.map_or(rest.len(), |at| at + 1);
        }
        found.map(|at| from + at)
    }

    /// No whole piece is left. Lets go of memory that is shared with those that were: an unfinished piece must not keep
    /// it, nor a connection that rests.
    pub(crate) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        } else if self.is_shared {
            self.bytes = BytesMut::from(self.bytes.as_ref());
            #[cfg(test)]
            {
                self.touched += self.bytes.len();
            }
        }
        self.is_shared = false;
    }

    /// Gives up what is there.
    pub(crate) fn clear(&mut self) {
        self.bytes = BytesMut::new();
        self.is_shared = false;
    }

    /// All that is there.
    pub(crate) fn take(&mut self) -> Bytes {
        self.is_shared = false;
        std::mem::take(&mut self.bytes).freeze()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_rests_keeps_no_memory_but_that_of_its_unfinished_piece() {
        let mut buffer = ReceiveBuffer::default();
        buffer.push(&[0; 100_000]);
        drop(buffer.split_to(99_990));
        buffer.rest();
        assert_eq!(buffer.len(), 10);
        assert!(buffer.bytes.capacity() < 100);
        drop(buffer.split_to(10));
        buffer.rest();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
