//! The Bloom filter of one atomic word a key.

use alloc::vec::Vec;
use core::{fmt, hash::Hash};

use super::estimator::{HASHES_MAX, load_for_rate, rate_at_load};
use crate::{
    atomic::{AtomicU64, Ordering},
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, each_batch, hash_of},
    memory::{reserved, zeros},
    simd::{
        kernel::{Kernel, run_at},
        level,
        prefetch::prefetch_to_write,
    },
};

pub(super) const NAME: &str = "atomic bloom filter";

/// Keys of a slice for each word of the filter from which on words of the thread's own pay.
const KEYS_PER_OWN_WORD: usize = 2;

/// Keys whose words are asked for before the first of them is changed.
const AHEAD: usize = 64;

/// A Bloom filter that many threads fill and ask at once, without locks.
///
/// A key sets all its bits in one word of 64, so that an insert is one atomic operation, and none
/// where the bits are set already. That takes more memory than
/// [`SplitBlockBloom`](crate::SplitBlockBloom) for the same rate: 12 bits a key instead of 10.5 for
/// 1 %, 26 instead of 17 for 0.1 %.
///
/// An insert that returned is found by every thread that knows of it (through a join, a channel or a
/// lock). Of any threads that insert the same key, at most one is told that it was new.
///
/// ```
/// use sketches::membership::AtomicBloom;
/// let seen = AtomicBloom::with_rate(2000, 0.01)?;
/// std::thread::scope(|scope| {
///     for part in 0..2_u64 {
///         let seen = &seen;
///         scope.spawn(move || (0..1000).for_each(|i| { seen.insert(&(part * 1000 + i)); }));
///     }
/// });
/// assert!((0..2000_u64).all(|key| seen.contains(&key)));
/// # Ok::<(), sketches::SketchError>(())
/// ```
///
/// Source: Putze, Sanders, Singler, "Cache-, hash- and space-efficient Bloom filters", 2007, with
/// blocks of one word.
pub struct AtomicBloom {
    pub(super) seed: u64,
    pub(super) hashes: u32,
    pub(super) words: Vec<AtomicU64>,
}

impl AtomicBloom {
    /// Greatest number of words: the upper half of a hash chooses among them.
    pub const WORDS_MAX: u64 = 1 << 32;
    /// Greatest number of bits for each key.
    pub const HASHES_MAX: u32 = HASHES_MAX;

    /// The smallest empty filter whose false-positive rate is at most `rate` (0.01 for 1 %) once it
    /// holds `items` keys. Legal: `items` from 1, `rate` from 10^-6 to below 1, and no more than 2^32
    /// words for both.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] naming the value that is outside its range;
    /// [`SketchError::Memory`] where the words cannot be allocated.
    pub fn with_rate(items: u64, rate: f64) -> Result<Self, SketchError> {
        Self::with_rate_and_seed(items, rate, DEFAULT_SEED)
    }

