//! What the registers say, as counts: enough for the likelihood of any number of keys.
#![deny(clippy::indexing_slicing)]

use super::{
    register::{exponent, value_max, zeros_max},
    shape::{Exa, Widths},
};

/// Exponents of update values run from 1 to 60.
const EXPONENTS: usize = 64;

/// Counts of update values over all registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// By exponent, the number of values that occurred.
    pub(super) seen: [u64; EXPONENTS],
    /// By exponent, the number of values that are known not to have occurred.
    missing: [u64; EXPONENTS],
    /// Sum over the registers of the probability of a value above their greatest.
    above: f64,
}

impl Tally {
    fn new() -> Self {
        Self {
            seen: [0; EXPONENTS],
            missing: [0; EXPONENTS],
            above: 0.0,
        }
    }

    /// Sum over the registers of the probability of the values known not to have occurred.
    #[expect(
        clippy::cast_precision_loss,
        reason = "at most 2^18 registers of 21 values"
    )]
    pub(super) fn missing_probability(&self) -> f64 {
        let mut sum = self.above;
        let mut probability = 1.0;
        for count in &self.missing {
            sum += *count as f64 * probability;
            probability *= 0.5;
        }
        sum
    }

    fn add(&mut self, exponent: u32, seen: u64, missing: u64) {
        let at = exponent as usize;
        if let (Some(all), Some(none)) = (self.seen.get_mut(at), self.missing.get_mut(at)) {
            *all += seen;
            *none += missing;
        }
    }

    /// Counts `times` registers of one content, value by value.
    fn add_register<S: Widths>(&mut self, register: u32, precision: u8, times: u64) {
        let greatest = register >> S::D;
        self.add_above::<S>(greatest, precision, times);
        for below in 0..=S::D.min(greatest.saturating_sub(1)) {
            let Some(before) = (greatest - below).checked_sub(1) else {
                break;
            };
            let exponent = exponent::<S>(before >> S::T, precision);
            let occurred = below == 0 || register & (1 << (S::D - below)) != 0;
            let (seen, missing) = if occurred { (times, 0) } else { (0, times) };
            self.add(exponent, seen, missing);
        }
    }

    /// Counts the values above the greatest of `times` registers.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^18 registers")]
    fn add_above<S: Widths>(&mut self, greatest: u32, precision: u8, times: u64) {
        let Some(before) = greatest.checked_sub(1) else {
            self.above += times as f64;
            return;
        };
        let (zeros, place) = (before >> S::T, before & ((1 << S::T) - 1));
        let rest = f64::from((1 << S::T) - 1 - place) * power(exponent::<S>(zeros, precision));
        let higher = if zeros < zeros_max::<S>(precision) {
            power(zeros + 1)
        } else {
            0.0
        };
        self.above += times as f64 * (rest + higher);
    }
}

/// `2^-exponent`.
fn power(exponent: u32) -> f64 {
    f64::from_bits(u64::from(1023 - exponent) << 52)
}

/// The plain twin: register by register, value by value.
#[cfg(test)]
pub(super) fn tally_plain<S: Widths>(bytes: &[u8], precision: u8) -> Tally {
    let mut tally = Tally::new();
    for register in 0..1 << precision {
        tally.add_register::<S>(S::get(bytes, register), precision, 1);
    }
    tally
}

