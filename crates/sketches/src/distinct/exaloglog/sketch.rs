//! The sketch of both widths.

use alloc::vec::Vec;
use core::{hash::Hash, marker::PhantomData};

use super::{
    estimator::most_likely,
    register::{merged, raised, reduced, value_of, values},
    shape::{Exa, Shape, Ultra},
};
use crate::{
    codec::Family,
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, each_batch, hash_of, in_batches},
    memory::zeros,
    simd::{
        Level,
        kernel::{Kernel, run_at},
        level,
    },
};

/// Distinct counts with a quarter less memory than [`HyperLogLog`](crate::HyperLogLog) for the same
/// error: registers of one byte, 4.63 bits of memory for each `1 / error^2`.
///
/// ```
/// use sketches::UltraLogLog;
/// let mut visitors = UltraLogLog::new(12)?;
/// visitors.extend(0..50_000_u64);
/// assert_eq!(visitors.register_bytes(), 4096);
/// assert!((visitors.estimate() / 50_000.0 - 1.0).abs() < 0.04); // three standard errors
/// # Ok::<(), sketches::SketchError>(())
/// ```
pub type UltraLogLog = LogLogSketch<Ultra>;

/// Distinct counts with two fifths less memory than [`HyperLogLog`](crate::HyperLogLog) for the same
/// error: registers of 28 bits, 3.67 bits of memory for each `1 / error^2`.
///
/// ```
/// use sketches::ExaLogLog;
/// let mut north = ExaLogLog::new(10)?;
/// let mut south = ExaLogLog::new(10)?;
/// north.extend(0..30_000_u64);
/// south.extend(20_000..50_000_u64);
/// north.merge(&south)?;
/// assert_eq!(north.register_bytes(), 3584);
/// assert!((north.estimate() / 50_000.0 - 1.0).abs() < 0.035); // three standard errors
/// # Ok::<(), sketches::SketchError>(())
/// ```
pub type ExaLogLog = LogLogSketch<Exa>;

/// Number of distinct keys of a stream in fixed memory: [`UltraLogLog`] or [`ExaLogLog`].
///
/// The estimate is the maximum-likelihood one, for a merged sketch as for any other. Two sketches of
/// one precision merge into exactly the sketch of both streams.
///
/// Cost: insert and merge of a register O(1); estimate O(2^precision), 4 microseconds for 1,024
/// registers of [`ExaLogLog`]. Memory: `2^precision` registers from the start.
///
/// Source: Ertl, "UltraLogLog", 2024; Ertl, "ExaLogLog", 2024.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLogSketch<S: Shape> {
    pub(super) seed: u64,
    pub(super) precision: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) shape: PhantomData<S>,
}

impl<S: Shape> LogLogSketch<S> {
    /// Least precision: 16 registers.
    pub const PRECISION_MIN: u8 = 4;
    /// Greatest precision: 2^18 registers, an error of 0.15 % or less.
    pub const PRECISION_MAX: u8 = 18;

    /// An empty sketch with `2^precision` registers.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the precision is outside 4 to 18.
    pub fn new(precision: u8) -> Result<Self, SketchError> {
        Self::with_seed(precision, DEFAULT_SEED)
    }

    /// As [`new`](Self::new), with another hash seed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_seed(precision: u8, seed: u64) -> Result<Self, SketchError> {
        let name = Self::family().name();
        if !(Self::PRECISION_MIN..=Self::PRECISION_MAX).contains(&precision) {
            return Err(SketchError::parameter(
                name,
                "precision",
                precision,
                "4 to 18",
            ));
        }
        Ok(Self {
            seed,
            precision,
            bytes: zeros(name, S::bytes_for(1 << precision))?,
            shape: PhantomData,
        })
    }

    /// Counts a key.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) {
        self.insert_hash(hash_of(key, self.seed));
    }

    /// Counts a key by its 64-bit hash, which must be well mixed and always made in the same way,
    /// for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline(always)]
    pub fn insert_hash(&mut self, hash: u64) {
        let (register, value) = value_of::<S>(hash, self.precision);
        raise::<S>(&mut self.bytes, register, value);
    }

    /// Counts every key of a slice: the same as [`insert`](Self::insert) for each, and faster, since
    /// keys are hashed many at a time.
    pub fn insert_each<T: Hash>(&mut self, keys: &[T]) {
        each_batch(keys, self.seed, |hashes| self.insert_hashes(hashes));
    }

    /// Counts many keys by their hashes.
    #[inline]
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        let (level, precision, bytes) = (level(), self.precision, &mut self.bytes[..]);
        let shape = PhantomData::<S>;
        // Only there are leading zeros counted by vector instructions. Registers of whole bytes are
        // raised faster than their numbers are read back.
        if level == Level::Avx512 && S::T > 0 {
            let kernel = RaiseBatches {
                bytes,
                precision,
                hashes,
                shape,
            };
            run_at(level, kernel);
        } else {
            let kernel = RaiseAll {
                bytes,
                precision,
                hashes,
                shape,
            };
            run_at(level, kernel);
        }
    }

    /// Estimated number of distinct keys; 0 for an empty sketch.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let registers = f64::from(1_u32 << self.precision);
        let keys = most_likely(&S::tally(&self.bytes, self.precision));
        registers * keys / (1.0 + S::BIAS / registers)
    }

    /// Counts every key of another sketch.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where the precision
    /// differs ([`reduce_precision`](Self::reduce_precision) first); nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        let name = Self::family().name();
        check_seeds(name, self.seed, other.seed)?;
        let (left, right) = (self.precision, other.precision);
        if left != right {
            return Err(SketchError::shape(name, "precision", left, right));
        }
        for register in 0..1 << self.precision {
            let theirs = S::get(&other.bytes, register);
            let merged = merged::<S>(S::get(&self.bytes, register), theirs);
            S::set(&mut self.bytes, register, merged);
        }
        Ok(())
    }

    /// Goes down to a lower precision: exactly the sketch that the stream would have given there.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `precision` is below 4 or above the present one.
    pub fn reduce_precision(&mut self, precision: u8) -> Result<(), SketchError> {
        let name = Self::family().name();
        if !(Self::PRECISION_MIN..=self.precision).contains(&precision) {
            let allowed = "4 to the present precision";
            return Err(SketchError::parameter(
                name,
                "precision",
                precision,
                allowed,
            ));
        }
        let mut lower = zeros(name, S::bytes_for(1 << precision))?;
        for register in 0..1 << self.precision {
            for value in values::<S>(S::get(&self.bytes, register)) {
                let (register, value) = reduced::<S>(register, value, self.precision, precision);
                let raised = raised::<S>(S::get(&lower, register), value);
                S::set(&mut lower, register, raised);
            }
        }
        self.bytes = lower;
        self.precision = precision;
        Ok(())
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.fill(0);
    }

    /// Whether no key was counted. O(2^precision).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
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

    /// Standard error of the estimate for many keys, as a share of the count; smaller counts have a
    /// smaller error.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        S::ERROR / libm::sqrt(f64::from(1_u32 << self.precision))
    }

    /// Bytes of the registers.
    #[must_use]
    pub fn register_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    pub(super) fn family() -> Family {
        if S::FAMILY == Family::ExaLogLog as u8 {
            Family::ExaLogLog
        } else {
            Family::UltraLogLog
        }
    }
}

