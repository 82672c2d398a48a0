//! The growing MinHash sketch of a set.

use alloc::vec;
use core::hash::Hash;

use super::{
    kernel::lower_all, permutation::PERMUTATIONS_MAX, scheme::Scheme, signature::Signature,
};
use crate::{
    error::SketchError,
    hash::{DEFAULT_SEED, each_batch, hash_of, in_batches},
};

/// Collects a set, element by element, into a [`Signature`].
///
/// Inserting an element again changes nothing. Cost: O(permutations) per element, 4 bytes per
/// permutation.
///
/// Source: Broder, "On the resemblance and containment of documents", 1997; the permutations are
/// `low + multiplier * high` over the halves of one hash, after Kirsch and Mitzenmacher, "Less
/// hashing, same performance", 2006.
///
/// ```
/// use sketches::MinHash;
/// let mut words = MinHash::new(128, 0)?;
/// for word in "the quick brown fox".split(' ') {
///     words.insert(word);
/// }
/// let bytes = words.signature().to_bytes();
/// assert_eq!(bytes.len(), 540);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinHash {
    signature: Signature,
}

impl MinHash {
    /// Default number of permutations: a standard error of at most 0.044.
    pub const PERMUTATIONS: usize = 128;
    /// Most permutations; the error shrinks with their square root only.
    pub const PERMUTATIONS_MAX: usize = PERMUTATIONS_MAX;

    /// An empty set under `permutations` permutations and a hash seed.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `permutations` is outside 1 to 4,096.
    pub fn new(permutations: usize, seed: u64) -> Result<Self, SketchError> {
        check_permutations("minhash", permutations)?;
        let minima = vec![u32::MAX; permutations].into_boxed_slice();
        Ok(Self {
            signature: Signature {
                scheme: Scheme::Permutations,
                seed,
                minima,
            },
        })
    }

    /// Inserts an element.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, element: &T) {
        self.insert_hash(hash_of(element, self.signature.seed));
    }

    /// Inserts an element by its 64-bit hash, which must be well mixed and always made in the same
    /// way, for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline]
    pub fn insert_hash(&mut self, hash: u64) {
        lower_all(&mut self.signature.minima, &[hash]);
    }

    /// Inserts every element of a slice, the fastest way in: the minima stay in registers, and
    /// integers are hashed many at a time.
    pub fn insert_each<T: Hash>(&mut self, elements: &[T]) {
        let seed = self.signature.seed;
        each_batch(elements, seed, |hashes| self.insert_hashes(hashes));
    }

    /// Inserts many elements by their hashes.
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        lower_all(&mut self.signature.minima, hashes);
    }

    /// Signature of the set so far.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.signature.clone()
    }

    /// Signature of the set, without copying.
    #[must_use]
    pub fn into_signature(self) -> Signature {
        self.signature
    }

    pub(super) const fn of_permutations(signature: Signature) -> Self {
        Self { signature }
    }

    pub(super) const fn signature_ref(&self) -> &Signature {
        &self.signature
    }

    /// Estimated Jaccard similarity of the two sets; see [`Signature::jaccard`].
    ///
    /// # Errors
    /// As for [`Signature::jaccard`].
    pub fn jaccard(&self, other: &Self) -> Result<f64, SketchError> {
        self.signature.jaccard(&other.signature)
    }

    /// Inserts every element of another set.
    ///
    /// # Errors
    /// As for [`Signature::merge`]; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        self.signature.merge(&other.signature)
    }

    /// Forgets all elements and keeps the memory.
    pub fn clear(&mut self) {
        self.signature.minima.fill(u32::MAX);
    }

    /// Number of permutations.
    #[must_use]
    pub fn permutations(&self) -> usize {
        self.signature.permutations()
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.signature.seed()
    }

    /// Whether no element was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signature.is_empty()
    }
}

impl Default for MinHash {
    /// 128 permutations under the default seed.
    fn default() -> Self {
        let minima = vec![u32::MAX; Self::PERMUTATIONS].into_boxed_slice();
        Self {
            signature: Signature {
                scheme: Scheme::Permutations,
                seed: DEFAULT_SEED,
                minima,
            },
        }
    }
}

impl TryFrom<Signature> for MinHash {
    type Error = SketchError;

    /// Goes on collecting where a signature stopped.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] for a signature of another [`Scheme`].
    fn try_from(signature: Signature) -> Result<Self, SketchError> {
        signature.check_scheme("minhash", Scheme::Permutations)?;
        Ok(Self { signature })
    }
}

impl<T: Hash> Extend<T> for MinHash {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        let seed = self.signature.seed;
        let hashes = elements.into_iter().map(|element| hash_of(&element, seed));
        in_batches(hashes, |hashes| self.insert_hashes(hashes));
    }
}

pub(in crate::similarity) fn check_permutations(
    sketch: &'static str,
    permutations: usize,
) -> Result<(), SketchError> {
    if (1..=PERMUTATIONS_MAX).contains(&permutations) {
        return Ok(());
    }
    Err(SketchError::parameter(
        sketch,
        "permutations",
        permutations,
        "1 to 4096",
    ))
}
