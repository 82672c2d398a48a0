//! The relative-error quantile sketch.

use super::{builder::DdSketchBuilder, mapping::Mapping, store::Store};
use crate::{
    error::SketchError,
    quantiles::Quantiles,
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

/// Quantiles of a stream of numbers, each within a fixed share of the true value.
///
/// With the default error of 1 %, a p99 latency of 250 ms is answered between 247.5 and 252.5 ms.
/// Negative numbers, zero and numbers of any size are counted; numbers nearer to zero than the
/// least normal `f64` (2.2e-308) count as zero. NaN and infinities are left out, and
/// [`ignored`](Self::ignored) tells how many they were.
///
/// Cost: insert O(1) without allocation once the range of the data is known; 8 bytes for each bin
/// between the least and the greatest number, about 115 bins for each factor of ten at 1 %, at most
/// [`bins_max`](DdSketchBuilder::bins_max) for each sign. Quantile O(bins).
///
/// Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
/// relative-error guarantees", VLDB 2019; the logarithm is the cubic approximation of its section
/// 4, so that bins are the same on every platform and cost no call of `ln`.
///
/// ```
/// use sketches::DdSketch;
/// let mut latencies_ms = DdSketch::new(0.01)?;
/// for i in 1..=10_000 {
///     latencies_ms.insert(f64::from(i) / 10.0);
/// }
/// let p50 = latencies_ms.quantile(0.50).unwrap();
/// let p99 = latencies_ms.quantile(0.99).unwrap();
/// assert!((p50 - 500.0).abs() <= 5.1 && (p99 - 990.0).abs() <= 10.0);
/// assert_eq!(latencies_ms.max(), Some(1000.0));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DdSketch {
    pub(super) relative_error: f64,
    pub(super) bins_max: u32,
    pub(super) mapping: Mapping,
    pub(super) positive: Store,
    /// Bins of the magnitudes of negative numbers.
    pub(super) negative: Store,
    pub(super) zeros: u64,
    pub(super) count: u64,
    pub(super) ignored: u64,
    pub(super) sum: f64,
    /// Infinity while empty.
    pub(super) min: f64,
    /// Minus infinity while empty.
    pub(super) max: f64,
}

impl DdSketch {
    /// An empty sketch whose answers are within `relative_error` (0.01 for 1 %) of the true value.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the error is outside 0.00001 to 0.5.
    pub fn new(relative_error: f64) -> Result<Self, SketchError> {
        DdSketchBuilder::new()
            .relative_error(relative_error)
            .build()
    }

    /// Settings to choose the bound on the bins as well.
    pub const fn builder() -> DdSketchBuilder {
        DdSketchBuilder::new()
    }

