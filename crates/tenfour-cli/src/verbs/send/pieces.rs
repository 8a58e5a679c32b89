//! Stdin as messages: pieces between separators.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use tenfour::proto::limits;

use super::content::{too_large, whole};
use crate::exit::Failure;

/// The most pieces of one batch.
pub const BATCH: usize = 512;

/// Reads pieces in batches: as many as are at hand. A piece that is whole waits for no other.
pub struct Pieces<R> {
    input: BufReader<R>,
    separator: u8,
    /// What came to an end behind the last batch.
    ended: Option<Result<(), Failure>>,
}

impl Pieces<io::Stdin> {
    /// Each line, or each piece up to a NUL byte.
    pub fn of_stdin(zero: bool) -> Self {
        Pieces::new(io::stdin(), if zero { 0 } else { b'\n' })
    }
}

impl<R: Read> Pieces<R> {
    fn new(input: R, separator: u8) -> Self {
        Pieces {
            input: BufReader::with_capacity(256 * 1024, input),
            separator,
            ended: None,
        }
    }

    /// Waits for the next piece, and gives it with the whole ones behind it; none at the end.
    ///
    /// # Errors
    ///
    /// Input that cannot be read, or a piece that no server takes. What came before it was given.
    pub fn batch(&mut self) -> Result<Vec<Bytes>, Failure> {
        let mut batch = Vec::new();
        while self.ended.is_none() && batch.len() < BATCH {
            if !batch.is_empty() && !self.input.buffer().contains(&self.separator) {
                return Ok(batch);
            }
            match self.piece() {
                Ok(Some(piece)) => batch.push(piece),
                Ok(None) => self.ended = Some(Ok(())),
                Err(failure) => self.ended = Some(Err(failure)),
            }
        }
        match self.ended.take_if(|_| batch.is_empty()) {
            Some(Err(failure)) => Err(failure),
            _ => Ok(batch),
        }
    }

    /// Up to the separator, or to the end. Nothing behind the last separator is no message.
    fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut piece = Vec::new();
        let most = u64::from(limits::CEILING_MAX_MESSAGE) + 2;
        let count = (&mut self.input)
            .take(most)
            .read_until(self.separator, &mut piece)
            .map_err(|error| Failure::local(format!("cannot read stdin: {error}")))?;
        if count == 0 {
            return Ok(None);
        }
        if piece.last() == Some(&self.separator) {
            piece.pop();
        }
        let piece = whole(piece)?;
        if piece.len() > limits::CEILING_MAX_MESSAGE as usize {
            return Err(too_large());
        }
        Ok(Some(Bytes::from(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it is told, one look after the other.
    struct Looks(Vec<&'static [u8]>);

    impl Read for Looks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let look = if self.0.is_empty() { b"" } else { self.0.remove(0) };
            into[..look.len()].copy_from_slice(look);
            Ok(look.len())
        }
    }

    /// What a writer had finished once waited for the rest of its last line.
    #[test]
    fn whole_pieces_do_not_wait_for_an_unfinished_one() {
        let mut pieces = Pieces::new(Looks(vec![b"1\n2\n3", b"\n\n4"]), b'\n');
        assert_eq!(pieces.batch().unwrap(), ["1", "2"]);
        assert_eq!(pieces.batch().unwrap(), ["3", ""]);
        assert_eq!(pieces.batch().unwrap(), ["4"]);
        assert!(pieces.batch().unwrap().is_empty());
    }

    #[test]
    fn what_came_before_a_piece_that_is_too_large_is_given() {
        let mut input = b"1\n2\n".to_vec();
        input.extend(vec![b'x'; limits::CEILING_MAX_MESSAGE as usize + 1]);
        let mut pieces = Pieces::new(&*input, b'\n');
        assert_eq!(pieces.batch().unwrap(), ["1", "2"]);
        assert!(pieces.batch().unwrap_err().message.contains("larger than"));
    }
}
