//! The classic Bloom filter.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{
    builder::BloomBuilder,
    estimator::{items_at_fill, rate_at_fill},
};
use crate::{
    error::{SketchError, check_seeds},
    hash::hash_of,
};

const NAME: &str = "bloom filter";

/// A set of keys that can only be asked "is it in there?", at about ten bits a key.
///
/// A key that was inserted is always found. A key that was not is found with the false-positive
/// rate, which grows with the number of keys; a filter built by [`with_rate`](Self::with_rate)
/// holds its rate up to the number of keys it was built for.
///
/// Cost: insert and query touch `hashes` words, a query stops at the first clear bit. Memory: the
/// bits, and no allocation after the first.
///
/// Source: Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970; positions by
/// double hashing, Kirsch and Mitzenmacher, 2006: see `docs/formats/sketches.md`.
///
/// ```
/// use sketches::BloomFilter;
/// let mut seen = BloomFilter::with_rate(1000, 0.01)?;
/// assert!(seen.insert("alpha"));
/// assert!(!seen.insert("alpha")); // nothing new
/// assert!(seen.contains("alpha"));
/// assert!(!seen.contains("beta"));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    pub(super) seed: u64,
    pub(super) hashes: u32,
    pub(super) words: Vec<u64>,
}

impl BloomFilter {
    /// An empty filter of `bits` bits, rounded up to a multiple of 64, with `hashes` bits per key.
    ///
    /// # Errors
    /// As for [`BloomBuilder::build`].
    pub fn with_size(bits: u64, hashes: u32) -> Result<Self, SketchError> {
        BloomBuilder::with_size(bits, hashes).build()
    }

    /// The smallest empty filter whose false-positive rate is at most `rate` (0.01 for 1 %) once it
    /// holds `items` keys.
    ///
    /// # Errors
    /// As for [`BloomBuilder::build`].
    pub fn with_rate(items: u64, rate: f64) -> Result<Self, SketchError> {
        BloomBuilder::with_rate(items, rate).build()
    }

    /// Inserts a key; returns whether it was certainly new.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) -> bool {
        self.insert_hash(hash_of(key, self.seed))
    }

    /// Inserts a key by its 64-bit hash, which must be well mixed and always made in the same way,
    /// for example by [`hash_of`](crate::hash::hash_of) with the seed of this filter.
    pub fn insert_hash(&mut self, hash: u64) -> bool {
        let mut new = false;
        for bit in positions(hash, self.hashes, self.bits()) {
            let (word, mask) = place(bit);
            if let Some(word) = self.words.get_mut(word) {
                new |= *word & mask == 0;
                *word |= mask;
            }
        }
        new
    }

    /// Whether a key may have been inserted; `false` is certain.
    #[inline]
    #[must_use]
    pub fn contains<T: Hash + ?Sized>(&self, key: &T) -> bool {
        self.contains_hash(hash_of(key, self.seed))
    }

    /// [`contains`](Self::contains) by the 64-bit hash of a key.
    #[must_use]
    pub fn contains_hash(&self, hash: u64) -> bool {
        positions(hash, self.hashes, self.bits()).all(|bit| {
            let (word, mask) = place(bit);
            self.words.get(word).is_some_and(|word| word & mask != 0)
        })
    }

    /// Inserts every key of another filter (the union).
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where bits or hashes differ;
    /// nothing is changed then.
    #[doc(alias = "union")]
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        if self.bits() != other.bits() {
            return Err(SketchError::shape(NAME, "bits", self.bits(), other.bits()));
        }
        if self.hashes != other.hashes {
            return Err(SketchError::shape(
                NAME,
                "hashes",
                self.hashes,
                other.hashes,
            ));
        }
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word |= theirs;
        }
        Ok(())
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Whether no key was inserted. O(bits).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Number of bits, a multiple of 64.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    /// Bits set for each key.
    #[must_use]
    pub const fn hashes(&self) -> u32 {
        self.hashes
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Share of the bits that are set, 0 to 1. O(bits).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most 2^38")]
    pub fn fill(&self) -> f64 {
        let set: u64 = self
            .words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        set as f64 / self.bits() as f64
    }

    /// False-positive rate at the present fill. O(bits).
    #[must_use]
    pub fn false_positive_rate(&self) -> f64 {
        rate_at_fill(self.fill(), self.hashes)
    }

    /// Estimated number of distinct keys, from the fill; infinite where every bit is set. O(bits).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most 2^38")]
    pub fn estimated_items(&self) -> f64 {
        items_at_fill(self.fill(), self.bits() as f64, self.hashes)
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.words.capacity()
    }
}

impl<T: Hash> Extend<T> for BloomFilter {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        for key in keys {
            self.insert(&key);
        }
    }
}

/// The bits of a hash: `high(walk_i * bits)` with `walk_0 = hash` and
/// `walk_(i+1) = walk_i + rotate(hash, 32) + i * 0x9e3779b97f4a7c15`, `high` being the upper 64 of
/// 128 bits. The last term keeps the positions of a hash with a small lower half apart.
fn positions(hash: u64, hashes: u32, bits: u64) -> impl Iterator<Item = u64> {
    let mut walk = hash;
    let mut step = hash.rotate_left(32);
    (0..hashes).map(move |_| {
        let position = ((u128::from(walk) * u128::from(bits)) >> 64) as u64;
        walk = walk.wrapping_add(step);
        step = step.wrapping_add(0x9e37_79b9_7f4a_7c15);
        position
    })
}

/// Word number and mask of a bit.
fn place(bit: u64) -> (usize, u64) {
    (
        usize::try_from(bit / 64).unwrap_or(usize::MAX),
        1 << (bit % 64),
    )
}