    pub(super) fn empty(relative_error: f64, bins_max: u32) -> Self {
        let bins = usize::try_from(bins_max).unwrap_or(usize::MAX);
        Self {
            relative_error,
            bins_max,
            mapping: Mapping::new(relative_error),
            positive: Store::new(bins),
            negative: Store::new(bins),
            zeros: 0,
            count: 0,
            ignored: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Counts one number.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        if !(f64::MIN_POSITIVE..=f64::MAX).contains(&value) {
            // Zero, negative, not finite.
            self.insert_many(value, 1);
            return;
        }
        self.positive.add(self.mapping.index(value), 1);
        self.count = self.count.saturating_add(1);
        self.sum += value;
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }

    /// Counts every number of a slice: the same as [`insert`](Self::insert) for each up to the
    /// rounding of the [`sum`](Self::sum), and faster where they are positive, since bins are found
    /// many at a time.
    pub fn insert_each(&mut self, values: &[f64]) {
        let mut bins = [0; BATCH];
        for values in values.chunks(BATCH) {
            let kernel = BinsOf {
                mapping: &self.mapping,
                values,
                bins: &mut bins,
            };
            let all = run_at(level(), kernel);
            // The plain way for odd numbers, and where counts may have to stop.
            if !all || self.count > u64::MAX - BATCH as u64 {
                values.iter().for_each(|value| self.insert(*value));
                continue;
            }
            let (sum, min, max) = run_at(level(), Tally { values });
            self.count += values.len() as u64;
            self.sum += sum;
            self.min = self.min.min(min);
            self.max = self.max.max(max);
            let mut rest = bins.get(..values.len()).unwrap_or_default();
            while let Some((outside, behind)) = self.positive.add_ones(rest) {
                self.positive.add(outside, 1);
                rest = behind;
            }
        }
    }

    /// Counts one number `times` over. Counts stop at `u64::MAX`.
    pub fn insert_many(&mut self, value: f64, times: u64) {
        if times == 0 {
            return;
        }
        if !value.is_finite() {
            self.ignored = self.ignored.saturating_add(times);
            return;
        }
        if value >= f64::MIN_POSITIVE {
            self.positive.add(self.mapping.index(value), times);
        } else if value <= -f64::MIN_POSITIVE {
            self.negative.add(self.mapping.index(-value), times);
        } else {
            self.zeros = self.zeros.saturating_add(times);
        }
        self.count = self.count.saturating_add(times);
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Estimated number at position `floor(q * (count - 1))` of the sorted stream; `None` where the
    /// sketch is empty or `q` is outside 0 to 1. The ends (`q` of 0 and 1) are exact.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let last = self.count - 1;
        let rank = rank_of(q, last);
        if rank == 0 {
            return Some(self.min);
        }
        if rank == last {
            return Some(self.max);
        }
        let mut below = 0_u64;
        let negative = self
            .negative
            .bins()
            .rev()
            .map(|(bin, n)| (-self.mapping.value(bin), n));
        let zero = core::iter::once((0.0, self.zeros));
        let positive = self
            .positive
            .bins()
            .map(|(bin, n)| (self.mapping.value(bin), n));
        for (value, count) in negative.chain(zero).chain(positive) {
            below = below.saturating_add(count);
            if below > rank {
                return Some(value.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Adds the numbers of another sketch, as if they had been inserted here.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] where error or bin bound differ; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        let (left, right) = (self.relative_error, other.relative_error);
        if left.to_bits() != right.to_bits() {
            return Err(SketchError::shape(
                "ddsketch",
                "relative_error",
                left,
                right,
            ));
        }
        let (left, right) = (self.bins_max, other.bins_max);
        if left != right {
            return Err(SketchError::shape("ddsketch", "bins_max", left, right));
        }
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count = self.count.saturating_add(other.count);
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }

    /// Numbers counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// NaN and infinities that were left out.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Least number, exact; `None` while empty.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// Greatest number, exact; `None` while empty.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// Sum of the numbers, exact up to rounding; 0 while empty.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Arithmetic mean; `None` while empty.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The error bound this sketch was built with.
    #[must_use]
    pub const fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// Whether the data spanned more bins than allowed, so that quantiles near zero lost the bound.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.positive.is_folded() || self.negative.is_folded()
    }

    /// Bytes of memory used by the bins.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.positive.counts().len() + self.negative.counts().len())
    }
}

/// Numbers whose bins are found at once.
const BATCH: usize = 128;

/// The bins of many numbers; tells whether all have one, being positive, normal and finite.
struct BinsOf<'a> {
    mapping: &'a Mapping,
    values: &'a [f64],
    bins: &'a mut [i32; BATCH],
}

impl Kernel for BinsOf<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut binned = 0;
        for (bin, value) in self.bins.iter_mut().zip(self.values) {
            *bin = self.mapping.index(*value);
            binned += u64::from(*value >= f64::MIN_POSITIVE && *value <= f64::MAX);
        }
        binned == self.values.len() as u64
    }
}

/// Sum, least and greatest of some positive numbers; added in eight lanes whatever the level.
struct Tally<'a> {
    values: &'a [f64],
}

