//! Bytes of a [`SplitBlockBloom`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{builder::SplitBlockBuilder, sketch::SplitBlockBloom};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    hash::DEFAULT_SEED,
    memory::collected,
    simd::split_block::{BLOCK_BYTES, Block},
};

impl SplitBlockBloom {
    /// Encodes the filter: 28 bytes and its blocks.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body_bytes = 4 + BLOCK_BYTES * self.blocks.len();
        let mut writer = Writer::new(Family::SplitBlockBloom, self.seed, body_bytes);
        writer.u32(u32::try_from(self.blocks.len()).unwrap_or(u32::MAX));
        for word in self.words() {
            writer.u32(word);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::SplitBlockBloom)?;
        let blocks = reader.count("blocks", 1..=(1 << 26) - 1, BLOCK_BYTES, "1 to 2^26 - 1")?;
        let blocks = blocks_from(reader.raw("blocks", blocks.saturating_mul(BLOCK_BYTES))?)?;
        reader.finish()?;
        Ok(Self { seed, blocks })
    }

    /// The bitset of a Parquet bloom filter: the blocks alone, little-endian, without the Thrift
    /// header that a Parquet file puts before them.
    #[must_use]
    pub fn to_parquet_bitset(&self) -> Vec<u8> {
        self.words().flat_map(u32::to_le_bytes).collect()
    }

    /// Reads the bitset of a Parquet bloom filter, under the default seed; ask it by
    /// [`contains_hash`](Self::contains_hash) of a [`parquet_hash`](crate::hash::parquet_hash).
    ///
    /// # Errors
    /// [`SketchError::Field`] where the length is not a multiple of 32 within 32 to 2^31 - 32.
    pub fn from_parquet_bitset(bytes: &[u8]) -> Result<Self, SketchError> {
        let len = bytes.len();
        if len == 0 || !len.is_multiple_of(BLOCK_BYTES) || len as u64 > SplitBlockBuilder::BYTES_MAX
        {
            return Err(SketchError::Field {
                sketch: Family::SplitBlockBloom.name(),
                field: "parquet bitset",
                offset: 0,
                value: format!("{len} bytes"),
                allowed: "a multiple of 32 bytes, up to 2^31 - 32",
            });
        }
        Ok(Self {
            seed: DEFAULT_SEED,
            blocks: blocks_from(bytes)?,
        })
    }

    fn words(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().flat_map(|Block(words)| *words)
    }
}

fn blocks_from(bytes: &[u8]) -> Result<Vec<Block>, SketchError> {
    let blocks = bytes.as_chunks::<BLOCK_BYTES>().0.iter();
    let blocks = blocks.map(|block| {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Block(words)
    });
    collected(Family::SplitBlockBloom.name(), blocks)
}

serde_through_bytes!(SplitBlockBloom);
