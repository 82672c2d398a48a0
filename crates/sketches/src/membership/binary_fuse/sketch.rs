//! The binary fuse filter with fingerprints of eight bits.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{
    construct::build,
    layout::{Layout, fingerprint, mixed, multiplier_of},
};
use crate::{
    error::SketchError,
    hash::{DEFAULT_SEED, each_batch, hash_of},
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

pub(super) const NAME: &str = "binary fuse filter";

/// A set that is known beforehand and can only be asked "is it in there?", at nine bits a key and a
/// false-positive rate of 0.39 %.
///
/// A key of the set is always found; any other with probability 1/256. At that rate a Bloom filter
/// needs 11.5 bits a key. The set cannot change after it is built, and filters cannot be merged.
///
/// Cost: a query reads three bytes. Building hashes each key once, with 11 bytes of memory a key on
/// the way for a million, 17 for few; times are in `docs/benchmarks`. Memory: 9.0 bits a key for a million keys, more for few
/// (10.2 for ten thousand, 11.3 for a thousand).
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
        Self::build(keys, seed, move |key| hash_of(key, seed))
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
        Self::build(hashes, seed, |hash| *hash)
    }

    fn build<T>(
        elements: &[T],
        seed: u64,
        hash: impl Fn(&T) -> u64 + Copy,
    ) -> Result<Self, SketchError> {
        let Some(built) = build(NAME, elements, hash, Self::KEYS_MAX)? else {
            let allowed = "hashes that one of 100 attempts can place";
            return Err(SketchError::parameter(
                NAME,
                "keys",
                elements.len(),
                allowed,
            ));
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
        found.resize(keys.len(), false);
        let mut rest = found.as_mut_slice();
        each_batch(keys, self.seed, |hashes| {
            let (found, behind) = core::mem::take(&mut rest).split_at_mut(hashes.len());
            self.answer(hashes, found);
            rest = behind;
        });
    }

    /// [`contains_each`](Self::contains_each) by the 64-bit hashes of the keys.
    pub fn contains_each_hash(&self, hashes: &[u64], found: &mut Vec<bool>) {
        found.clear();
        found.resize(hashes.len(), false);
        self.answer(hashes, found);
    }

    fn answer(&self, hashes: &[u64], found: &mut [bool]) {
        let filter = self;
        run_at(
            level(),
            ContainsEach {
                filter,
                hashes,
                found,
            },
        );
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

/// Answers for many hashes: first all positions, which vector instructions find, then the bytes.
struct ContainsEach<'a> {
    filter: &'a BinaryFuse8,
    hashes: &'a [u64],
    /// As long as `hashes`.
    found: &'a mut [bool],
}

impl Kernel for ContainsEach<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Hashes whose positions are found at once.
        const BATCH: usize = 64;
        let (filter, layout) = (self.filter, self.filter.layout);
        let (mut a, mut b, mut c) = ([0; BATCH], [0; BATCH], [0; BATCH]);
        let mut prints = [0; BATCH];
        let byte = |at: u32| filter.fingerprints.get(at as usize).copied().unwrap_or(0);
        let batches = self.hashes.chunks(BATCH).zip(self.found.chunks_mut(BATCH));
        for (hashes, found) in batches {
            let positions = a.iter_mut().zip(&mut b).zip(&mut c);
            for ((((a, b), c), print), hash) in positions.zip(&mut prints).zip(hashes) {
                let mixed = mixed(*hash, filter.multiplier);
                [*a, *b, *c] = layout.positions_by_halves(mixed);
                *print = fingerprint(mixed);
            }
            let positions = a.iter().zip(&b).zip(&c);
            for ((((a, b), c), print), found) in positions.zip(&prints).zip(found) {
                *found = print ^ byte(*a) ^ byte(*b) ^ byte(*c) == 0 && filter.keys > 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::available_levels};
    use alloc::vec;

    #[test]
    fn every_level_and_batch_answers_as_one_by_one() {
        for keys in [0, 1, 100, 5000] {
            let hashes: Vec<u64> = (0..2 * keys + 70).map(|i| split_mix(keys, i)).collect();
            let members = usize::try_from(keys).unwrap();
            let filter = BinaryFuse8::from_hashes(&hashes[..members], 0).unwrap();
            for len in [0, 1, 63, 64, 65, hashes.len()] {
                let hashes = &hashes[..len];
                let expected: Vec<bool> = hashes
                    .iter()
                    .map(|hash| filter.contains_hash(*hash))
                    .collect();
                for level in available_levels() {
                    let mut found = vec![true; len];
                    let kernel = ContainsEach {
                        filter: &filter,
                        hashes,
                        found: &mut found,
                    };
                    run_at(level, kernel);
                    assert_eq!(found, expected, "{level:?} {keys} {len}");
                }
                let mut found = vec![true; 3];
                filter.contains_each_hash(hashes, &mut found);
                assert_eq!(found, expected);
            }
        }
    }
}
