//! Sorts a buffer of finite numbers, by guessing where each belongs and mending the guesses.
//!
//! Numbers are taken as integers of the same order. A histogram of buckets of equal range gives the
//! guess: the start of the bucket, and within it the share of its range that lies below the number.
//! Numbers are counted into the guessed places; what is wrong after that, neighbours mostly, an
//! insertion sort mends. Data that crowd into few places fall back on the standard sort, place by
//! place; the worst case is that of the standard sort.
//!
//! Source: flash sort (Neubert, "The flashsort1 algorithm", Dr. Dobb's Journal 1998), with a histogram
//! in place of its one straight line.

use alloc::vec;

use crate::simd::{
    kernel::{Kernel, run_at},
    level,
};

const BUCKET_BITS: u32 = 10;
const BUCKET_MASK: usize = (1 << BUCKET_BITS) - 1;
/// Below this the standard sort is as fast.
const BUCKETS_WORTH: usize = 256;
/// Most numbers of one place that insertion sorts.
const INSERTION_MAX: u32 = 24;

/// Sorts ascending in the order of [`f64::total_cmp`].
pub(super) fn sort(values: &mut [f64]) {
    let Ok(count) = u32::try_from(values.len()) else {
        values.sort_unstable_by(f64::total_cmp);
        return;
    };
    if values.len() < BUCKETS_WORTH {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    let mut keys = vec![0; values.len()];
    let (least, greatest) = run_at(
        level(),
        KeysOf {
            values,
            keys: &mut keys,
        },
    );
    let shift = (u64::BITS - (greatest - least).leading_zeros()).saturating_sub(BUCKET_BITS);
    let mut buckets = [Bucket::default(); BUCKET_MASK + 1];
    for key in &mut keys {
        *key -= least;
        buckets[bucket_of(*key, shift)].len += 1;
    }
    let mut start = 0;
    for bucket in &mut buckets {
        bucket.start = start;
        start += bucket.len;
    }
    let mut places = vec![0; keys.len()];
    let mut ends = vec![0_u32; keys.len()];
    for (place, key) in places.iter_mut().zip(&keys) {
        *place = buckets[bucket_of(*key, shift)].place_of(*key, shift);
        // Places are below the count, as the shares of a bucket are below its length.
        if let Some(end) = ends.get_mut(*place as usize) {
            *end += 1;
        }
    }
    debug_assert_eq!(ends.iter().sum::<u32>(), count);
    let (mut start, mut crowded) = (0, false);
    for end in &mut ends {
        let len = *end;
        crowded |= len > INSERTION_MAX;
        *end = start;
        start += len;
    }
    let mut sorted = vec![0; keys.len()];
    for (key, place) in keys.iter().zip(&places) {
        if let Some(end) = ends.get_mut(*place as usize) {
            if let Some(slot) = sorted.get_mut(*end as usize) {
                *slot = *key;
            }
            *end += 1;
        }
    }
    if crowded {
        sort_crowds(&mut sorted, &ends);
    }
    insertion_sort(&mut sorted);
    run_at(
        level(),
        ValuesOf {
            keys: &sorted,
            least,
            values,
        },
    );
}

/// Numbers of equal range.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    start: u32,
    len: u32,
}

impl Bucket {
    /// The place of one of its keys, were they spread evenly.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share of the length, which has 32 bits"
    )]
    fn place_of(self, key: u64, shift: u32) -> u32 {
        // The upper 32 bits of what the bucket leaves of the key, so that the product fits.
        let fine = shift.min(32);
        let share = (key & !(u64::MAX << shift)) >> (shift - fine);
        self.start + ((share * u64::from(self.len)) >> fine) as u32
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "below 2^10 by the shift")]
fn bucket_of(key: u64, shift: u32) -> usize {
    (key >> shift) as usize & BUCKET_MASK
}

/// Sorts the numbers of each place that has too many for insertion.
#[cold]
fn sort_crowds(keys: &mut [u64], ends: &[u32]) {
    let mut start = 0;
    for end in ends {
        let end = *end as usize;
        match keys.get_mut(start..end) {
            Some(crowd) if crowd.len() > INSERTION_MAX as usize => crowd.sort_unstable(),
            _ => {}
        }
        start = end;
    }
}

/// The key of each number, and the least and the greatest of them.
struct KeysOf<'a> {
    values: &'a [f64],
    keys: &'a mut [u64],
}

impl Kernel for KeysOf<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run(self) -> (u64, u64) {
        let (mut least, mut greatest) = (u64::MAX, 0);
        for (kept, value) in self.keys.iter_mut().zip(self.values) {
            let key = key(*value);
            least = least.min(key);
            greatest = greatest.max(key);
            *kept = key;
        }
        (least, greatest)
    }
}

/// The number of each key.
struct ValuesOf<'a> {
    keys: &'a [u64],
    least: u64,
    values: &'a mut [f64],
}

impl Kernel for ValuesOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (value, key) in self.values.iter_mut().zip(self.keys) {
            *value = value_of(key.wrapping_add(self.least));
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

/// The number of a [`key`].
#[inline(always)]
fn value_of(key: u64) -> f64 {
    let all_if_positive = (key.cast_signed() >> 63).cast_unsigned();
    f64::from_bits(key ^ (!all_if_positive | 1 << 63))
}

/// Sorts in time linear in the numbers and in the places that they are off by.
#[inline]
fn insertion_sort(keys: &mut [u64]) {
    for end in 1..keys.len() {
        let key = keys[end];
        let mut at = end;
        while at > 0 && keys[at - 1] > key {
            keys[at] = keys[at - 1];
            at -= 1;
        }
        keys[at] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use alloc::vec::Vec;

    #[test]
    fn every_kind_of_data_is_sorted_as_the_standard_library_does() {
        let unit = |i: u64| (split_mix(5, i) >> 11) as f64 / (1_u64 << 53) as f64;
        let kinds: [fn(f64) -> f64; 10] = [
            |u| u,
            |u| -u,
            |u| u - 0.5,
            |u| (u * 40.0).floor(),
            |u| f64::from_bits(u.to_bits() << 2 >> 2),
            |u| if u < 0.01 { 1e300 } else { 1e6 + u },
            |u| if u < 0.3 { -0.0 } else { 0.0 },
            |_| 7.0,
            |u| -(1.0 - u).ln(),
            |u| if u < 0.5 { f64::MIN } else { f64::MAX },
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
