//! Bin and value of an element in each round, and the rounds that fill empty bins.
//!
//! A value is a 32-bit number that orders rounds before values: a value of the first round has its
//! highest bit clear and 31 bits of hash; one of a later round has that bit set, 13 bits of round
//! and 18 bits of hash. `u32::MAX` stands for an empty bin and is never a value.

use crate::{
    hash::split_mix,
    simd::{
        bins::place_of,
        kernel::{Kernel, run_at},
        level,
    },
};

/// Least value of a round after the first.
pub(super) const LATER: u32 = 1 << 31;
const ROUND_SHIFT: u32 = 18;
const EMPTY: u32 = u32::MAX;

/// Bin and value of a hash in a later round. In the second half of the rounds the bin is that of the
/// round, so that twice as many rounds as bins fill every bin.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "rounds are at most 8191")]
fn later_round(hash: u64, round: usize, bins: usize) -> (usize, u32) {
    let mixed = split_mix(hash, round as u64);
    let (bin, _) = place_of(mixed, bins);
    let value = LATER | (round as u32) << ROUND_SHIFT | mixed as u32 >> (32 - ROUND_SHIFT);
    (round.checked_sub(bins).unwrap_or(bin), value.min(EMPTY - 1))
}

/// Whether every bin has a value of the first round, so that later rounds change nothing.
pub(super) fn is_full(minima: &[u32]) -> bool {
    minima.iter().fold(0, |all, minimum| all | minimum) < LATER
}

/// Takes elements that have been through the first round through as many more as their set needs.
pub(super) fn settle(minima: &mut [u32], hashes: &[u64]) {
    if hashes.is_empty() {
        return;
    }
    for round in 1..2 * minima.len() {
        if last_round(minima) < round {
            return;
        }
        let round = Round {
            minima,
            hashes,
            round,
        };
        run_at(level(), round);
    }
}

/// One later round of many elements.
struct Round<'a> {
    minima: &'a mut [u32],
    hashes: &'a [u64],
    round: usize,
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Hashes whose places are found at once.
        const BATCH: usize = 64;
        let (mut bins, mut values) = ([0; BATCH], [0; BATCH]);
        for hashes in self.hashes.chunks(BATCH) {
            for ((bin, value), hash) in bins.iter_mut().zip(&mut values).zip(hashes) {
                (*bin, *value) = later_round(*hash, self.round, self.minima.len());
            }
            for (bin, value) in bins.iter().zip(&values).take(hashes.len()) {
                // A branch, since few bins are still open in most rounds.
                match self.minima.get_mut(*bin) {
                    Some(minimum) if *value < *minimum => *minimum = *value,
                    _ => {}
                }
            }
        }
    }
}

/// Latest round of all bins; beyond every round while a bin is empty.
fn last_round(minima: &[u32]) -> usize {
    match minima.iter().fold(0, |last, minimum| last.max(*minimum)) {
        EMPTY => usize::MAX,
        last if last >= LATER => ((last - LATER) >> ROUND_SHIFT) as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    /// The definition: every round of every element.
    fn all_rounds(hashes: &[u64], bins: usize) -> Vec<u32> {
        let mut minima = vec![EMPTY; bins];
        for hash in hashes {
            let first = place_of(*hash, bins);
            let later = (1..2 * bins).map(|round| later_round(*hash, round, bins));
            for (bin, value) in core::iter::once(first).chain(later) {
                minima[bin] = minima[bin].min(value);
            }
        }
        minima
    }

    #[test]
    fn stopping_early_changes_nothing() {
        for bins in [1, 2, 7, 64, 128] {
            for count in [1, 2, 10, 100, 1000] {
                let hashes: Vec<u64> = (0..count).map(|i| split_mix(count, i)).collect();
                let mut minima = vec![EMPTY; bins];
                for hash in &hashes {
                    let (bin, value) = place_of(*hash, bins);
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
        assert!(place_of(u64::MAX, 4096).1 < LATER);
    }
}
