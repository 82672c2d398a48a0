//! Sketches whose keys are hashed under a secret key.

use alloc::vec::Vec;
use core::hash::Hash;

use super::SipKey;
use crate::{
    BinaryFuse8, BloomFilter, CountMin, HyperLogLog, MinHash, SplitBlockBloom,
    codec::{keyed_bytes, unkeyed_bytes},
    distinct::{LogLogSketch, Shape},
    error::SketchError,
    frequency::CountSketch,
    similarity::OnePermutation,
};

/// A sketch that can be filled and asked by 64-bit hashes alone.
pub trait HashSketch: Sized + sealed::Sealed {
    /// Name in errors.
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn stored_seed(&self) -> u64;
    #[doc(hidden)]
    fn encode(&self) -> Vec<u8>;
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Result<Self, SketchError>;
}

/// A [`HashSketch`] that takes one key after the other, and merges.
pub trait InsertHash: HashSketch {
    /// What inserting answers: whether the key was new, from filters; nothing from others.
    type Inserted;

    #[doc(hidden)]
    fn put_hash(&mut self, hash: u64) -> Self::Inserted;
    #[doc(hidden)]
    fn merge_with(&mut self, other: &Self) -> Result<(), SketchError>;
}

/// A sketch whose keys are hashed with SipHash-2-4 under a secret key, so that nobody without the key
/// can make keys that collide.
///
/// For [`HyperLogLog`], [`UltraLogLog`](crate::UltraLogLog), [`ExaLogLog`](crate::ExaLogLog),
/// [`BloomFilter`], [`SplitBlockBloom`], [`BinaryFuse8`], [`CountMin`], [`CountSketch`], [`MinHash`]
/// and [`OnePermutation`]. The atomic structures are built with the seed [`SipKey::id`] and
/// take [`SipKey::hash_of`] in their `*_hash` methods. Structures that keep the keys themselves
/// ([`SpaceSaving`](crate::SpaceSaving), [`FrequentItems`](crate::top_k::FrequentItems)) compare
/// keys, so crafted ones cannot falsify their answers, only slow them down.
///
/// Bytes: those of the sketch, marked as keyed, with the identity of the key in the place of the
/// seed. Other readers refuse them, and so does this one with another key.
///
/// Cost: that of the sketch, and SipHash instead of XXH3 for each key.
///
/// ```
/// use sketches::{BloomFilter, hash::{Keyed, SipKey}, membership::BloomBuilder};
/// let key = SipKey::from_bytes(*b"from a vault ...");
/// let mut seen = Keyed::new(key.clone(), |seed| {
///     BloomBuilder::with_rate(1000, 0.01).seed(seed).build()
/// })?;
/// seen.insert("alice");
/// assert!(seen.contains("alice"));
/// let stored = seen.to_bytes();
/// assert!(Keyed::<BloomFilter>::from_bytes(&stored, key)?.contains("alice"));
/// assert!(Keyed::<BloomFilter>::from_bytes(&stored, SipKey::new([1, 2])).is_err());
/// assert!(BloomFilter::from_bytes(&stored).is_err());
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Keyed<S> {
    key: SipKey,
    sketch: S,
}

impl<S: HashSketch> Keyed<S> {
    /// Wraps an empty sketch, which `build` makes with the seed it is given: the identity of the key.
    ///
    /// # Errors
    /// What `build` answers, and [`SketchError::SeedMismatch`] where it took another seed.
    pub fn new(
        key: SipKey,
        build: impl FnOnce(u64) -> Result<S, SketchError>,
    ) -> Result<Self, SketchError> {
        let sketch = build(key.id())?;
        crate::error::check_seeds(S::NAME, key.id(), sketch.stored_seed())?;
        Ok(Self { key, sketch })
    }

    /// The sketch itself, for questions that need no key: estimates, sizes, similarity.
    #[must_use]
    pub const fn sketch(&self) -> &S {
        &self.sketch
    }

    /// The secret key.
    #[must_use]
    pub const fn key(&self) -> &SipKey {
        &self.key
    }

    /// Encodes the sketch and the identity of the key, never the key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        keyed_bytes(self.sketch.encode())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote under the same key.
    ///
    /// # Errors
    /// [`SketchError::KeyMismatch`] where it was another key, [`SketchError::HashRule`] where the
    /// bytes are those of a sketch without a key, and the codec variants; the allocation is bounded by
    /// the bytes given.
    pub fn from_bytes(bytes: &[u8], key: SipKey) -> Result<Self, SketchError> {
        let sketch = S::decode(&unkeyed_bytes(S::NAME, bytes, key.id())?)?;
        Ok(Self { key, sketch })
    }
}

