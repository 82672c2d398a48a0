//! Bytes of a [`CountSketch`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::sketch::CountSketch;
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
};

impl CountSketch {
    /// Encodes the sketch: 29 bytes and 8 for each cell.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::CountSketch, self.seed, 5 + 8 * self.cells.len());
        writer.u8(u8::try_from(self.depth).unwrap_or(u8::MAX));
        writer.u32(u32::try_from(self.width).unwrap_or(u32::MAX));
        for cell in &self.cells {
            writer.u64(cell.cast_unsigned());
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::CountSketch)?;
        let at = reader.offset();
        let depth = usize::from(reader.u8("depth")?);
        if !(1..=Self::DEPTH_MAX).contains(&depth) {
            return Err(reader.bad_field("depth", at, format!("{depth}"), "1 to 32"));
        }
        let width = reader.count("width", 1..=Self::WIDTH_MAX, 8 * depth, "1 to 2^27")?;
        let cells = reader.raw("cells", 8 * depth * width)?.as_chunks::<8>().0;
        let cells = cells.iter().map(|cell| i64::from_le_bytes(*cell)).collect();
        reader.finish()?;
        Ok(Self {
            seed,
            depth,
            width,
            cells,
        })
    }
}

serde_through_bytes!(CountSketch);