    /// As [`with_rate`](Self::with_rate), with another hash seed.
    ///
    /// # Errors
    /// As for [`with_rate`](Self::with_rate).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded number of items changes nothing, and words are checked"
    )]
    pub fn with_rate_and_seed(items: u64, rate: f64, seed: u64) -> Result<Self, SketchError> {
        if items == 0 {
            return Err(SketchError::parameter(NAME, "items", items, "1 or more"));
        }
        if !(1e-6..1.0).contains(&rate) {
            let allowed = "10^-6 or more and below 1";
            return Err(SketchError::parameter(NAME, "rate", rate, allowed));
        }
        let (load, hashes) = load_for_rate(rate);
        let words = libm::ceil(items as f64 / load);
        if words > Self::WORDS_MAX as f64 {
            let allowed = "a number that needs at most 2^32 words at the rate";
            return Err(SketchError::parameter(NAME, "items", items, allowed));
        }
        Ok(Self {
            seed,
            hashes,
            words: words_of(words as usize)?,
        })
    }

    /// Inserts a key; returns whether it was certainly new.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&self, key: &T) -> bool {
        self.insert_hash(hash_of(key, self.seed))
    }

    /// Inserts every key of a slice: the same as [`insert`](Self::insert) for each, and faster. Where
    /// there are at least two keys for each word of the filter, the thread sets their bits in words of
    /// its own (as much memory as the filter has, until the call returns), and then changes each shared
    /// word once. Fewer keys ask for their words ahead, so that their cache misses overlap.
    pub fn insert_each<T: Hash>(&self, keys: &[T]) {
        let many = keys.len() / KEYS_PER_OWN_WORD >= self.words.len();
        match many.then(|| zeros(NAME, self.words.len())) {
            Some(Ok(own)) => self.insert_apart(keys, own),
            // Few keys, or no memory.
            _ => each_batch(keys, self.seed, |hashes| self.insert_ahead(hashes)),
        }
    }

    fn insert_ahead(&self, hashes: &[u64]) {
        for hashes in hashes.chunks(AHEAD) {
            for hash in hashes {
                if let Some(word) = self.words.get(self.word_of(*hash)) {
                    prefetch_to_write(word);
                }
            }
            for hash in hashes {
                self.insert_hash(*hash);
            }
        }
    }

    /// Inserts every key of a slice by way of clear words, as many as the filter has.
    fn insert_apart<T: Hash>(&self, keys: &[T], mut own: Vec<u64>) {
        let hashes_per_key = self.hashes;
        each_batch(keys, self.seed, |hashes| {
            set_all(&mut own, hashes_per_key, hashes);
        });
        for (word, mask) in self.words.iter().zip(own) {
            // Relaxed: as for one key.
            if mask & !word.load(Ordering::Relaxed) != 0 {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// Inserts a key by its 64-bit hash, which must be well mixed and always made in the same way.
    #[inline]
    pub fn insert_hash(&self, hash: u64) -> bool {
        let mask = mask_of(hash, self.hashes);
        match self.words.get(self.word_of(hash)) {
            // Relaxed: a word is complete in itself, and other memory is not published through it.
            Some(word) if word.load(Ordering::Relaxed) & mask != mask => {
                word.fetch_or(mask, Ordering::Relaxed) & mask != mask
            }
            _ => false,
        }
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
        let mask = mask_of(hash, self.hashes);
        let word = self.words.get(self.word_of(hash));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & mask == mask)
    }

    /// Inserts every key of another filter (the union), which may be in use.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where words or bits per key
    /// differ; nothing is changed then.
    #[doc(alias = "union")]
    pub fn merge(&self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        let (left, right) = (self.words.len(), other.words.len());
        if left != right {
            return Err(SketchError::shape(NAME, "words", left, right));
        }
        if self.hashes != other.hashes {
            return Err(SketchError::shape(
                NAME,
                "hashes",
                self.hashes,
                other.hashes,
            ));
        }
        for (word, theirs) in self.words.iter().zip(&other.words) {
            word.fetch_or(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether no key was inserted. O(words).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Size of the filter in bytes, a multiple of 8.
    #[must_use]
    pub fn filter_bytes(&self) -> u64 {
        8 * self.words.len() as u64
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

    /// False-positive rate once the filter holds `items` distinct keys.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rounded number changes nothing"
    )]
    pub fn false_positive_rate(&self, items: u64) -> f64 {
        if items == 0 {
            0.0
        } else {
            rate_at_load(items as f64 / self.words.len() as f64, self.hashes)
        }
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.words.capacity()
    }

    #[inline]
    fn word_of(&self, hash: u64) -> usize {
        usize::try_from(word_of(hash, self.words.len() as u64)).unwrap_or(usize::MAX)
    }
}

/// Word number of a hash among `words`: its upper half, scaled.
#[inline(always)]
const fn word_of(hash: u64, words: u64) -> u64 {
    (hash >> 32).wrapping_mul(words) >> 32
}

/// Sets the bits of many hashes.
fn set_all(words: &mut [u64], hashes_per_key: u32, hashes: &[u64]) {
    let set = SetAll {
        words,
        hashes_per_key,
        hashes,
    };
    run_at(level(), set);
}

struct SetAll<'a> {
    words: &'a mut [u64],
    hashes_per_key: u32,
    hashes: &'a [u64],
}

impl Kernel for SetAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Hashes whose words and bits are found at once, with vector instructions.
        const BATCH: usize = 32;
        let count = self.words.len() as u64;
        let (mut at, mut masks) = ([0_u64; BATCH], [0_u64; BATCH]);
        for hashes in self.hashes.chunks(BATCH) {
            for ((at, mask), hash) in at.iter_mut().zip(&mut masks).zip(hashes) {
                *at = word_of(*hash, count);
                *mask = 1 << (hash & 63);
            }
            for i in 1..self.hashes_per_key {
                for (mask, hash) in masks.iter_mut().zip(hashes) {
                    *mask |= 1 << ((hash >> (6 * i)) & 63);
                }
            }
            for (at, mask) in at.iter().zip(&masks).take(hashes.len()) {
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                if let Some(word) = self.words.get_mut(at) {
                    *word |= mask;
                }
            }
        }
    }
}

/// Clear words, or the typed error where the memory is not there.
fn words_of(words: usize) -> Result<Vec<AtomicU64>, SketchError> {
    let mut row = reserved(NAME, words)?;
    row.resize_with(words, AtomicU64::default);
    Ok(row)
}

/// The bits of a hash: bit `(hash >> 6 i) mod 64` for each `i` below `hashes`, at most five.
#[inline]
const fn mask_of(hash: u64, hashes: u32) -> u64 {
    let mut mask = 1 << (hash & 63);
    let mut i = 1;
    while i < hashes {
        mask |= 1 << ((hash >> (6 * i)) & 63);
        i += 1;
    }
    mask
}

/// A copy of the filter as it is; inserts under way may be in it or not.
impl Clone for AtomicBloom {
    fn clone(&self) -> Self {
        let words = self.words.iter();
        Self {
            seed: self.seed,
            hashes: self.hashes,
            words: words
                .map(|word| AtomicU64::new(word.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

impl fmt::Debug for AtomicBloom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AtomicBloom")
            .field("seed", &self.seed)
            .field("hashes", &self.hashes)
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}
