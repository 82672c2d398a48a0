//! Bytes of a [`CountMin`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{
    builder::{CountMinBuilder, Update},
    sketch::CountMin,
};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
};

const PLAIN: u8 = 0;
const CONSERVATIVE: u8 = 1;

impl CountMin {
    /// Encodes the sketch: 42 bytes and 4 for each cell.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::CountMin, self.seed, 18 + 4 * self.cells.len());
        writer.u8(match self.update {
            Update::Plain => PLAIN,
            Update::Conservative => CONSERVATIVE,
        });
        writer.u8(u8::try_from(self.depth).unwrap_or(u8::MAX));
        writer.u32(u32::try_from(self.width).unwrap_or(u32::MAX));
        writer.u64(self.total);
        for cell in &self.cells {
            writer.u32(*cell);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::CountMin)?;
        let at = reader.offset();
        let update = match reader.u8("update")? {
            PLAIN => Update::Plain,
            CONSERVATIVE => Update::Conservative,
            other => return Err(reader.bad_field("update", at, format!("{other}"), "0 or 1")),
        };
        let at = reader.offset();
        let depth = usize::from(reader.u8("depth")?);
        if !(1..=CountMinBuilder::DEPTH_MAX).contains(&depth) {
            return Err(reader.bad_field("depth", at, format!("{depth}"), "1 to 32"));
        }
        let width = reader.count(
            "width",
            1..=CountMinBuilder::WIDTH_MAX,
            4 * depth,
            "1 to 2^28",
        )?;
        let at = reader.offset();
        let total = reader.u64("total")?;
        let cells = reader.raw("cells", 4 * depth * width)?.as_chunks::<4>().0;
        let cells: Vec<u32> = cells.iter().map(|cell| u32::from_le_bytes(*cell)).collect();
        if cells.iter().any(|cell| u64::from(*cell) > total) {
            let allowed = "not below any cell";
            return Err(reader.bad_field("total", at, format!("{total}"), allowed));
        }
        reader.finish()?;
        Ok(Self {
            seed,
            depth,
            width,
            update,
            total,
            cells,
        })
    }
}

serde_through_bytes!(CountMin);
