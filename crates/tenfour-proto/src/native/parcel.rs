//! A body that comes in several frames.

use bytes::Bytes;

use super::Fault;

/// What to do with the rest of a body that has begun.
#[derive(Debug)]
pub(super) struct Parcel<T> {
    head: T,
    total: usize,
    body: Vec<u8>,
    /// The rest is read and dropped: the message is refused.
    dropped: bool,
    missing: usize,
}

impl<T> Parcel<T> {
    /// A body of `total` bytes that begins with `first`.
    pub(super) fn begin(head: T, total: usize, first: &[u8]) -> Self {
        Parcel {
            head,
            total,
            // Grows as bytes arrive: a length alone must not make us reserve memory.
            body: first.to_vec(),
            dropped: false,
            missing: total.saturating_sub(first.len()),
        }
    }

    /// A body of which nothing is kept.
    pub(super) fn begin_dropped(head: T, total: usize, first: &[u8]) -> Self {
        Parcel {
            dropped: true,
            body: Vec::new(),
            ..Parcel::begin(head, total, first)
        }
    }

    /// Adds the next part.
    pub(super) fn add(&mut self, part: &[u8]) -> Result<(), Fault> {
        if part.is_empty() || part.len() > self.missing {
            return Err(Fault::protocol("a part does not fit its message"));
        }
        self.missing -= part.len();
        if !self.dropped {
            self.body.extend_from_slice(part);
        }
        Ok(())
    }

    /// Every byte is there.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Bytes held.
    pub(super) fn buffered(&self) -> usize {
        self.body.len()
    }

    /// What it was, and its body; no body if it was dropped.
    pub(super) fn finish(self) -> (T, Option<Bytes>) {
        debug_assert!(self.dropped || self.body.len() == self.total);
        (self.head, (!self.dropped).then(|| Bytes::from(self.body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_grows_to_its_length_and_no_further() {
        let mut parcel = Parcel::begin("head", 5, b"on");
        assert_eq!((parcel.is_whole(), parcel.buffered()), (false, 2));
        assert!(parcel.add(b"").is_err(), "a part that says nothing");
        assert!(parcel.add(b"e twos").is_err(), "a part that says too much");
        parcel.add(b"e").unwrap();
        parcel.add(b"+1").unwrap();
        assert_eq!((parcel.is_whole(), parcel.buffered()), (true, 5));
        assert!(parcel.add(b"x").is_err());
        assert_eq!(parcel.finish(), ("head", Some(Bytes::from_static(b"one+1"))));
    }

    #[test]
    fn of_what_is_dropped_nothing_is_kept_but_its_end_is_found() {
        let mut parcel = Parcel::begin_dropped("head", 5, b"on");
        assert_eq!((parcel.is_whole(), parcel.buffered()), (false, 0));
        parcel.add(b"e+1").unwrap();
        assert_eq!((parcel.is_whole(), parcel.buffered()), (true, 0));
        assert_eq!(parcel.finish(), ("head", None));
    }
}