impl<S: Shape, T: Hash> Extend<T> for LogLogSketch<S> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        let seed = self.seed;
        in_batches(keys.into_iter().map(|key| hash_of(&key, seed)), |hashes| {
            self.insert_hashes(hashes);
        });
    }
}

/// Raises a register by an update value.
#[inline(always)]
fn raise<S: Shape>(bytes: &mut [u8], register: usize, value: u32) {
    let old = S::get(bytes, register);
    let new = raised::<S>(old, value);
    // A store that overlaps a load of the next register would make that wait.
    if new != old {
        S::set(bytes, register, new);
    }
}

struct RaiseAll<'a, S> {
    bytes: &'a mut [u8],
    precision: u8,
    hashes: &'a [u64],
    shape: PhantomData<S>,
}

impl<S: Shape> Kernel for RaiseAll<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for hash in self.hashes {
            let (register, value) = value_of::<S>(*hash, self.precision);
            raise::<S>(self.bytes, register, value);
        }
    }
}

/// First finds the registers and values of a batch, then raises them.
struct RaiseBatches<'a, S> {
    bytes: &'a mut [u8],
    precision: u8,
    hashes: &'a [u64],
    shape: PhantomData<S>,
}

impl<S: Shape> Kernel for RaiseBatches<'_, S> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "registers are below 2^18")]
    fn run(self) {
        const BATCH: usize = 64;
        let (mut places, mut values) = ([0_u32; BATCH], [0_u32; BATCH]);
        for hashes in self.hashes.chunks(BATCH) {
            for ((place, value), hash) in places.iter_mut().zip(&mut values).zip(hashes) {
                let (register, of_hash) = value_of::<S>(*hash, self.precision);
                (*place, *value) = (register as u32, of_hash);
            }
            for (place, value) in places.iter().zip(&values).take(hashes.len()) {
                raise::<S>(self.bytes, *place as usize, *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::available_levels};

    fn every_level_raises_as_one_by_one<S: Shape>() {
        let hashes: Vec<u64> = (0..if cfg!(miri) { 70 } else { 3_000 })
            .map(|i| split_mix(4, i) >> (i % 50))
            .chain([0, u64::MAX])
            .collect();
        for precision in [4, 7, 12] {
            let mut plain = LogLogSketch::<S>::new(precision).unwrap();
            hashes.iter().for_each(|hash| plain.insert_hash(*hash));
            for level in available_levels() {
                for batch in [1, 63, 64, 65, hashes.len()] {
                    let (mut all, mut batches) = (plain.clone(), plain.clone());
                    all.clear();
                    batches.clear();
                    for hashes in hashes.chunks(batch) {
                        let shape = PhantomData::<S>;
                        let bytes = &mut all.bytes[..];
                        run_at(
                            level,
                            RaiseAll {
                                bytes,
                                precision,
                                hashes,
                                shape,
                            },
                        );
                        let bytes = &mut batches.bytes[..];
                        run_at(
                            level,
                            RaiseBatches {
                                bytes,
                                precision,
                                hashes,
                                shape,
                            },
                        );
                    }
                    assert!(all == plain, "{level:?} {precision} {batch}");
                    assert!(batches == plain, "{level:?} {precision} {batch}");
                }
            }
        }
    }

    #[test]
    fn both_shapes_raise_alike_at_every_level() {
        every_level_raises_as_one_by_one::<Ultra>();
        every_level_raises_as_one_by_one::<Exa>();
    }
}
