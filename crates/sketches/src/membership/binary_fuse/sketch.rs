//! The binary fuse filter with fingerprints of eight bits.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{
    construct::build,
    layout::{Layout, fingerprint, mixed, multiplier_of},
};
use crate::{
    error::{SketchError, zeros},
    hash::{DEFAULT_SEED, each_batch, hash_of},
};

pub(super) const NAME: &str = "binary fuse filter";

/// A set that is known beforehand and can only be asked "is it in there?", at nine bits a key and a
/// false-positive rate of 0.39 %.
///
/// A key of the set is always found; any other with probability 1/256. At that rate a Bloom filter
/// needs 11.5 bits a key. The set cannot change after it is built, and filters cannot be merged.
///
/// Cost: a query reads three bytes. Building is about 40 ns a key for a million keys, with 25 bytes of
/// memory a key on the way. Memory: 9.0 bits a key for a million keys, more for few (10.2 for ten
/// thousand, 11.3 for a thousand).
///
/// Source: Graf, Lemire, "Binary fuse filters: fast and smaller than xor filters", 2022.
///
/// ```
/// use sketches::BinaryFuse8;
/// let blocked = BinaryFuse8::from_keys(&["ann", "bob", "cy"])?;
/// assert!(blocked.contains("bob"));
/// let wrong = (0..10_000_u64).filter(|key| blocked.contains(key)).count();
/// assert!(wrong < 80); // 39 expected
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryFuse8 {
    pub(super) seed: u64,
    pub(super) attempt: u32,
    /// That of the attempt.
    pub(super) multiplier: u64,
    pub(super) keys: u32,
    pub(super) layout: Layout,
    pub(super) fingerprints: Vec<u8>,
}

impl BinaryFuse8 {
    /// Greatest number of keys, so that positions fit 32 bits.
    pub const KEYS_MAX: u32 = 1 << 30;

    /// The filter of a set of keys; a key may occur more than once.
    ///
    /// # Errors
    /// As for [`from_hashes`](Self::from_hashes).
    pub fn from_keys<T: Hash>(keys: &[T]) -> Result<Self, SketchError> {
        Self::with_seed(keys, DEFAULT_SEED)
    }

    /// As [`from_keys`](Self::from_keys), with another hash seed.
    ///
    /// # Errors
    /// As for [`from_hashes`](Self::from_hashes).
    pub fn with_seed<T: Hash>(keys: &[T], seed: u64) -> Result<Self, SketchError> {
        let mut hashes = zeros(NAME, keys.len())?;
        let mut rest = hashes.as_mut_slice();
        each_batch(keys, seed, |batch| {
            let (place, behind) = core::mem::take(&mut rest).split_at_mut(batch.len());
            place.copy_from_slice(batch);
            rest = behind;
        });
        Self::from_hashes(&hashes, seed)
    }

    /// The filter of keys given by their 64-bit hashes, each made by
    /// [`hash_of`] with `seed` if [`contains`](Self::contains) is to find the keys; a hash may occur
    /// more than once.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] for more than 2^30 keys, and for hashes that no attempt could
    /// place, which happens to crafted ones only; [`SketchError::Memory`] where the memory is not
    /// there.
    pub fn from_hashes(hashes: &[u64], seed: u64) -> Result<Self, SketchError> {
        let Some(built) = build(NAME, hashes, Self::KEYS_MAX)? else {
            let allowed = "hashes that one of 100 attempts can place";
            return Err(SketchError::parameter(NAME, "keys", hashes.len(), allowed));
        };
        Ok(Self {
            seed,
            attempt: built.attempt,
            multiplier: multiplier_of(built.attempt),
            keys: built.keys,
            layout: built.layout,
            fingerprints: built.fingerprints,
        })
    }

    /// Whether a key may be in the set; `false` is certain.
    #[inline]
    #[must_use]
    pub fn contains<T: Hash + ?Sized>(&self, key: &T) -> bool {
        self.contains_hash(hash_of(key, self.seed))
    }

    /// [`contains`](Self::contains) by the 64-bit hash of a key.
    #[inline]
    #[must_use]
    pub fn contains_hash(&self, hash: u64) -> bool {
        let mixed = mixed(hash, self.multiplier);
        let positions = self.layout.positions(mixed);
        let mut rest = fingerprint(mixed);
        for at in positions {
            rest ^= self.fingerprints.get(at).copied().unwrap_or(0);
        }
        rest == 0 && self.keys > 0
    }

    /// [`contains`](Self::contains) for each of many keys: `found[i]` is the answer for `keys[i]`,
    /// whatever `found` held before.
    pub fn contains_each<T: Hash>(&self, keys: &[T], found: &mut Vec<bool>) {
        found.clear();
        found.reserve(keys.len());
        each_batch(keys, self.seed, |hashes| {
            found.extend(hashes.iter().map(|hash| self.contains_hash(*hash)));
        });
    }

    /// Number of different hashes in the set.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys as usize
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of the fingerprints.
    #[must_use]
    pub fn filter_bytes(&self) -> u64 {
        self.fingerprints.len() as u64
    }

    /// Probability that a key outside the set is found.
    #[must_use]
    pub const fn false_positive_rate(&self) -> f64 {
        if self.keys == 0 { 0.0 } else { 1.0 / 256.0 }
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.fingerprints.capacity()
    }
}
