//! Number to bin and back, with additions and multiplications only, so that every platform puts a
//! number into the same bin.

/// Coefficients of the cubic `((A s + B) s + C) s` that stands for `log2(1 + s)` on `[0, 1)`.
/// It meets `log2` in value at both ends and in slope at the joints.
const A: f64 = 6.0 / 35.0;
const B: f64 = -3.0 / 5.0;
const C: f64 = 10.0 / 7.0;

/// Least slope of the approximate base-2 logarithm against the natural one, at `s = 0` and 2/3.
const SLOPE_MIN: f64 = 10.0 / 7.0;

const MANTISSA_BITS: u32 = 52;
const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i64 = 1023;

/// 2^52: from here on the last bit of a number counts ones.
const FIRST_ODD: f64 = 4_503_599_627_370_496.0;
/// What the exponent zero is stored as, added to 2^52.
const EXPONENT_ZERO: f64 = FIRST_ODD + 1023.0;
/// 3 * 2^51: a number below 2^31, added to it, is rounded and stands in its low 32 bits.
const INTEGER: f64 = 1.5 * FIRST_ODD;

/// Bins whose bounds are at most a factor `(1 + a) / (1 - a)` apart, `a` being the relative error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mapping {
    /// Width of a bin on the scale of the approximate logarithm.
    width: f64,
    bins_per_unit: f64,
}

impl Mapping {
    /// `relative_error` was checked by the builder to be at most one half.
    pub(super) fn new(relative_error: f64) -> Self {
        let width = SLOPE_MIN * 2.0 * inverse_tanh(relative_error);
        Self {
            width,
            bins_per_unit: 1.0 / width,
        }
    }

    /// Bin of a positive normal number.
    ///
    /// Rounded to the nearest by adding `INTEGER`, then down: the same as `floor`, and it needs no
    /// conversion that only newer vector instructions have.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(super) fn index(&self, value: f64) -> i32 {
        let scaled = approximate_log2(value) * self.bins_per_unit;
        let shifted = scaled + INTEGER;
        let nearest = (shifted.to_bits() as u32).cast_signed();
        nearest.wrapping_sub(i32::from(shifted - INTEGER > scaled))
    }

    /// Number within the relative error of every number of the bin.
    pub(super) fn value(&self, index: i32) -> f64 {
        let low = power(f64::from(index) * self.width);
        let high = power((f64::from(index) + 1.0) * self.width);
        // Harmonic mean: as far from both ends, relative to each end.
        low * (2.0 / (1.0 + low / high))
    }
}

#[inline(always)]
fn approximate_log2(value: f64) -> f64 {
    let bits = value.to_bits();
    // The exponent as the low bits of a number of 2^52 and more, which it is then taken from.
    let exponent = f64::from_bits((bits >> MANTISSA_BITS) | FIRST_ODD.to_bits()) - EXPONENT_ZERO;
    let s = f64::from_bits((bits & MANTISSA_MASK) | 1.0_f64.to_bits()) - 1.0;
    ((A * s + B) * s + C) * s + exponent
}

/// Inverse of [`approximate_log2`], held inside the normal numbers.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the two checks")]
fn power(log: f64) -> f64 {
    if log <= -1022.0 {
        return f64::MIN_POSITIVE;
    }
    if log >= 1024.0 {
        return f64::MAX;
    }
    let mut exponent = log as i64;
    exponent -= i64::from(exponent as f64 > log);
    let target = log - exponent as f64;
    // Newton's method; the slope stays between 0.74 and 1.43, so each step at least doubles the
    // correct digits and six pass the 53 bits of the type.
    let mut s = target;
    for _ in 0..6 {
        let value = ((A * s + B) * s + C) * s;
        let slope = (3.0 * A * s + 2.0 * B) * s + C;
        s -= (value - target) / slope;
    }
    let s = s.clamp(0.0, 1.0);
    (1.0 + s) * f64::from_bits(((exponent + EXPONENT_BIAS).cast_unsigned()) << MANTISSA_BITS)
}

/// `atanh(x)` by its series, for `0 < x <= 1/2`: 27 terms pass the precision of the type.
fn inverse_tanh(x: f64) -> f64 {
    let mut power = x;
    let mut sum = 0.0;
    let mut divisor = 1.0;
    for _ in 0..27 {
        sum += power / divisor;
        power *= x * x;
        divisor += 2.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn the_series_agrees_with_the_library() {
        for x in [1e-5_f64, 1e-3, 0.01, 0.1, 0.3, 0.5] {
            assert!((inverse_tanh(x) - x.atanh()).abs() <= 4.0 * f64::EPSILON * x.atanh());
        }
    }

    #[test]
    fn the_power_undoes_the_logarithm() {
        let mut x = 1.5e-307_f64;
        while x < 1e307 {
            assert!((power(approximate_log2(x)) / x - 1.0).abs() < 1e-12, "{x}");
            x *= 1.37;
        }
        assert_eq!(power(approximate_log2(8.0)), 8.0);
    }

    #[test]
    fn every_number_is_within_the_error_of_its_bin() {
        for error in [0.5, 0.1, 0.01, 0.001, 1e-5] {
            let mapping = Mapping::new(error);
            let mut x = f64::MIN_POSITIVE;
            while x < f64::MAX / 1.01 {
                let estimate = mapping.value(mapping.index(x));
                assert!(
                    (estimate - x).abs() <= (error + 1e-11) * x,
                    "{error} {x} {estimate}"
                );
                x *= 1.009_7;
            }
            for x in [f64::MIN_POSITIVE, 1.0, 2.0, f64::MAX] {
                let estimate = mapping.value(mapping.index(x));
                assert!(
                    (estimate - x).abs() <= (error + 1e-11) * x,
                    "{error} {x} {estimate}"
                );
            }
        }
    }

    #[test]
    fn the_bin_is_the_floor_of_the_scaled_logarithm() {
        for error in [0.5, 0.01, 1e-5] {
            let mapping = Mapping::new(error);
            for at in 0..20_000 {
                // Powers of two as well, whose logarithms are whole.
                let mantissa = if at % 5 == 0 {
                    0
                } else {
                    split_mix(4, at) & MANTISSA_MASK
                };
                let exponent = 1 + split_mix(6, at) % 2046;
                let value = f64::from_bits((exponent << MANTISSA_BITS) | mantissa);
                let scaled = approximate_log2(value) * mapping.bins_per_unit;
                assert_eq!(
                    f64::from(mapping.index(value)),
                    scaled.floor(),
                    "{error} {value}"
                );
            }
        }
    }

    #[test]
    fn bins_ascend_with_their_numbers() {
        let mapping = Mapping::new(0.01);
        let (mut x, mut last) = (1e-3_f64, i32::MIN);
        while x < 1e3 {
            let index = mapping.index(x);
            assert!(index >= last);
            last = index;
            x *= 1.000_3;
        }
    }
}
