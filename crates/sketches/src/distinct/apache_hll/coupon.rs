//! What the library keeps of a key: 26 bits of slot, and one more than the zero bits that another
//! word of the hash starts with.

use crate::hash::murmur3::murmur3_x64_128;

/// Seed of every HyperLogLog of the library.
const SEED: u64 = 9001;
const SLOT_BITS: u32 = 26;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// Greatest value: six bits.
pub(super) const VALUE_MAX: u8 = 63;

/// Coupon of the bytes of a key; never 0, which stands for an empty place.
pub(super) fn coupon_of(bytes: &[u8]) -> u32 {
    let (low, high) = murmur3_x64_128(bytes, SEED);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lowest bits name the slot"
    )]
    let slot = low as u32 & SLOT_MASK;
    let value = high.leading_zeros().min(u32::from(VALUE_MAX) - 1) + 1;
    (value << SLOT_BITS) | slot
}

/// Coupon of a slot and a value.
pub(super) const fn pack(slot: u32, value: u8) -> u32 {
    (value as u32) << SLOT_BITS | slot & SLOT_MASK
}

pub(super) const fn slot(coupon: u32) -> u32 {
    coupon & SLOT_MASK
}

pub(super) const fn value(coupon: u32) -> u8 {
    (coupon >> SLOT_BITS) as u8
}

/// Estimated number of keys behind some distinct coupons: their number, and the keys whose coupon
/// another key had before.
///
/// `n` keys have `2^26 * sum over v of (1 - exp(-x 2^-v))` distinct coupons on average, with
/// `x = n / 2^26`; this is that series turned around, its first term counting pairs. It equals the table
/// of the library to eight digits for as many coupons as it keeps.
pub(super) fn estimate(coupons: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 2^20")]
    let count = coupons as f64;
    let slots = f64::from(1_u32 << SLOT_BITS);
    let (others, y) = ((count - 1.0) / slots, count / slots);
    count * (1.0 + others / 6.0 + y * y * (1.0 / 18.0 - 1.0 / 42.0))
}
