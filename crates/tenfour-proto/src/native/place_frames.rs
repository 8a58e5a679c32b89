//! Frames that name a place: where a read begins, and a message that a reader was given on an earlier connection.

use bytes::Bytes;

use super::{Fault, fields};
use crate::{Place, ProducerId, Stamp};

/// A place on the wire: offset, time, sequence, stream. All but the offset are zero where nobody saw a message.
pub(super) const PLACE: usize = 8 + 8 + 8 + 16;

/// To a reader: its read begins behind this place. From a reader of a cursor: it was given the message at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceFrame {
    pub(super) request: u32,
    pub(super) place: Place,
}

impl PlaceFrame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&encode(self.place));
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, Fault> {
        Ok(PlaceFrame {
            request: fields::number(&mut body)?,
            place: decode(body)?,
        })
    }
}

pub(super) fn encode(place: Place) -> Vec<u8> {
    let stamp = place.stamp.unwrap_or(Stamp {
        time: 0,
        sequence: 0,
        producer: ProducerId::from_bytes([0; 16]),
    });
    let mut out = Vec::with_capacity(PLACE);
    out.extend_from_slice(&place.offset.to_be_bytes());
    out.extend_from_slice(&stamp.time.to_be_bytes());
    out.extend_from_slice(&stamp.sequence.to_be_bytes());
    out.extend_from_slice(stamp.producer.as_bytes());
    out
}

pub(super) fn decode(mut value: Bytes) -> Result<Place, Fault> {
    let offset = fields::number(&mut value)?;
    let stamp = Stamp {
        time: fields::number(&mut value)?,
        sequence: fields::number(&mut value)?,
        producer: ProducerId::from_bytes(fields::array(&mut value)?),
    };
    Ok(Place {
        offset,
        stamp: (stamp.time != 0).then_some(stamp),
    })
}
