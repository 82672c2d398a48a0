//! Sizes of the table, and what a hash says about it.
//!
//! Source: Graf, Lemire, "Binary fuse filters: fast and smaller than xor filters", 2022; sizes as in
//! the authors' implementation.

use crate::hash::split_mix;

/// Bits of a mixed hash; the upper six bits of a word are left for a count.
pub(super) const HASH_BITS: u32 = 58;

/// Base-2 logarithm of the longest segment.
pub(super) const SEGMENT_BITS_MAX: u32 = 18;

/// A table of `segments + 2` segments of `2^segment_bits` fingerprints. A key has one position in each
/// of three segments in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) segment_bits: u32,
    /// Segments that can be the first of a key.
    pub(super) segments: u32,
}

impl Layout {
    /// The layout for a number of keys up to 2^30.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive numbers"
    )]
    pub(super) fn for_keys(keys: u32) -> Self {
        let keys = f64::from(keys.max(2));
        let bits = libm::floor(libm::log(keys) / libm::log(3.33) + 2.25) as u32;
        let segment_bits = bits.min(SEGMENT_BITS_MAX);
        let factor = (0.875 + 0.25 * libm::log(1e6) / libm::log(keys)).max(1.125);
        let slots = libm::round(keys * factor) as u32;
        let all = slots.div_ceil(1 << segment_bits);
        Self {
            segment_bits,
            segments: all.saturating_sub(2).max(1),
        }
    }

    /// Number of fingerprints.
    pub(super) const fn slots(self) -> usize {
        (self.segments as usize + 2) << self.segment_bits
    }

    /// The three positions of a mixed hash, in segments that follow each other.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "positions are below 2^31")]
    pub(super) const fn positions(self, mixed: u64) -> [usize; 3] {
        let first_slots = (self.segments as u128) << self.segment_bits;
        let first = (((mixed << (64 - HASH_BITS)) as u128 * first_slots) >> 64) as usize;
        let segment = 1 << self.segment_bits;
        let (middle, low) = ((mixed >> 18) as usize, mixed as usize);
        [
            first,
            (first + segment) ^ (middle & (segment - 1)),
            (first + 2 * segment) ^ (low & (segment - 1)),
        ]
    }

    /// [`positions`](Self::positions) in numbers that vector instructions multiply.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "positions are below 2^31")]
    pub(super) const fn positions_by_halves(self, mixed: u64) -> [u32; 3] {
        // Half of the bits of a mixed hash each.
        const LOW_BITS: u32 = HASH_BITS - 32;
        let first_slots = (self.segments as u64) << self.segment_bits;
        let (upper, lower) = (mixed >> LOW_BITS, mixed & ((1 << LOW_BITS) - 1));
        let first = (upper * first_slots + ((lower * first_slots) >> LOW_BITS)) >> 32;
        let (first, segment) = (first as u32, 1 << self.segment_bits);
        let (middle, low) = ((mixed >> 18) as u32, mixed as u32);
        [
            first,
            (first + segment) ^ (middle & (segment - 1)),
            (first + 2 * segment) ^ (low & (segment - 1)),
        ]
    }
}

/// A hash mixed for an attempt at a table.
#[inline(always)]
pub(super) const fn mixed(hash: u64, multiplier: u64) -> u64 {
    let h = hash.wrapping_mul(multiplier);
    (h ^ (h >> 32)) >> (64 - HASH_BITS)
}

/// The odd number by which [`mixed`] multiplies the hashes of an attempt.
pub(super) const fn multiplier_of(attempt: u32) -> u64 {
    split_mix(0x6269_6e66_7573_6538, attempt as u64) | 1
}

/// Fingerprint of a mixed hash.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower eight bits are meant"
)]
pub(super) const fn fingerprint(mixed: u64) -> u8 {
    (mixed ^ (mixed >> 32)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_in_three_segments_in_a_row() {
        for keys in [0, 1, 2, 10, 1_000, 1_000_000, 1 << 30] {
            let layout = Layout::for_keys(keys);
            let mask = (1 << HASH_BITS) - 1;
            let hashes = (0..1_000).map(|i| split_mix(1, i) & mask).chain([0, mask]);
            for hash in hashes {
                let positions = layout.positions(hash);
                let by_halves = layout.positions_by_halves(hash);
                assert_eq!(by_halves.map(|position| position as usize), positions);
                let [a, b, c] = positions.map(|position| position >> layout.segment_bits);
                assert_eq!((b, c), (a + 1, a + 2));
                assert!(positions[2] < layout.slots());
            }
        }
    }

    #[test]
    fn a_million_keys_take_nine_bits_each() {
        let slots = Layout::for_keys(1_000_000).slots() as f64;
        assert!(8.0 * slots / 1e6 <= 9.1, "{slots}");
    }
}
