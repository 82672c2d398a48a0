//! The growing one-permutation sketch of a set.

use alloc::{boxed::Box, vec, vec::Vec};
use core::hash::Hash;

use super::rounds::{is_full, settle};
use crate::{
    codec::serde_through_bytes,
    error::{SketchError, check_seeds},
    hash::{hash_of, in_batches},
    simd::{
        bins::{LowerEach, place_of},
        kernel::run_at,
        level,
    },
    similarity::minhash::{PERMUTATIONS_MAX, Scheme, Signature, check_permutations},
};

const NAME: &str = "one-permutation minhash";
/// Pending hashes for each bin at which to look whether all bins are full: that many different
/// elements leave one of 4,096 bins empty once in 40 times.
const LOOK_AT: usize = 12;

/// Elements for each bin that are expected to fill all bins, so that no hash is kept for later rounds:
/// as many different ones leave one of 128 bins empty once in nine times.
const FILLS: usize = 7;

/// Least number of elements that are inserted at a time, where a slice has as many.
const PART_MIN: usize = 1024;

/// Collects a set into a [`Signature`] with one hash and one minimum per element.
///
/// The signature has the error of [`MinHash`](crate::MinHash) or less, at a small part of the cost;
/// signatures of the two do not compare. Inserting an element again changes nothing, and merging
/// gives exactly the sketch of both sets.
///
/// Cost: O(1) per element and O(k log k) for a signature. Memory: 4 bytes for each of the `k` bins,
/// and until all bins are full, at most 16 `k` hashes of 8 bytes.
///
/// Source: Li, Owen, Zhang, "One permutation hashing", NIPS 2012; the rounds that fill empty bins
/// are those of Dahlgaard, Knudsen, Thorup, "Fast similarity sketching", FOCS 2017, run over the
/// kept elements where that paper runs over the set.
///
/// ```
/// use sketches::similarity::OnePermutation;
/// let (mut a, mut b) = (OnePermutation::new(128, 0)?, OnePermutation::new(128, 0)?);
/// a.extend(0..1000_u32);
/// b.extend(500..1500_u32);
/// let estimate = a.signature().jaccard(&b.signature())?;
/// assert!((estimate - 1.0 / 3.0).abs() < 0.13); // three standard errors
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct OnePermutation {
    seed: u64,
    minima: Box<[u32]>,
    /// Hashes that have been through the first round only; none once `full`.
    pending: Vec<u64>,
    /// Number of pending hashes at which to look whether they are still needed.
    look_at: usize,
    /// Whether every bin has a value of the first round.
    full: bool,
}

impl OnePermutation {
    /// Most bins; the error shrinks with their square root only.
    pub const BINS_MAX: usize = PERMUTATIONS_MAX;

    /// An empty set with `bins` bins (the `k` of the error) and a hash seed.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `bins` is outside 1 to 4,096.
    pub fn new(bins: usize, seed: u64) -> Result<Self, SketchError> {
        check_permutations(NAME, bins)?;
        Ok(Self {
            seed,
            minima: vec![u32::MAX; bins].into_boxed_slice(),
            pending: Vec::new(),
            look_at: LOOK_AT * bins,
            full: false,
        })
    }

