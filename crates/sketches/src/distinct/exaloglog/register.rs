//! Update values and what a register keeps of them.
//!
//! With `t` and `d` of the shape and `p` of the sketch: bits `t` to `t + p - 1` of a hash choose the
//! register; `a` is the number of leading zeros among the bits above them, at most `64 - p - t`; the
//! update value is `a * 2^t + (lowest t bits) + 1`. A register is `u * 2^d + w`: the greatest value
//! `u`, and in bit `d - j` of it whether value `u - j` occurred. Value 0 counts as occurred in every
//! register that is not empty.
//!
//! Source: Ertl, "ExaLogLog: space-efficient and practical approximate distinct counting up to the
//! exa-scale", 2024, algorithms 2 to 4.

use super::shape::Widths;

/// Greatest number of leading zeros.
pub(super) const fn zeros_max<S: Widths>(precision: u8) -> u32 {
    64 - precision as u32 - S::T
}

/// Greatest update value.
pub(super) const fn value_max<S: Widths>(precision: u8) -> u32 {
    (zeros_max::<S>(precision) + 1) << S::T
}

/// Exponent of an update value: a hash has the value with probability `2^-exponent`.
pub(super) const fn exponent<S: Widths>(zeros: u32, precision: u8) -> u32 {
    let exponent = S::T + 1 + zeros;
    let most = 64 - precision as u32;
    if exponent < most { exponent } else { most }
}

/// Register and update value of a hash.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "18 bits and t bits")]
pub(super) const fn value_of<S: Widths>(hash: u64, precision: u8) -> (usize, u32) {
    let register = (hash >> S::T) & ((1 << precision) - 1);
    let zeros = (hash | ((1 << (precision as u32 + S::T)) - 1)).leading_zeros();
    let low = (hash & ((1 << S::T) - 1)) as u32;
    (register as usize, (zeros << S::T) + low + 1)
}

/// A register after an update value. The first test is the one that predicts well: most values of a
/// register that has seen many lie below its kept bits.
#[inline(always)]
pub(super) const fn raised<S: Widths>(register: u32, value: u32) -> u32 {
    let greatest = register >> S::D;
    if value + S::D < greatest {
        return register;
    }
    if value > greatest {
        return (value << S::D) | occurred::<S>(register, value - greatest);
    }
    let kept = (1 << S::D) - 1;
    register | (((1 << S::D) >> (greatest - value)) & kept)
}

/// The register of both streams.
pub(super) const fn merged<S: Widths>(left: u32, right: u32) -> u32 {
    let (high, low) = if left < right {
        (right, left)
    } else {
        (left, right)
    };
    let apart = (high >> S::D) - (low >> S::D);
    if apart == 0 {
        high | low
    } else {
        high | occurred::<S>(low, apart)
    }
}

/// The bits of a register, its greatest value among them, as seen from a value that is higher by
/// `apart`, which is above 0.
#[inline(always)]
const fn occurred<S: Widths>(register: u32, apart: u32) -> u32 {
    let bits = (1 << S::D) | (register & ((1 << S::D) - 1));
    if apart < 32 { bits >> apart } else { 0 }
}

/// Whether some stream gives this register.
pub(super) const fn is_register<S: Widths>(register: u32, precision: u8) -> bool {
    let (greatest, bits) = (register >> S::D, register & ((1 << S::D) - 1));
    if greatest == 0 {
        return bits == 0;
    }
    if greatest > S::D {
        return greatest <= value_max::<S>(precision);
    }
    // Bit `d - greatest` stands for value 0; there is nothing below.
    bits.trailing_zeros() == S::D - greatest
}

/// The values from 1 up that a register says occurred.
pub(super) fn values<S: Widths>(register: u32) -> impl Iterator<Item = u32> {
    let greatest = register >> S::D;
    (0..=S::D)
        .map_while(move |below| greatest.checked_sub(below).map(|value| (below, value)))
        .filter(move |(below, value)| {
            *value > 0 && (*below == 0 || register & (1 << (S::D - below)) != 0)
        })
        .map(|(_, value)| value)
}