impl Kernel for Tally<'_> {
    type Output = (f64, f64, f64);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let (rows, rest) = self.values.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for row in rows {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        // The bits of positive numbers are in their order.
        let (mut least, mut greatest) = (i64::MAX, 0);
        for value in self.values {
            let bits = value.to_bits().cast_signed();
            least = least.min(bits);
            greatest = greatest.max(bits);
        }
        let number = |bits: i64| f64::from_bits(bits.cast_unsigned());
        let sum = sums.iter().chain(rest).sum();
        (sum, number(least), number(greatest))
    }
}

/// `floor(q * last)`, held to `last` where the product was rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "q is 0 to 1"
)]
fn rank_of(q: f64, last: u64) -> u64 {
    ((q * last as f64) as u64).min(last)
}

impl Quantiles for DdSketch {
    fn insert(&mut self, value: f64) {
        Self::insert(self, value);
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        Self::quantile(self, q)
    }

    fn count(&self) -> u64 {
        Self::count(self)
    }

    fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        Self::merge(self, other)
    }
}

impl Extend<f64> for DdSketch {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        let mut values = values.into_iter();
        let mut batch = [0.0; BATCH];
        loop {
            let mut len = 0;
            for (place, value) in batch.iter_mut().zip(&mut values) {
                *place = value;
                len += 1;
            }
            self.insert_each(batch.get(..len).unwrap_or_default());
            if len < BATCH {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::split_mix,
        simd::{Level, available_levels},
    };
    use alloc::vec::Vec;

    fn bins_at(level: Level, mapping: &Mapping, values: &[f64]) -> (bool, [i32; BATCH]) {
        let mut bins = [0; BATCH];
        let kernel = BinsOf {
            mapping,
            values,
            bins: &mut bins,
        };
        (run_at(level, kernel), bins)
    }

    #[test]
    fn every_level_finds_the_bin_that_one_number_goes_to() {
        let normal = |at| f64::from_bits((split_mix(1, at) >> 1).clamp(1 << 52, (2047 << 52) - 1));
        let values: Vec<f64> = [f64::MIN_POSITIVE, f64::MAX, 1.0]
            .into_iter()
            .chain((0..2000).map(normal))
            .collect();
        for relative_error in [1e-5, 0.01, 0.5] {
            let mapping = Mapping::new(relative_error);
            for values in values.chunks(BATCH).chain(values.chunks(7)) {
                for level in available_levels() {
                    let (all, bins) = bins_at(level, &mapping, values);
                    assert!(all);
                    for (value, bin) in values.iter().zip(bins) {
                        assert_eq!(bin, mapping.index(*value), "{level:?} {value}");
                    }
                    let (_, min, max) = run_at(level, Tally { values });
                    assert_eq!(min, values.iter().copied().fold(f64::MAX, f64::min));
                    assert_eq!(max, values.iter().copied().fold(0.0, f64::max));
                }
            }
        }
    }

    #[test]
    fn every_level_tells_odd_numbers() {
        let mapping = Mapping::new(0.01);
        let odd = [0.0, -0.0, -1.0, f64::NAN, -f64::NAN, f64::INFINITY, 5e-324];
        for odd in odd.into_iter().chain([f64::NEG_INFINITY, f64::MIN]) {
            for at in [0, 6, 127] {
                let mut values = [2.0; BATCH];
                values[at] = odd;
                for level in available_levels() {
                    assert!(!bins_at(level, &mapping, &values).0, "{level:?} {odd}");
                }
            }
        }
    }

    #[test]
    fn slices_are_one_by_one() {
        let random = |at| f64::from_bits(split_mix(9, at));
        let kinds: [fn(f64) -> f64; 4] = [|x| x, f64::abs, |x| x.abs().sqrt().sqrt(), |_| 3.0];
        for kind in kinds {
            let values: Vec<f64> = (0..3000).map(|at| kind(random(at))).collect();
            let (mut each, mut one) = (DdSketch::new(0.01).unwrap(), DdSketch::new(0.01).unwrap());
            for sketch in [&mut each, &mut one] {
                sketch.insert_many(7.0, u64::MAX - 2000);
            }
            each.insert_each(&values);
            values.iter().for_each(|value| one.insert(*value));
            each.sum = one.sum;
            assert_eq!(each, one);
        }
    }
}
