//! What HyperLogLog keeps of a hash: a register and a rank, or a coupon from which both follow.
//!
//! The register is the top `precision` bits of the hash; the rank is one more than the number of
//! zero bits that follow, at most `65 - precision`. A coupon keeps the register and rank for a
//! precision of 26, which hold those of every lower precision.

/// Bits of the register inside a coupon.
const INDEX_BITS: u32 = 26;
const RANK_BITS: u32 = 6;
const RANK_MASK: u32 = (1 << RANK_BITS) - 1;

/// Greatest rank at a precision.
pub(super) const fn rank_max(precision: u8) -> u8 {
    65 - precision
}

/// Greatest rank inside a coupon.
pub(super) const COUPON_RANK_MAX: u32 = 65 - INDEX_BITS;

/// Coupon of a hash: 26 bits of register, then 6 bits of rank.
pub(super) const fn coupon_of(hash: u64) -> u32 {
    let index = (hash >> (64 - INDEX_BITS)) as u32;
    let rank = ((hash << INDEX_BITS) | (1 << (INDEX_BITS - 1))).leading_zeros() + 1;
    (index << RANK_BITS) | rank
}

/// Whether some hash has this coupon.
pub(super) const fn is_coupon(coupon: u32) -> bool {
    let rank = coupon & RANK_MASK;
    rank >= 1 && rank <= COUPON_RANK_MAX
}

/// Register and rank of the hash behind a coupon, for a precision up to 26.
#[expect(clippy::cast_possible_truncation, reason = "a rank is at most 61")]
pub(super) const fn register_of_coupon(coupon: u32, precision: u8) -> (usize, u8) {
    let register = coupon >> (32 - precision as u32);
    let below = (coupon << precision) & !RANK_MASK_SHIFTED[precision as usize];
    let rank = if below == 0 {
        INDEX_BITS - precision as u32 + (coupon & RANK_MASK)
    } else {
        below.leading_zeros() + 1
    };
    (register as usize, rank as u8)
}

/// The rank bits of a coupon after it was shifted left by the precision.
const RANK_MASK_SHIFTED: [u32; 27] = {
    let mut row = [0; 27];
    let mut precision = 0;
    while precision < 27 {
        row[precision] = RANK_MASK << precision;
        precision += 1;
    }
    row
};

/// Register and rank at a lower precision, of a register and rank.
#[expect(clippy::cast_possible_truncation, reason = "at most 18 bits")]
pub(super) const fn reduced(register: usize, rank: u8, from: u8, to: u8) -> (usize, u8) {
    let dropped = from - to;
    let below = register & ((1 << dropped) - 1);
    let rank = if below == 0 {
        dropped + rank
    } else {
        dropped - (usize::BITS - below.leading_zeros()) as u8 + 1
    };
    (register >> dropped, rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::ranks::register_of};

    /// The definition, bit by bit.
    fn plain(hash: u64, precision: u8) -> (usize, u8) {
        let mut rank = 1;
        let mut bit = 64 - precision;
        while bit > 0 && (hash >> (bit - 1)) & 1 == 0 {
            rank += 1;
            bit -= 1;
        }
        (usize::try_from(hash >> (64 - precision)).unwrap(), rank)
    }

    #[test]
    fn all_ways_to_a_register_agree() {
        for i in 0..20_000_u64 {
            // Many hashes with long runs of zeros.
            let hash = split_mix(1, i) & (u64::MAX << (i % 64)) & (u64::MAX >> (i / 64 % 64));
            for precision in 4..=18 {
                let expected = plain(hash, precision);
                assert_eq!(register_of(hash, precision), expected);
                assert!(expected.1 <= rank_max(precision));
                assert!(is_coupon(coupon_of(hash)));
                assert_eq!(register_of_coupon(coupon_of(hash), precision), expected);
                for to in 4..=precision {
                    let (register, rank) = expected;
                    assert_eq!(reduced(register, rank, precision, to), plain(hash, to));
                }
            }
        }
    }
}