/// Register and update value at a lower precision. The upper bits of the register number continue
/// the leading zeros of a value that had only zeros.
pub(super) fn reduced<S: Widths>(register: usize, value: u32, from: u8, to: u8) -> (usize, u32) {
    let dropped = u32::from(from - to);
    let upper = register >> to;
    let more = if (value - 1) >> S::T < zeros_max::<S>(from) {
        0
    } else {
        dropped - (usize::BITS - upper.leading_zeros())
    };
    (register & ((1 << to) - 1), value + (more << S::T))
}

#[cfg(test)]
mod tests {
    use super::super::shape::{Exa, Ultra};
    use super::*;
    use crate::hash::split_mix;
    use std::{collections::BTreeSet, vec::Vec};

    /// The register of a set of values, by the definition.
    fn plain<S: Widths>(values: &BTreeSet<u32>) -> u32 {
        let Some(greatest) = values.last() else {
            return 0;
        };
        let mut register = greatest << S::D;
        for below in 1..=S::D.min(*greatest) {
            let value = greatest - below;
            if value == 0 || values.contains(&value) {
                register |= 1 << (S::D - below);
            }
        }
        register
    }

    fn registers_follow_the_definition<S: Widths>() {
        for trial in 0..2_000_u64 {
            let draw = |i: u64| {
                let spread = 1 + split_mix(trial, 0) % 60;
                u32::try_from(1 + split_mix(trial, i) % spread).unwrap()
            };
            let all: Vec<u32> = (1..1 + trial % 12).map(draw).collect();
            let (left, right) = all.split_at(all.len() / 2);
            let build = |values: &[u32]| values.iter().fold(0, |r, v| raised::<S>(r, *v));
            let expected = plain::<S>(&all.iter().copied().collect());
            assert_eq!(build(&all), expected);
            assert_eq!(merged::<S>(build(left), build(right)), expected);
            assert_eq!(merged::<S>(build(right), build(left)), expected);
            assert!(is_register::<S>(expected, 4));
            let kept: BTreeSet<u32> = values::<S>(expected).collect();
            assert_eq!(plain::<S>(&kept), expected);
            assert!(kept.iter().all(|value| all.contains(value)));
        }
    }

    #[test]
    fn a_register_is_that_of_the_definition() {
        registers_follow_the_definition::<Ultra>();
        registers_follow_the_definition::<Exa>();
    }

    #[test]
    fn registers_that_no_stream_gives_are_known() {
        assert!(is_register::<Ultra>(0, 4));
        assert!(!is_register::<Ultra>(1, 4));
        assert!(is_register::<Ultra>(0b1_10, 4) && !is_register::<Ultra>(0b1_11, 4));
        assert!(!is_register::<Ultra>(0b1_01, 4) && !is_register::<Ultra>(0b1_00, 4));
        assert!(is_register::<Ultra>(0b10_01, 4) && is_register::<Ultra>(0b10_11, 4));
        assert!(!is_register::<Ultra>(0b10_10, 4));
        assert!(is_register::<Ultra>(61 << 2, 4) && !is_register::<Ultra>(62 << 2, 4));
        assert!(is_register::<Exa>(236 << 20, 4) && !is_register::<Exa>(237 << 20, 4));
    }

    fn values_reduce<S: Widths>() {
        for i in 0..20_000_u64 {
            let hash = split_mix(1, i) & (u64::MAX << (i % 64)) & (u64::MAX >> (i / 64 % 64));
            for from in [4, 9, 18] {
                let (register, value) = value_of::<S>(hash, from);
                assert!((1..=value_max::<S>(from)).contains(&value));
                for to in 4..=from {
                    let expected = value_of::<S>(hash, to);
                    assert_eq!(reduced::<S>(register, value, from, to), expected);
                }
            }
        }
    }

    #[test]
    fn values_reduce_to_those_of_the_lower_precision() {
        values_reduce::<Ultra>();
        values_reduce::<Exa>();
    }

    #[test]
    fn exponents_are_probabilities() {
        for precision in [4, 10, 18] {
            let sum: f64 = (0..=zeros_max::<Exa>(precision))
                .map(|zeros| 4.0 * 0.5_f64.powi(exponent::<Exa>(zeros, precision).cast_signed()))
                .sum();
            assert_eq!(sum, 1.0);
        }
    }
}
