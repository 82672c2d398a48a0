//! The split-block Bloom filter.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{builder::SplitBlockBuilder, estimator::rate_at_load};
use crate::{
    error::{SketchError, check_seeds},
    hash::{each_batch, hash_of, in_batches},
    simd::split_block::{self, BLOCK_BYTES, Block},
};

const NAME: &str = "split-block bloom filter";

/// A Bloom filter that touches one block of 32 bytes per key, laid out as in Parquet files.
///
/// For the same rate it needs about a tenth more bits than [`BloomFilter`](crate::BloomFilter), and
/// answers with one memory access. Keys inserted with [`insert`](Self::insert) are hashed by
/// [`hash_of`]; for a filter that Parquet readers understand, insert the values by
/// [`hash::parquet_hash`](crate::hash::parquet_hash) through [`insert_hash`](Self::insert_hash) and
/// take [`to_parquet_bitset`](Self::to_parquet_bitset).
///
/// Source: Parquet format, "Parquet bloom filter" specification; Putze, Sanders, Singler, 2007.
///
/// ```
/// use sketches::SplitBlockBloom;
/// let mut seen = SplitBlockBloom::with_rate(1000, 0.01)?;
/// (0..1000_u64).for_each(|key| { seen.insert(&key); });
/// assert!((0..1000_u64).all(|key| seen.contains(&key)));
/// let wrong = (1000..11_000_u64).filter(|key| seen.contains(key)).count();
/// assert!(wrong < 150);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBlockBloom {
    pub(super) seed: u64,
    pub(super) blocks: Vec<Block>,
}

impl SplitBlockBloom {
    /// An empty filter of `bytes` bytes, rounded up to a multiple of 32.
    ///
    /// # Errors
    /// As for [`SplitBlockBuilder::build`].
    pub fn with_size(bytes: u64) -> Result<Self, SketchError> {
        SplitBlockBuilder::with_size(bytes).build()
    }

    /// The smallest empty filter whose false-positive rate is at most `rate` (0.01 for 1 %) once it
    /// holds `items` keys.
    ///
    /// # Errors
    /// As for [`SplitBlockBuilder::build`].
    pub fn with_rate(items: u64, rate: f64) -> Result<Self, SketchError> {
        SplitBlockBuilder::with_rate(items, rate).build()
    }

    /// Inserts a key; returns whether it was certainly new.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) -> bool {
        self.insert_hash(hash_of(key, self.seed))
    }

    /// Inserts a key by its 64-bit hash, which must be well mixed and always made in the same way.
    #[inline]
    pub fn insert_hash(&mut self, hash: u64) -> bool {
        split_block::insert(&mut self.blocks, hash)
    }

    /// Inserts every key of a slice: the same as [`insert`](Self::insert) for each, and faster, since
    /// keys are hashed many at a time and their memory accesses overlap.
    pub fn insert_each<T: Hash>(&mut self, keys: &[T]) {
        each_batch(keys, self.seed, |hashes| self.insert_hashes(hashes));
    }

    /// Inserts many keys by their hashes; blocks beyond the caches are fetched ahead of their use.
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        split_block::insert_all(&mut self.blocks, hashes);
    }

    /// Whether a key may have been inserted; `false` is certain.
    #[inline]
    #[must_use]
    pub fn contains<T: Hash + ?Sized>(&self, key: &T) -> bool {
        self.contains_hash(hash_of(key, self.seed))
    }

    /// [`contains`](Self::contains) by the 64-bit hash of a key.
    #[inline]
    #[must_use]
    pub fn contains_hash(&self, hash: u64) -> bool {
        split_block::contains(&self.blocks, hash)
    }

    /// [`contains`](Self::contains) for each of many keys: `found[i]` is the answer for `keys[i]`,
    /// whatever `found` held before. The memory accesses of neighbouring keys overlap, which makes a
    /// filter beyond the caches several times as fast as asking key by key.
    ///
    /// ```
    /// use sketches::SplitBlockBloom;
    /// let mut seen = SplitBlockBloom::with_rate(1000, 0.001)?;
    /// seen.extend(["ann", "bob"]);
    /// let mut found = Vec::new();
    /// seen.contains_each(&["bob", "cy", "ann"], &mut found);
    /// assert_eq!(found, [true, false, true]);
    /// # Ok::<(), sketches::SketchError>(())
    /// ```
    pub fn contains_each<T: Hash>(&self, keys: &[T], found: &mut Vec<bool>) {
        found.clear();
        found.resize(keys.len(), false);
        let mut rest = found.as_mut_slice();
        each_batch(keys, self.seed, |hashes| {
            let (answers, behind) = core::mem::take(&mut rest).split_at_mut(hashes.len());
            split_block::contains_all(&self.blocks, hashes, answers);
            rest = behind;
        });
    }

    /// [`contains_each`](Self::contains_each) by the 64-bit hashes of the keys.
    pub fn contains_each_hash(&self, hashes: &[u64], found: &mut Vec<bool>) {
        found.clear();
        found.resize(hashes.len(), false);
        split_block::contains_all(&self.blocks, hashes, found);
    }

    /// Inserts every key of another filter (the union).
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where the sizes differ;
    /// nothing is changed then.
    #[doc(alias = "union")]
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        let (left, right) = (self.blocks.len(), other.blocks.len());
        if left != right {
            return Err(SketchError::shape(NAME, "blocks", left, right));
        }
        for (Block(words), Block(theirs)) in self.blocks.iter_mut().zip(&other.blocks) {
            for (word, theirs) in words.iter_mut().zip(theirs) {
                *word |= theirs;
            }
        }
        Ok(())
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.blocks.fill(Block::default());
    }

    /// Whether no key was inserted. O(bytes).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.iter().all(|block| *block == Block::default())
    }

    /// Size of the filter in bytes, a multiple of 32.
    #[must_use]
    pub fn filter_bytes(&self) -> u64 {
        (self.blocks.len() * BLOCK_BYTES) as u64
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// False-positive rate once the filter holds `items` distinct keys.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rounded number of items changes nothing"
    )]
    pub fn false_positive_rate(&self, items: u64) -> f64 {
        if items == 0 {
            0.0
        } else {
            rate_at_load(items as f64 / self.blocks.len() as f64)
        }
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + BLOCK_BYTES * self.blocks.capacity()
    }
}

impl<T: Hash> Extend<T> for SplitBlockBloom {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        let seed = self.seed;
        in_batches(keys.into_iter().map(|key| hash_of(&key, seed)), |hashes| {
            self.insert_hashes(hashes);
        });
    }
}
