//! HyperLogLog with a sparse start.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{
    coupon::{coupon_of, reduced, register_of_coupon},
    coupon_set::CouponSet,
    estimator::{estimate_dense, estimate_sparse},
};
use crate::{
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, each_batch, hash_of, in_batches},
    memory::zeros,
    simd::ranks::{self, raise, register_of},
};

const NAME: &str = "hyperloglog";

/// Number of distinct keys of a stream, in fixed memory.
///
/// Up to `3 * 2^(precision - 5)` distinct keys (1,536 at precision 14, at least 12) it keeps 32
/// bits of each and answers with their number, wrong by one with a probability of
/// `keys^2 / (4 * 10^8)`. Beyond that it keeps one rank for each of `2^precision` registers, and the
/// standard error is `1.04 / sqrt(2^precision)`. Two sketches merge into exactly the sketch of both
/// streams.
///
/// Cost: insert O(1); estimate O(1) while sparse, O(2^precision) after; 5 to 33 bytes per key while
/// sparse (1 KiB at least, 8 KiB at most at precision 14), then one byte for each register (16 KiB at precision
/// 14), since six packed bits would make an insert read and write two bytes; encoded, six bits for
/// each register (12 KiB).
///
/// Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog", 2007; 64-bit hashes and the sparse start
/// after Heule, Nunkesser, Hall, "HyperLogLog in practice", 2013; estimator by Ertl, 2017.
///
/// ```
/// use sketches::HyperLogLog;
/// let mut visitors = HyperLogLog::new(14)?;
/// for id in 0..100_000_u64 {
///     visitors.insert(&(id % 50_000));
/// }
/// assert!((visitors.estimate() / 50_000.0 - 1.0).abs() < 0.025); // three standard errors
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HyperLogLog {
    pub(super) seed: u64,
    pub(super) precision: u8,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Distinct coupons, at most [`coupons_max`] of them.
    Sparse(CouponSet),
    /// One rank for each register.
    Dense(Vec<u8>),
}

/// Most coupons kept: a hash table of them, three quarters full, is not larger than the packed
/// registers. It decides the state and is therefore part of the format.
pub(super) const fn coupons_max(precision: u8) -> usize {
    cells_max(precision) * 3 / 4
}

/// Cells of the greatest table of coupons.
pub(super) const fn cells_max(precision: u8) -> usize {
    if precision <= 7 {
        16
    } else {
        1 << (precision - 3)
    }
}

