//! Sorts a buffer of finite numbers: one pass into buckets of equal range, then each bucket.
//!
//! Numbers are taken as integers of the same order, so buckets are even over the exponents. Data
//! that crowd into few buckets fall back on the standard sort, bucket by bucket; the worst case is
//! that of the standard sort.

use alloc::{vec, vec::Vec};

use crate::simd::{
    kernel::{Kernel, run_at},
    level,
};

const BUCKET_BITS: u32 = 11;
/// Below this the standard sort is as fast.
const BUCKETS_WORTH: usize = 256;
/// Largest bucket that insertion sorts.
const INSERTION_MAX: usize = 24;

/// Sorts ascending in the order of [`f64::total_cmp`].
pub(super) fn sort(values: &mut Vec<f64>) {
    if values.len() < BUCKETS_WORTH {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    let (least, greatest) = run_at(level(), Bounds { values });
    let shift = (u64::BITS - (greatest - least).leading_zeros()).saturating_sub(BUCKET_BITS);
    let mut buckets = vec![0; values.len()];
    let kernel = BucketsOf {
        values,
        least,
        shift,
        buckets: &mut buckets,
    };
    run_at(level(), kernel);
    let mut ends = [0_u32; BUCKET_MASK + 1];
    for bucket in &buckets {
        ends[*bucket as usize & BUCKET_MASK] += 1;
    }
    let mut start = 0;
    for end in &mut ends {
        let len = *end;
        *end = start;
        start += len;
    }
    let mut sorted = vec![0.0; values.len()];
    for (value, bucket) in values.iter().zip(&buckets) {
        let place = &mut ends[*bucket as usize & BUCKET_MASK];
        if let Some(slot) = sorted.get_mut(*place as usize) {
            *slot = *value;
        }
        *place += 1;
    }
    let mut start = 0;
    for end in ends {
        let end = end as usize;
        match sorted.get_mut(start..end) {
            Some(crowd) if crowd.len() > INSERTION_MAX => crowd.sort_unstable_by(f64::total_cmp),
            Some(few) => insertion_sort(few),
            None => {}
        }
        start = end;
    }
    *values = sorted;
}

const BUCKET_MASK: usize = (1 << BUCKET_BITS) - 1;

/// Least and greatest key of some numbers.
struct Bounds<'a> {
    values: &'a [f64],
}

impl Kernel for Bounds<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run(self) -> (u64, u64) {
        let (mut least, mut greatest) = (u64::MAX, 0);
        for value in self.values {
            least = least.min(key(*value));
            greatest = greatest.max(key(*value));
        }
        (least, greatest)
    }
}

/// The bucket of each number.
struct BucketsOf<'a> {
    values: &'a [f64],
    least: u64,
    shift: u32,
    buckets: &'a mut [u32],
}

impl Kernel for BucketsOf<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "below 2^11 by the shift")]
    fn run(self) {
        for (bucket, value) in self.buckets.iter_mut().zip(self.values) {
            *bucket = ((key(*value) - self.least) >> self.shift) as u32;
        }
    }
}

/// An integer in the same order as the number.
#[inline(always)]
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    let all_if_negative = (bits.cast_signed() >> 63).cast_unsigned();
    bits ^ (all_if_negative | 1 << 63)
}

#[inline]
fn insertion_sort(values: &mut [f64]) {
    for end in 1..values.len() {
        let value = values[end];
        let mut at = end;
        while at > 0 && key(values[at - 1]) > key(value) {
            values[at] = values[at - 1];
            at -= 1;
        }
        values[at] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn every_kind_of_data_is_sorted_as_the_standard_library_does() {
        let unit = |i: u64| (split_mix(5, i) >> 11) as f64 / (1_u64 << 53) as f64;
        let kinds: [fn(f64) -> f64; 8] = [
            |u| u,
            |u| -u,
            |u| u - 0.5,
            |u| (u * 40.0).floor(),
            |u| f64::from_bits(u.to_bits() << 2 >> 2),
            |u| if u < 0.01 { 1e300 } else { 1e6 + u },
            |u| if u < 0.3 { -0.0 } else { 0.0 },
            |_| 7.0,
        ];
        for kind in kinds {
            for len in [0, 1, 2, 255, 256, 1600, 5000] {
                let mut values: Vec<f64> = (0..len).map(|i| kind(unit(i))).collect();
                let mut expected = values.clone();
                expected.sort_by(f64::total_cmp);
                sort(&mut values);
                let bits = |row: &[f64]| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&values), bits(&expected));
            }
        }
    }
}
