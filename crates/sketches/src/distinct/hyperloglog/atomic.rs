//! HyperLogLog that many threads count into at once.

use alloc::vec::Vec;
use core::{fmt, hash::Hash};

use super::{
    estimator::estimate_dense,
    sketch::{HyperLogLog, State},
};
use crate::{
    atomic::{AtomicU8, Ordering},
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, each_batch, hash_of},
    simd::ranks::{raise_all, register_of},
};

const NAME: &str = "atomic hyperloglog";

/// Number of distinct keys, counted by any number of threads without locks.
///
/// It keeps registers from the start, with no sparse form: counts far below `2^precision` have the
/// error of linear counting instead of being exact. A [`snapshot`](Self::snapshot) is a
/// [`HyperLogLog`] that merges with every other of the same precision and seed.
///
/// Cost: an insert reads one byte, and writes it only where it raises it, which becomes rare; from
/// some ten keys a register on threads hardly disturb each other, and in large slices
/// ([`insert_each`](Self::insert_each)) never. An insert that returned is in every later snapshot of a thread that
/// knows of it (through a join, a channel or a lock); one under way may or may not be.
///
/// ```
/// use sketches::distinct::AtomicHyperLogLog;
/// let visitors = AtomicHyperLogLog::new(14)?;
/// std::thread::scope(|scope| {
///     for part in 0..2_u64 {
///         let visitors = &visitors;
///         scope.spawn(move || (0..50_000).for_each(|i| visitors.insert(&(part * 40_000 + i))));
///     }
/// });
/// assert!((visitors.estimate() / 90_000.0 - 1.0).abs() < 0.025); // three standard errors
/// # Ok::<(), sketches::SketchError>(())
/// ```
pub struct AtomicHyperLogLog {
    seed: u64,
    precision: u8,
    registers: Vec<AtomicU8>,
}

impl AtomicHyperLogLog {
    /// An empty sketch with `2^precision` registers.
    ///
    /// # Errors
    /// As for [`HyperLogLog::new`].
    pub fn new(precision: u8) -> Result<Self, SketchError> {
        Self::with_seed(precision, DEFAULT_SEED)
    }

    /// As [`new`](Self::new), with another hash seed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_seed(precision: u8, seed: u64) -> Result<Self, SketchError> {
        let empty = HyperLogLog::with_seed(precision, seed)?;
        let mut registers = Vec::new();
        registers.resize_with(1 << empty.precision(), AtomicU8::default);
        Ok(Self {
            seed,
            precision,
            registers,
        })
    }

    /// Counts a key.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&self, key: &T) {
        self.insert_hash(hash_of(key, self.seed));
    }

    /// Counts every key of a slice. Where there are at least twice as many as registers, the thread
    /// fills registers of its own and raises the shared ones at the end: the first keys of a stream
    /// raise so many registers that threads would wait for each other's cache lines.
    pub fn insert_each<T: Hash>(&self, keys: &[T]) {
        if keys.len() / 2 < self.registers.len() {
            each_batch(keys, self.seed, |hashes| {
                hashes.iter().for_each(|hash| self.insert_hash(*hash));
            });
            return;
        }
        let mut own = alloc::vec![0; self.registers.len()];
        each_batch(keys, self.seed, |hashes| {
            raise_all(&mut own, self.precision, hashes);
        });
        for (register, rank) in own.into_iter().enumerate() {
            self.raise(register, rank);
        }
    }

    /// Counts a key by its 64-bit hash, which must be well mixed and always made in the same way.
    #[inline]
    pub fn insert_hash(&self, hash: u64) {
        let (register, rank) = register_of(hash, self.precision);
        self.raise(register, rank);
    }

    /// Counts every key of another sketch.
    ///
    /// # Errors
    /// As for [`HyperLogLog::merge`]; nothing is changed then.
    pub fn merge(&self, other: &HyperLogLog) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed())?;
        let (left, right) = (self.precision, other.precision());
        if left != right {
            return Err(SketchError::shape(NAME, "precision", left, right));
        }
        for (register, rank) in other.registers().into_iter().enumerate() {
            self.raise(register, rank);
        }
        Ok(())
    }

    /// The sketch of what was counted so far, with registers even where it holds few keys.
    #[must_use]
    pub fn snapshot(&self) -> HyperLogLog {
        HyperLogLog {
            seed: self.seed,
            precision: self.precision,
            state: State::Dense(self.loaded()),
        }
    }

    /// Estimated number of distinct keys; 0 for an empty sketch.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        estimate_dense(&self.loaded(), self.precision)
    }

    /// Base-2 logarithm of the number of registers.
    #[must_use]
    pub const fn precision(&self) -> u8 {
        self.precision
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.registers.capacity()
    }

    fn loaded(&self) -> Vec<u8> {
        // Relaxed: registers are independent, and only ever rise.
        let ranks = self.registers.iter();
        ranks.map(|rank| rank.load(Ordering::Relaxed)).collect()
    }

    #[inline]
    fn raise(&self, register: usize, rank: u8) {
        if let Some(place) = self.registers.get(register)
            && place.load(Ordering::Relaxed) < rank
        {
            place.fetch_max(rank, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for AtomicHyperLogLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AtomicHyperLogLog")
            .field("seed", &self.seed)
            .field("precision", &self.precision)
            .finish_non_exhaustive()
    }
}