impl HyperLogLog {
    /// Least precision: 16 registers, 26 % error.
    pub const PRECISION_MIN: u8 = 4;
    /// Greatest precision: 2^18 registers, 0.2 % error; one step more would double the bytes for
    /// less than a tenth of a per cent.
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
        if !(Self::PRECISION_MIN..=Self::PRECISION_MAX).contains(&precision) {
            return Err(SketchError::parameter(
                NAME,
                "precision",
                precision,
                "4 to 18",
            ));
        }
        Ok(Self {
            seed,
            precision,
            state: State::Sparse(CouponSet::default()),
        })
    }

    /// The smallest sketch whose standard error is at most `error` (0.01 for 1 %).
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where no precision reaches the error, or it is not below 1.
    pub fn with_error(error: f64) -> Result<Self, SketchError> {
        let precision = (Self::PRECISION_MIN..=Self::PRECISION_MAX)
            .find(|precision| standard_error(*precision) <= error)
            .filter(|_| error < 1.0);
        match precision {
            Some(precision) => Self::new(precision),
            None => {
                let allowed = "0.00204 or more and below 1";
                Err(SketchError::parameter(NAME, "error", error, allowed))
            }
        }
    }

    /// Counts a key.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) {
        self.insert_hash(hash_of(key, self.seed));
    }

    /// Counts a key by its 64-bit hash, which must be well mixed and always made in the same way,
    /// for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline]
    pub fn insert_hash(&mut self, hash: u64) {
        match &mut self.state {
            State::Dense(registers) => {
                let (register, rank) = register_of(hash, self.precision);
                raise(registers, register, rank);
            }
            State::Sparse(_) => self.insert_sparse(hash),
        }
    }

    /// Counts every key of a slice: the same as [`insert`](Self::insert) for each, and faster, since
    /// keys are hashed many at a time.
    pub fn insert_each<T: Hash>(&mut self, keys: &[T]) {
        each_batch(keys, self.seed, |hashes| self.insert_hashes(hashes));
    }

    /// Counts many keys by their hashes.
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        let mut hashes = hashes;
        if let State::Sparse(coupons) = &mut self.state {
            let (cells, most) = (cells_max(self.precision), coupons_max(self.precision));
            while let [hash, rest @ ..] = hashes
                && coupons.len() <= most
            {
                coupons.insert(coupon_of(*hash), cells);
                hashes = rest;
            }
            self.leave_sparse();
        }
        if let State::Dense(registers) = &mut self.state {
            ranks::raise_all(registers, self.precision, hashes);
        }
    }

    /// Estimated number of distinct keys; 0 for an empty sketch.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        match &self.state {
            State::Sparse(coupons) => estimate_sparse(coupons.len()),
            State::Dense(registers) => estimate_dense(registers, self.precision),
        }
    }

    /// Counts every key of another sketch.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where the precision
    /// differs ([`reduce_precision`](Self::reduce_precision) first); nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        let (left, right) = (self.precision, other.precision);
        if left != right {
            return Err(SketchError::shape(NAME, "precision", left, right));
        }
        match (&mut self.state, &other.state) {
            (State::Sparse(ours), State::Sparse(theirs)) => {
                let cells = cells_max(self.precision);
                theirs.iter().for_each(|coupon| ours.insert(coupon, cells));
                self.leave_sparse();
            }
            (State::Sparse(_), State::Dense(theirs)) => {
                let mut registers = theirs.clone();
                self.raise_coupons(&mut registers);
                self.state = State::Dense(registers);
            }
            (State::Dense(ours), State::Sparse(theirs)) => {
                for coupon in theirs.iter() {
                    let (register, rank) = register_of_coupon(coupon, self.precision);
                    raise(ours, register, rank);
                }
            }
            (State::Dense(ours), State::Dense(theirs)) => {
                for (rank, other) in ours.iter_mut().zip(theirs) {
                    *rank = (*rank).max(*other);
                }
            }
        }
        Ok(())
    }

    /// Goes down to a lower precision: exactly the sketch that the stream would have given there.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `precision` is below 4 or above the present one.
    pub fn reduce_precision(&mut self, precision: u8) -> Result<(), SketchError> {
        if !(Self::PRECISION_MIN..=self.precision).contains(&precision) {
            let allowed = "4 to the present precision";
            return Err(SketchError::parameter(
                NAME,
                "precision",
                precision,
                allowed,
            ));
        }
        let from = self.precision;
        self.precision = precision;
        if let State::Dense(registers) = &self.state {
            let mut lower = zeros(NAME, 1 << precision)?;
            for (register, rank) in registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                let (register, rank) = reduced(register, *rank, from, precision);
                raise(&mut lower, register, rank);
            }
            self.state = State::Dense(lower);
        }
        self.leave_sparse();
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.state = State::Sparse(CouponSet::default());
    }

    /// Whether no key was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.state, State::Sparse(coupons) if coupons.len() == 0)
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

    /// Standard error of a dense estimate, as a share of the count: `1.04 / sqrt(2^precision)`.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        standard_error(self.precision)
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let state = match &self.state {
            State::Sparse(coupons) => coupons.heap_bytes(),
            State::Dense(registers) => registers.capacity(),
        };
        size_of::<Self>() + state
    }

    /// The rank of each register, in whichever state.
    pub(super) fn registers(&self) -> Vec<u8> {
        match &self.state {
            State::Dense(registers) => registers.clone(),
            State::Sparse(_) => {
                let mut registers = alloc::vec![0; 1 << self.precision];
                self.raise_coupons(&mut registers);
                registers
            }
        }
    }

    /// Out of line, so that the dense path of an insert stays small.
    #[inline(never)]
    fn insert_sparse(&mut self, hash: u64) {
        if let State::Sparse(coupons) = &mut self.state {
            coupons.insert(coupon_of(hash), cells_max(self.precision));
            self.leave_sparse();
        }
    }

    /// Goes over to registers where there are more coupons than allowed.
    fn leave_sparse(&mut self) {
        if let State::Sparse(coupons) = &self.state
            && coupons.len() > coupons_max(self.precision)
        {
            self.state = State::Dense(self.registers());
        }
    }

    fn raise_coupons(&self, registers: &mut [u8]) {
        if let State::Sparse(coupons) = &self.state {
            for coupon in coupons.iter() {
                let (register, rank) = register_of_coupon(coupon, self.precision);
                raise(registers, register, rank);
            }
        }
    }
}

impl<T: Hash> Extend<T> for HyperLogLog {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        let seed = self.seed;
        in_batches(keys.into_iter().map(|key| hash_of(&key, seed)), |hashes| {
            self.insert_hashes(hashes);
        });
    }
}

fn standard_error(precision: u8) -> f64 {
    1.04 / libm::sqrt(f64::from(1_u32 << precision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn counts_below_a_thousand_are_exact() {
        // Each seed keeps 32 bits of every key: one in 400 is expected to lose one.
        let mut wrong = 0;
        for seed in 0..40 {
            let mut sketch = HyperLogLog::with_seed(14, seed).unwrap();
            for n in 0..1_000_u32 {
                wrong += u32::from(sketch.estimate() != f64::from(n));
                sketch.insert(&split_mix(seed, u64::from(n)));
                sketch.insert(&split_mix(seed, u64::from(n / 2)));
            }
        }
        assert_eq!(wrong, 0);
    }
}
