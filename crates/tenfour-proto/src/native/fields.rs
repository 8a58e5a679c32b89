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

/// Takes the next field off `body`; `None` at its end.
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