    /// Inserts an element.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, element: &T) {
        self.insert_hash(hash_of(element, self.seed));
    }

    /// Inserts an element by its 64-bit hash, which must be well mixed and always made in the same
    /// way, for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline]
    pub fn insert_hash(&mut self, hash: u64) {
        lower(&mut self.minima, hash);
        if !self.full {
            self.keep(&[hash]);
        }
    }

    /// Inserts every element of a slice; integers are hashed many at a time.
    pub fn insert_each<T: Hash>(&mut self, elements: &[T]) {
        let seed = self.seed;
        self.lower_each(elements, move |element| hash_of(element, seed));
    }

    /// Inserts many elements by their hashes.
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        self.lower_each(hashes, |hash| *hash);
    }

    /// Inserts elements by the hash that a function makes of each.
    fn lower_each<T>(&mut self, elements: &[T], hash: impl Fn(&T) -> u64 + Copy) {
        if self.full || elements.len() >= FILLS * self.minima.len() {
            self.lower_and_keep(elements, hash, 0);
            self.full = self.full || is_full(&self.minima);
        }
        if self.full {
            self.forget_pending();
            return;
        }
        // Once more for those that did not fill the bins, which changes no minimum; in parts, so
        // that what is kept stays bounded.
        for elements in elements.chunks(PART_MIN.max(4 * self.minima.len())) {
            let keep = if self.full { 0 } else { elements.len() };
            self.lower_and_keep(elements, hash, keep);
            if self.pending.len() >= self.look_at {
                self.look();
            }
        }
    }

    /// The first round of elements; the hashes of the first `keep` of them, all or none, become pending.
    fn lower_and_keep<T>(&mut self, elements: &[T], hash: impl Fn(&T) -> u64, keep: usize) {
        let first = self.pending.len();
        self.pending.resize(first + keep, 0);
        let kernel = LowerEach {
            minima: &mut self.minima,
            elements,
            hash,
            kept: &mut self.pending[first..],
        };
        run_at(level(), kernel);
    }

    /// Signature of the set so far.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let mut minima = self.minima.clone();
        if !self.full {
            settle(&mut minima, &self.pending);
        }
        Signature {
            scheme: Scheme::OnePermutation,
            seed: self.seed,
            minima,
        }
    }

    /// Signature of the set, without copying.
    #[must_use]
    pub fn into_signature(mut self) -> Signature {
        settle(&mut self.minima, &self.pending);
        Signature {
            scheme: Scheme::OnePermutation,
            seed: self.seed,
            minima: self.minima,
        }
    }

    /// Estimated Jaccard similarity of the two sets; see [`Signature::jaccard`].
    ///
    /// # Errors
    /// As for [`Signature::jaccard`].
    pub fn jaccard(&self, other: &Self) -> Result<f64, SketchError> {
        self.signature().jaccard(&other.signature())
    }

    /// Inserts every element of another set.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`] or [`SketchError::ShapeMismatch`] where seed or number of bins
    /// differ; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        let (left, right) = (self.minima.len(), other.minima.len());
        if left != right {
            return Err(SketchError::shape(NAME, "bins", left, right));
        }
        for (minimum, theirs) in self.minima.iter_mut().zip(&other.minima) {
            *minimum = (*minimum).min(*theirs);
        }
        if self.full || is_full(&self.minima) {
            self.forget_pending();
        } else {
            let parts = other.pending.chunks(4 * left);
            parts.for_each(|part| self.keep(part));
        }
        Ok(())
    }

    /// Forgets all elements.
    pub fn clear(&mut self) {
        self.minima.fill(u32::MAX);
        self.pending.clear();
        self.look_at = LOOK_AT * self.minima.len();
        self.full = false;
    }

    /// Number of bins.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.minima.len()
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether no element was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.minima.iter().all(|minimum| *minimum == u32::MAX)
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 4 * self.minima.len() + 8 * self.pending.capacity()
    }

    /// Encodes the signature of the set; the sketch that is read from it goes on as this one.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signature().to_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes), or [`Signature::to_bytes`] of such a signature,
    /// wrote.
    ///
    /// # Errors
    /// As for [`Signature::from_bytes`], and [`SketchError::Family`] for a signature of
    /// [`MinHash`](crate::MinHash).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        Signature::read(bytes, Scheme::OnePermutation).map(Self::go_on)
    }

    /// Goes on where a signature stopped.
    fn go_on(signature: Signature) -> Self {
        let full = is_full(&signature.minima);
        Self {
            seed: signature.seed,
            look_at: LOOK_AT * signature.minima.len(),
            minima: signature.minima,
            pending: Vec::new(),
            full,
        }
    }

    /// Keeps hashes for the later rounds, at most four for each bin at a time.
    fn keep(&mut self, hashes: &[u64]) {
        self.pending.extend_from_slice(hashes);
        if self.pending.len() >= self.look_at {
            self.look();
        }
    }

    #[cold]
    fn look(&mut self) {
        let bins = self.minima.len();
        if is_full(&self.minima) {
            self.forget_pending();
            return;
        }
        self.pending.sort_unstable();
        self.pending.dedup();
        if self.pending.len() >= LOOK_AT * bins {
            settle(&mut self.minima, &self.pending);
            self.pending.clear();
        }
        self.look_at = (self.pending.len() + 4 * bins).max(LOOK_AT * bins);
    }

    fn forget_pending(&mut self) {
        self.full = true;
        self.pending = Vec::new();
    }
}

/// The first round of one element.
#[inline]
fn lower(minima: &mut [u32], hash: u64) {
    let (bin, value) = place_of(hash, minima.len());
    if let Some(minimum) = minima.get_mut(bin) {
        *minimum = (*minimum).min(value);
    }
}

impl<T: Hash> Extend<T> for OnePermutation {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        let seed = self.seed;
        let hashes = elements.into_iter().map(|element| hash_of(&element, seed));
        in_batches(hashes, |hashes| self.insert_hashes(hashes));
    }
}

impl TryFrom<Signature> for OnePermutation {
    type Error = SketchError;

    /// Goes on collecting where a signature stopped.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] for a signature of [`MinHash`](crate::MinHash).
    fn try_from(signature: Signature) -> Result<Self, SketchError> {
        signature.check_scheme(NAME, Scheme::OnePermutation)?;
        Ok(Self::go_on(signature))
    }
}

serde_through_bytes!(OnePermutation);
