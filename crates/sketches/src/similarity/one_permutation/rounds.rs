//! Bin and value of an element in each round, and the rounds that fill empty bins.
//!
//! A value is a 32-bit number that orders rounds before values: a value of the first round has its
//! highest bit clear and 31 bits of hash; one of a later round has that bit set, 13 bits of round
//! and 18 bits of hash. `u32::MAX` stands for an empty bin and is never a value.

use crate::{
    hash::split_mix,
    simd::{
        Level,
        kernel::{Kernel, run_at},
    },
};

/// Least value of a round after the first.
pub(super) const LATER: u32 = 1 << 31;
const ROUND_SHIFT: u32 = 18;
const EMPTY: u32 = u32::MAX;

/// Bin and value of a hash in the first round.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "halves of the hash; a bin below the bins"
)]
pub(super) fn first_round(hash: u64, bins: usize) -> (usize, u32) {
    let bin = ((hash >> 32) * bins as u64) >> 32;
    (bin as usize, hash as u32 >> 1)
}

/// Hashes whose bins are found at once.
const BATCH: usize = 128;

/// Takes many elements through the first round.
pub(super) fn first_rounds(level: Level, minima: &mut [u32], hashes: &[u64]) {
    let (mut bins, mut values) = ([0; BATCH], [0; BATCH]);
    for hashes in hashes.chunks(BATCH) {
        let kernel = Places {
            hashes,
            all: minima.len(),
            bins: &mut bins,
            values: &mut values,
        };
        run_at(level, kernel);
        let places = bins.iter().zip(&values).take(hashes.len());
        for (bin, value) in places {
            if let Some(minimum) = minima.get_mut(*bin as usize) {
                *minimum = (*minimum).min(*value);
            }
        }
    }
}

/// Bins and values of many hashes in the first round.
struct Places<'a> {
    hashes: &'a [u64],
    /// Number of bins.
    all: usize,
    bins: &'a mut [u32; BATCH],
    values: &'a mut [u32; BATCH],
}

impl Kernel for Places<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "halves of the hash; bins are few"
    )]
    fn run(self) {
        let all = u64::from(self.all as u32);
        let places = self.bins.iter_mut().zip(self.values);
        for ((bin, value), hash) in places.zip(self.hashes) {
            *bin = (((hash >> 32) * all) >> 32) as u32;
            *value = *hash as u32 >> 1;
        }
    }
}

/// Bin and value of a hash in a later round. In the second half of the rounds the bin is that of the
/// round, so that twice as many rounds as bins fill every bin.
#[expect(clippy::cast_possible_truncation, reason = "rounds are at most 8191")]
fn later_round(hash: u64, round: usize, bins: usize) -> (usize, u32) {
    let mixed = split_mix(hash, round as u64);
    let (bin, _) = first_round(mixed, bins);
    let value = LATER | (round as u32) << ROUND_SHIFT | mixed as u32 >> (32 - ROUND_SHIFT);
    (round.checked_sub(bins).unwrap_or(bin), value.min(EMPTY - 1))
}

/// Whether every bin has a value of the first round, so that later rounds change nothing.
pub(super) fn is_full(minima: &[u32]) -> bool {
    minima.iter().all(|minimum| *minimum < LATER)
}

/// Takes elements that have been through the first round through as many more as their set needs.
pub(super) fn settle(minima: &mut [u32], hashes: &[u64]) {
    if hashes.is_empty() {
        return;
    }
    let bins = minima.len();
    for round in 1..2 * bins {
        if last_round(minima) < round {
            return;
        }
        for hash in hashes {
            let (bin, value) = later_round(*hash, round, bins);
            if let Some(minimum) = minima.get_mut(bin) {
                *minimum = (*minimum).min(value);
            }
        }
    }
}

/// Latest round of all bins; beyond every round while a bin is empty.
fn last_round(minima: &[u32]) -> usize {
    match minima.iter().max() {
        Some(&EMPTY) => usize::MAX,
        Some(last) if *last >= LATER => ((last - LATER) >> ROUND_SHIFT) as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::available_levels;
    use alloc::{vec, vec::Vec};

    /// The definition: every round of every element.
    fn all_rounds(hashes: &[u64], bins: usize) -> Vec<u32> {
        let mut minima = vec![EMPTY; bins];
        for hash in hashes {
            let first = first_round(*hash, bins);
            let later = (1..2 * bins).map(|round| later_round(*hash, round, bins));
            for (bin, value) in core::iter::once(first).chain(later) {
                minima[bin] = minima[bin].min(value);
            }
        }
        minima
    }

    #[test]
    fn every_level_places_as_one_by_one() {
        for bins in [1, 7, 128, 4096] {
            for count in [0, 1, 9, 127, 128, 300] {
                let hashes: Vec<u64> = (0..count).map(|i| split_mix(count, i)).collect();
                let mut twin = vec![EMPTY; bins];
                for hash in &hashes {
                    let (bin, value) = first_round(*hash, bins);
                    twin[bin] = twin[bin].min(value);
                }
                for level in available_levels() {
                    let mut minima = vec![EMPTY; bins];
                    first_rounds(level, &mut minima, &hashes);
                    assert_eq!(minima, twin, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn stopping_early_changes_nothing() {
        for bins in [1, 2, 7, 64, 128] {
            for count in [1, 2, 10, 100, 1000] {
                let hashes: Vec<u64> = (0..count).map(|i| split_mix(count, i)).collect();
                let mut minima = vec![EMPTY; bins];
                for hash in &hashes {
                    let (bin, value) = first_round(*hash, bins);
                    minima[bin] = minima[bin].min(value);
                }
                settle(&mut minima, &hashes);
                assert_eq!(minima, all_rounds(&hashes, bins));
                assert!(!minima.contains(&EMPTY));
            }
        }
    }

    #[test]
    fn values_of_the_last_round_of_the_most_bins_are_in_order_and_not_empty() {
        let rounds: Vec<u32> = (1..8192)
            .map(|round| later_round(7, round, 4096).1)
            .collect();
        assert!(rounds.is_sorted() && rounds.iter().all(|value| (LATER..EMPTY).contains(value)));
        let (bin, value) = later_round(u64::MAX, 8191, 4096);
        assert!(bin == 4095 && value < EMPTY);
        assert!(first_round(u64::MAX, 4096).1 < LATER);
    }
}
