//! From registers to a count.
//!
//! Source: Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm
//! 6 (improved raw estimator): no bias tables and no switch between ranges.

use super::coupon::rank_max;

/// `1 / (2 ln 2)`.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// Estimated number of distinct hashes behind the registers.
pub(super) fn estimate_dense(registers: &[u8], precision: u8) -> f64 {
    estimate_ranks(registers, rank_max(precision))
}

/// The same for ranks that end at `top`.
#[expect(clippy::cast_precision_loss, reason = "at most 2^21 registers")]
pub(in crate::distinct) fn estimate_ranks(registers: &[u8], top: u8) -> f64 {
    let mut histogram = [0_u32; 64];
    for rank in registers {
        if let Some(bin) = histogram.get_mut(usize::from(*rank)) {
            *bin += 1;
        }
    }
    let total = registers.len() as f64;
    let top = usize::from(top);
    let mut z = total * tau(1.0 - f64::from(histogram[top]) / total);
    for count in histogram[1..top].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += total * sigma(f64::from(histogram[0]) / total);
    ALPHA * total * total / z
}

/// Estimated number of distinct hashes behind some distinct coupons: their number, and the coupons
/// that were lost because two hashes have the same one, which happens to a pair with probability
/// `1 / (3 * 2^26)`.
#[expect(clippy::cast_precision_loss, reason = "below 2^15")]
pub(super) fn estimate_sparse(coupons: usize) -> f64 {
    let count = coupons as f64;
    libm::round(count + count * count / (6.0 * f64::from(1 << 26)))
}

/// `x + sum of x^(2^k) 2^(k-1)` over k from 1; infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let mut y = 1.0;
    let mut z = x;
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// `(1 - x - sum of (1 - x^(2^-k))^2 2^-k over k from 1) / 3`.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let mut y = 1.0;
    let mut z = 1.0 - x;
    loop {
        x = libm::sqrt(x);
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_full_registers_are_the_ends() {
        assert_eq!(estimate_dense(&[0; 16], 4), 0.0);
        assert!(estimate_dense(&[61; 16], 4).is_infinite());
    }

    #[test]
    fn the_constant_is_right() {
        assert_eq!(ALPHA, 0.5 / core::f64::consts::LN_2);
    }

    #[test]
    fn few_coupons_count_themselves() {
        for coupons in 0..10_000 {
            assert_eq!(estimate_sparse(coupons), coupons as f64);
        }
    }
}
