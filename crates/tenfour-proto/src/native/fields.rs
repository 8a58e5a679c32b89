//! Extensible fields: a tag of one byte, a length of two, a value.
//!
//! A reader skips a tag it does not know, unless the tag's top bit says that it must not.

use bytes::{Buf, Bytes};

use super::Fault;

/// A tag with this bit is an error for a reader that does not know it.
const CRITICAL: u8 = 0x80;

/// Appends one field.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    // Values are our own and short; one that is not would be cut here rather than corrupt the frame.
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
}

/// The tags that came: each field is given at most once. Whoever took the last of two, and whoever took the first, would
/// understand two messages.
#[derive(Debug, Default)]
pub(super) struct Once([u128; 2]);

impl Once {
    /// Takes the next field off `body`; `None` at its end.
    pub(super) fn next(&mut self, body: &mut Bytes) -> Result<Option<(u8, Bytes)>, Fault> {
        let field = next(body)?;
        if let Some((tag, _)) = &field {
            let bit = 1 << (tag & 0x7f);
            let [low, high] = &mut self.0;
            let seen = if tag & 0x80 == 0 { low } else { high };
            if *seen & bit != 0 {
                return Err(Fault::protocol("a field is given twice"));
            }
            *seen |= bit;
        }
        Ok(field)
    }
}

/// Takes the next field off `body`, which may have been there before; `None` at its end.
pub(super) fn next(body: &mut Bytes) -> Result<Option<(u8, Bytes)>, Fault> {
    if body.is_empty() {
        return Ok(None);
    }
    let tag = number::<u8>(body)?;
    let length = usize::from(number::<u16>(body)?);
    let value = take(body, length)?;
    Ok(Some((tag, value)))
}

/// What to do with a tag nobody asked for.
pub(super) fn unknown(tag: u8) -> Result<(), Fault> {
    if tag & CRITICAL == 0 {
        Ok(())
    } else {
        Err(Fault::protocol("a critical field is not known here"))
    }
}

/// Takes `length` bytes off the front.
pub(super) fn take(body: &mut Bytes, length: usize) -> Result<Bytes, Fault> {
    if body.len() < length {
        return Err(Fault::protocol("a frame is shorter than its contents"));
    }
    Ok(body.split_to(length))
}

/// Takes a fixed array off the front.
pub(super) fn array<const N: usize>(body: &mut Bytes) -> Result<[u8; N], Fault> {
    let mut array = [0; N];
    body.try_copy_to_slice(&mut array)
        .map_err(|_| Fault::protocol("a frame is shorter than its contents"))?;
    Ok(array)
}

/// An unsigned or signed integer, big endian.
pub(super) trait Number: Sized {
    fn read(body: &mut Bytes) -> Result<Self, Fault>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn read(body: &mut Bytes) -> Result<Self, Fault> {
                array(body).map(<$type>::from_be_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64);

/// Takes a number off the front.
pub(super) fn number<T: Number>(body: &mut Bytes) -> Result<T, Fault> {
    T::read(body)
}

/// Text that is UTF-8; anything else is a fault.
pub(super) fn text(value: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(value).map_err(|_| Fault::protocol("a text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_as_they_went_in_and_end_with_the_frame() {
        let mut out = Vec::new();
        put(&mut out, 0x01, b"one");
        put(&mut out, 0x82, b"");
        assert_eq!(out, b"\x01\x00\x03one\x82\x00\x00");
        let mut body = Bytes::from(out);
        assert_eq!(next(&mut body).unwrap(), Some((0x01, Bytes::from_static(b"one"))));
        assert_eq!(next(&mut body).unwrap(), Some((0x82, Bytes::new())));
        assert_eq!(next(&mut body).unwrap(), None);
        for cut in [&b"\x01"[..], b"\x01\x00", b"\x01\x00\x03on"] {
            assert!(next(&mut Bytes::from_static(cut)).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn a_field_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let mut out = Vec::new();
        put(&mut out, 0x01, &[b'x'; 70_000]);
        put(&mut out, 0x02, b"two");
        let mut body = Bytes::from(out);
        assert_eq!(next(&mut body).unwrap().unwrap().1.len(), 65_535);
        assert_eq!(next(&mut body).unwrap(), Some((0x02, Bytes::from_static(b"two"))));
    }

    #[test]
    fn what_is_not_known_is_skipped_unless_it_is_critical() {
        for tag in [0x00, 0x01, 0x7f] {
            assert_eq!(unknown(tag), Ok(()));
        }
        for tag in [0x80, 0x81, 0xff] {
            assert!(unknown(tag).is_err());
        }
    }

    #[test]
    fn numbers_and_texts() {
        let mut body = Bytes::from_static(b"\x01\x02\x03\x04\x05\x06\x07\x08\x09rest");
        assert_eq!(number::<u8>(&mut body).unwrap(), 1);
        assert_eq!(number::<u32>(&mut body).unwrap(), 0x0203_0405);
        assert_eq!(array::<2>(&mut body).unwrap(), [6, 7]);
        assert_eq!(number::<u16>(&mut body).unwrap(), 0x0809);
        assert!(number::<u64>(&mut body).is_err());
        assert_eq!(take(&mut body, 4).unwrap(), Bytes::from_static(b"rest"));
        assert!(take(&mut body, 1).is_err());
        assert_eq!(text(&Bytes::from_static("größe".as_bytes())).unwrap(), "größe");
        assert!(text(&Bytes::from_static(b"\xff")).is_err());
    }
}