/// Registers of one byte: one pass that counts each of the 256 contents.
pub(super) fn tally_bytes<S: Widths>(bytes: &[u8], precision: u8) -> Tally {
    // Four tables, so that equal neighbours do not wait for each other.
    let mut counts = [[0_u32; 256]; 4];
    for four in bytes.as_chunks::<4>().0 {
        for (byte, table) in four.iter().zip(&mut counts) {
            if let Some(count) = table.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
    }
    let mut tally = Tally::new();
    let [a, b, c, d] = &counts;
    let sums = a
        .iter()
        .zip(b)
        .zip(c)
        .zip(d)
        .map(|(((a, b), c), d)| a + b + c + d);
    for (register, times) in (0_u32..).zip(sums).filter(|(_, times)| *times > 0) {
        tally.add_register::<S>(register, precision, u64::from(times));
    }
    tally
}

/// Registers of 28 bits: a register shifted left by the place of its greatest value among the four
/// of one number of leading zeros has one nibble for each such number. The bits of all six nibbles
/// are counted at once and added to lanes of 16 bits, kept for each number of leading zeros.
pub(super) fn tally_nibbles(bytes: &[u8], precision: u8) -> Tally {
    /// Registers after which a lane, which takes 4 at most from each, is emptied.
    const REGISTERS_MAX: usize = 16_382;
    const LANES: u64 = 0x000f_000f;
    let mut tally = Tally::new();
    // Every two registers are seven bytes.
    for part in bytes.chunks(REGISTERS_MAX / 2 * 7) {
        let mut greatest = [0_u32; 256];
        let mut even = [0_u64; 64];
        let mut odd = [0_u64; 64];
        let mut count = |register: u32| {
            let value = (register >> Exa::D) & 0xff;
            if let Some(times) = greatest.get_mut(value as usize) {
                *times += 1;
            }
            let before = value.wrapping_sub(1);
            let bits = ((1 << Exa::D) | (register & 0xf_ffff)) << (before & 3);
            let twos = bits - ((bits >> 1) & 0x55_5555);
            let counts = u64::from((twos & 0x33_3333) + ((twos >> 2) & 0x33_3333));
            let zeros = (before >> 2) as usize;
            if let (Some(even), Some(odd)) = (even.get_mut(zeros), odd.get_mut(zeros)) {
                // Nibbles 0 and 4, 1 and 5; 2, 3.
                *even += (counts & LANES) | ((counts >> 4) & LANES) << 32;
                *odd += ((counts >> 8) & LANES) | ((counts >> 12) & LANES) << 32;
            }
        };
        for [a, b, c, d, e, f, g] in part.as_chunks::<7>().0 {
            count(u32::from_le_bytes([*a, *b, *c, *d & 0xf]));
            count(u32::from_le_bytes([*d, *e, *f, *g]) >> 4);
        }
        add_nibbles(&mut tally, precision, &greatest, &even, &odd);
    }
    tally
}

/// Empties the lanes of [`tally_nibbles`] into a tally.
fn add_nibbles(
    tally: &mut Tally,
    precision: u8,
    greatest: &[u32; 256],
    even: &[u64; 64],
    odd: &[u64; 64],
) {
    // How many values of each nibble, the highest first, a register keeps: by the place of its
    // greatest value, four less the values above it, then four each, then the rest of the twenty.
    let mut kept = [[0_u64; 6]; 64];
    for (value, times) in (0_u32..).zip(greatest).filter(|(_, times)| **times > 0) {
        let times = u64::from(*times);
        tally.add_above::<Exa>(value, precision, times);
        if let Some(before) = value.checked_sub(1)
            && let Some(row) = kept.get_mut((before >> 2) as usize)
        {
            let place = u64::from(before & 3);
            for (cell, values) in row.iter_mut().zip([place + 1, 4, 4, 4, 4, 4 - place]) {
                *cell += times * values;
            }
        }
    }
    debug_assert!(value_max::<Exa>(precision) < 256);
    for (zeros, ((even, odd), kept)) in (0_u32..).zip(even.iter().zip(odd).zip(&kept)) {
        let lane = |lanes: u64, at: u32| (lanes >> (16 * at)) & 0xffff;
        let seen = [
            lane(*even, 3),
            lane(*even, 1),
            lane(*odd, 2),
            lane(*odd, 0),
            lane(*even, 2),
            lane(*even, 0),
        ];
        for (down, (seen, kept)) in (0_u32..).zip(seen.into_iter().zip(kept)) {
            // Values below 1 do not exist, though the bit of value 0 is set.
            if let Some(zeros) = zeros.checked_sub(down)
                && *kept > 0
            {
                tally.add(exponent::<Exa>(zeros, precision), seen, kept - seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        register::{raised, value_of},
        shape::Ultra,
    };
    use super::*;
    use crate::hash::split_mix;
    use alloc::{vec, vec::Vec};

    fn filled<S: Widths>(precision: u8, hashes: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut bytes = vec![0; S::bytes_for(1 << precision)];
        for hash in hashes {
            let (register, value) = value_of::<S>(hash, precision);
            let raised = raised::<S>(S::get(&bytes, register), value);
            S::set(&mut bytes, register, raised);
        }
        bytes
    }

    fn near(left: &Tally, right: &Tally) {
        assert_eq!((left.seen, left.missing), (right.seen, right.missing));
        let (left, right) = (left.above, right.above);
        assert!((left - right).abs() <= 1e-12 * right, "{left} {right}");
    }

    fn tallies_agree<S: Widths>() {
        for precision in [4, 5, 9, 15] {
            for n in [0, 1, 10, 100, 3_000, 100_000] {
                let bytes = filled::<S>(precision, (0..n).map(|i| split_mix(n, i)));
                near(
                    &S::tally(&bytes, precision),
                    &tally_plain::<S>(&bytes, precision),
                );
            }
            // Long runs of zeros, up to the greatest value.
            let crafted = (0..5_000).map(|i| split_mix(1, i) >> (i % 64));
            let bytes = filled::<S>(precision, crafted);
            near(
                &S::tally(&bytes, precision),
                &tally_plain::<S>(&bytes, precision),
            );
        }
    }

    #[test]
    fn fast_tallies_are_the_plain_one() {
        tallies_agree::<Ultra>();
        tallies_agree::<Exa>();
    }

    #[test]
    fn an_empty_sketch_misses_everything() {
        let tally = Ultra::tally(&[0; 16], 4);
        assert_eq!(tally.missing_probability(), 16.0);
        assert_eq!(tally.seen, [0; EXPONENTS]);
    }
}
