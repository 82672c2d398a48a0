//! The permutations of MinHash and the plain update that every faster one is held to.
//!
//! An element with the 64-bit hash `h` has the value `low(h) + multiplier(i) * high(h)`, modulo
//! 2^32, under permutation `i`, `low` and `high` being its 32-bit halves. Under any two
//! permutations the two values of an element are independent, as far as the low bits that the
//! difference of the multipliers divides by, and elements are independent of each other; the
//! variance of the estimate is therefore that of independent permutations.

use crate::hash::split_mix;

/// Most permutations of a signature; the error shrinks with the square root only, and beyond this
/// counting the set itself is cheaper.
pub(crate) const PERMUTATIONS_MAX: usize = 4096;

/// Multiplier of each permutation: the high halves of a SplitMix64 row, part of the byte format.
pub(super) static MULTIPLIERS: [u32; PERMUTATIONS_MAX] = {
    let mut row = [0; PERMUTATIONS_MAX];
    let mut at = 0;
    while at < PERMUTATIONS_MAX {
        row[at] = (split_mix(0x6d69_6e68_6173_6831, at as u64) >> 32) as u32;
        at += 1;
    }
    row
};

/// Lowers each minimum to the value of one element.
#[expect(
    clippy::cast_possible_truncation,
    reason = "takes the halves of the hash"
)]
pub(super) fn lower_minima(minima: &mut [u32], multipliers: &[u32], hash: u64) {
    let (low, high) = (hash as u32, (hash >> 32) as u32);
    for (minimum, multiplier) in minima.iter_mut().zip(multipliers) {
        *minimum = (*minimum).min(low.wrapping_add(multiplier.wrapping_mul(high)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn multipliers_are_distinct_and_never_change() {
        let mut row: Vec<u32> = MULTIPLIERS.to_vec();
        assert_eq!(row[..3], [2_509_705_277, 803_519_295, 2_168_844_071]);
        row.sort_unstable();
        row.dedup();
        assert_eq!(row.len(), PERMUTATIONS_MAX);
    }
}
