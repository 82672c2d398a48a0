//! Bytes of a [`BloomFilter`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{builder::BloomBuilder, sketch::BloomFilter};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    memory::collected,
};

impl BloomFilter {
    /// Encodes the filter: 36 bytes and its bits.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::Bloom, self.seed, 12 + 8 * self.words.len());
        writer.u32(self.hashes);
        writer.u64(self.words.len() as u64);
        for word in &self.words {
            writer.u64(*word);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::Bloom)?;
        let at = reader.offset();
        let hashes = reader.u32("hashes")?;
        if !(1..=BloomBuilder::HASHES_MAX).contains(&hashes) {
            return Err(reader.bad_field("hashes", at, format!("{hashes}"), "1 to 40"));
        }
        let at = reader.offset();
        let stored = reader.u64("words")?;
        if !(1..=BloomBuilder::BITS_MAX / 64).contains(&stored) {
            return Err(reader.bad_field("words", at, format!("{stored}"), "1 to 2^32"));
        }
        let len_bytes = usize::try_from(stored)
            .unwrap_or(usize::MAX)
            .saturating_mul(8);
        let words = reader.raw("bits", len_bytes)?.as_chunks::<8>().0;
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let words = collected(Family::Bloom.name(), words)?;
        reader.finish()?;
        Ok(Self {
            seed,
            hashes,
            words,
        })
    }
}

serde_through_bytes!(BloomFilter);
