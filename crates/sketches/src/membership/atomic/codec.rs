//! Bytes of an [`AtomicBloom`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::sketch::AtomicBloom;
use crate::{
    atomic::{AtomicU64, Ordering},
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
};

impl AtomicBloom {
    /// Encodes the filter as it is: 36 bytes and its words; inserts under way may be in it or not.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::AtomicBloom, self.seed, 12 + 8 * self.words.len());
        writer.u32(self.hashes);
        writer.u64(self.words.len() as u64);
        for word in &self.words {
            writer.u64(word.load(Ordering::Relaxed));
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::AtomicBloom)?;
        let at = reader.offset();
        let hashes = reader.u32("hashes")?;
        if !(1..=Self::HASHES_MAX).contains(&hashes) {
            return Err(reader.bad_field("hashes", at, format!("{hashes}"), "1 to 5"));
        }
        let at = reader.offset();
        let stored = reader.u64("words")?;
        if !(1..=Self::WORDS_MAX).contains(&stored) {
            return Err(reader.bad_field("words", at, format!("{stored}"), "1 to 2^32"));
        }
        let len_bytes = usize::try_from(stored)
            .unwrap_or(usize::MAX)
            .saturating_mul(8);
        let words = reader.raw("bits", len_bytes)?.as_chunks::<8>().0;
        let words = words
            .iter()
            .map(|word| AtomicU64::new(u64::from_le_bytes(*word)));
        let words = words.collect();
        reader.finish()?;
        Ok(Self {
            seed,
            hashes,
            words,
        })
    }
}

serde_through_bytes!(AtomicBloom);
