//! Bytes of a [`BinaryFuse8`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{
    layout::{Layout, SEGMENT_BITS_MAX, multiplier_of},
    sketch::BinaryFuse8,
};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    memory::collected,
};

/// Most segments that can be the first of a key, so that positions fit 32 bits.
const SEGMENTS_MAX: u32 = 1 << 13;

impl BinaryFuse8 {
    /// Encodes the filter: 37 bytes and one for each fingerprint.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body_bytes = 13 + self.fingerprints.len();
        let mut writer = Writer::new(Family::BinaryFuse8, self.seed, body_bytes);
        writer.u32(self.attempt);
        writer.u32(self.keys);
        writer.u8(self.layout.segment_bits.to_le_bytes()[0]);
        writer.u32(self.layout.segments);
        writer.raw(&self.fingerprints);
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::BinaryFuse8)?;
        let attempt = reader.u32("attempt")?;
        let at = reader.offset();
        let keys = reader.u32("keys")?;
        if keys > Self::KEYS_MAX {
            return Err(reader.bad_field("keys", at, format!("{keys}"), "at most 2^30"));
        }
        let at = reader.offset();
        let segment_bits = u32::from(reader.u8("segment bits")?);
        if segment_bits > SEGMENT_BITS_MAX {
            let value = format!("{segment_bits}");
            return Err(reader.bad_field("segment bits", at, value, "0 to 18"));
        }
        let at = reader.offset();
        let segments = reader.u32("segments")?;
        if !(1..=SEGMENTS_MAX).contains(&segments) {
            let value = format!("{segments}");
            return Err(reader.bad_field("segments", at, value, "1 to 2^13"));
        }
        let layout = Layout {
            segment_bits,
            segments,
        };
        let fingerprints = reader.raw("fingerprints", layout.slots())?;
        let fingerprints = collected(Family::BinaryFuse8.name(), fingerprints.iter().copied())?;
        reader.finish()?;
        Ok(Self {
            seed,
            attempt,
            multiplier: multiplier_of(attempt),
            keys,
            layout,
            fingerprints,
        })
    }
}

serde_through_bytes!(BinaryFuse8);