impl<S: InsertHash> Keyed<S> {
    /// Inserts a key; filters answer whether it was new.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) -> S::Inserted {
        self.sketch.put_hash(self.key.hash_of(key))
    }

    /// Merges a sketch of the same key, as the sketch alone does.
    ///
    /// # Errors
    /// [`SketchError::KeyMismatch`] where the keys differ, and those of the sketch; nothing is changed
    /// then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        let (left, right) = (self.key.id(), other.key.id());
        if left != right {
            let sketch = S::NAME;
            return Err(SketchError::KeyMismatch {
                sketch,
                left,
                right,
            });
        }
        self.sketch.merge_with(&other.sketch)
    }
}

impl<S: InsertHash, T: Hash> Extend<T> for Keyed<S> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        for key in keys {
            self.insert(&key);
        }
    }
}

impl Keyed<BinaryFuse8> {
    /// The static filter of some keys.
    ///
    /// # Errors
    /// As for [`BinaryFuse8::from_hashes`].
    pub fn from_keys<T: Hash>(key: SipKey, keys: &[T]) -> Result<Self, SketchError> {
        let hashes: Vec<u64> = keys.iter().map(|each| key.hash_of(each)).collect();
        Self::new(key, |seed| BinaryFuse8::from_hashes(&hashes, seed))
    }
}

macro_rules! hash_sketch {
    ($type:ty, $name:literal $(, $param:ident : $bound:ident)?) => {
        impl $(<$param: $bound>)? sealed::Sealed for $type {}

        impl $(<$param: $bound>)? HashSketch for $type {
            const NAME: &'static str = $name;

            fn stored_seed(&self) -> u64 {
                self.seed()
            }
            fn encode(&self) -> Vec<u8> {
                self.to_bytes()
            }
            fn decode(bytes: &[u8]) -> Result<Self, SketchError> {
                Self::from_bytes(bytes)
            }
        }
    };
}

macro_rules! insert_hash {
    ($type:ty, $inserted:ty, $sketch:ident, $hash:ident => $insert:expr $(, $param:ident : $bound:ident)?) => {
        impl $(<$param: $bound>)? InsertHash for $type {
            type Inserted = $inserted;

            #[inline]
            fn put_hash(&mut self, $hash: u64) -> $inserted {
                let $sketch = self;
                $insert
            }
            fn merge_with(&mut self, other: &Self) -> Result<(), SketchError> {
                self.merge(other)
            }
        }
    };
}

macro_rules! keyed_filter {
    ($type:ty) => {
        impl Keyed<$type> {
            /// Whether a key may have been inserted; "no" is certain.
            #[inline]
            #[must_use]
            pub fn contains<T: Hash + ?Sized>(&self, key: &T) -> bool {
                self.sketch.contains_hash(self.key.hash_of(key))
            }
        }
    };
}

macro_rules! keyed_counts {
    ($type:ty, $count:ty) => {
        impl Keyed<$type> {
            /// Counts a key `count` times.
            #[inline]
            pub fn add<T: Hash + ?Sized>(&mut self, key: &T, count: $count) {
                self.sketch.add_hash(self.key.hash_of(key), count);
            }

            /// Estimated count of a key, with the bound of the sketch.
            #[inline]
            #[must_use]
            pub fn estimate<T: Hash + ?Sized>(&self, key: &T) -> $count {
                self.sketch.estimate_hash(self.key.hash_of(key))
            }
        }
    };
}

hash_sketch!(HyperLogLog, "hyperloglog");
hash_sketch!(LogLogSketch<S>, "loglog sketch", S: Shape);
hash_sketch!(BloomFilter, "bloom filter");
hash_sketch!(SplitBlockBloom, "split-block bloom filter");
hash_sketch!(BinaryFuse8, "binary fuse filter");
hash_sketch!(CountMin, "count-min");
hash_sketch!(CountSketch, "count-sketch");
hash_sketch!(MinHash, "minhash");
hash_sketch!(OnePermutation, "one-permutation minhash");

insert_hash!(HyperLogLog, (), sketch, hash => sketch.insert_hash(hash));
insert_hash!(LogLogSketch<S>, (), sketch, hash => sketch.insert_hash(hash), S: Shape);
insert_hash!(BloomFilter, bool, sketch, hash => sketch.insert_hash(hash));
insert_hash!(SplitBlockBloom, bool, sketch, hash => sketch.insert_hash(hash));
insert_hash!(CountMin, (), sketch, hash => sketch.add_hash(hash, 1));
insert_hash!(CountSketch, (), sketch, hash => sketch.add_hash(hash, 1));
insert_hash!(MinHash, (), sketch, hash => sketch.insert_hash(hash));
insert_hash!(OnePermutation, (), sketch, hash => sketch.insert_hash(hash));

keyed_filter!(BloomFilter);
keyed_filter!(SplitBlockBloom);
keyed_filter!(BinaryFuse8);
keyed_counts!(CountMin, u64);
keyed_counts!(CountSketch, i64);

mod sealed {
    pub trait Sealed {}
}
