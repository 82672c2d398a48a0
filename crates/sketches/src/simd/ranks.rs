//! The HyperLogLog registers: one byte each, raised to the rank of a hash.
#![allow(unsafe_code)] // writes of registers without a check of the number

use super::{
    Level,
    kernel::{Kernel, run_at},
    level,
};

/// Register and rank of a hash: its top `precision` bits, and one more than the number of zero bits
/// that follow, at most `65 - precision`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "18 bits and 61 at most")]
pub(crate) const fn register_of(hash: u64, precision: u8) -> (usize, u8) {
    let register = (hash >> (64 - precision)) as usize;
    // The bit below the used ones stops the count of zeros at its maximum.
    let rank = ((hash << precision) | (1 << (precision - 1))).leading_zeros() + 1;
    (register, rank as u8)
}

/// Raises a register to a rank, which is always written: right where many ranks are new, since a
/// branch could not be predicted.
#[inline(always)]
pub(crate) fn raise(registers: &mut [u8], register: usize, rank: u8) {
    if let Some(place) = registers.get_mut(register) {
        *place = (*place).max(rank);
    }
}

/// Raises a register to a rank where that changes it, and tells so: right once nearly every rank is
/// too low, since the branch is then predicted and nothing is written.
#[inline(always)]
fn raise_rarely(registers: &mut [u8], register: usize, rank: u8) -> bool {
    match registers.get_mut(register) {
        Some(place) if *place < rank => {
            *place = rank;
            true
        }
        _ => false,
    }
}

/// Raises the registers of many hashes.
#[inline]
pub(crate) fn raise_all(registers: &mut [u8], precision: u8, hashes: &[u64]) {
    let level = level();
    // Only there are leading zeros counted by vector instructions.
    if level == Level::Avx512 {
        let kernel = RaiseBatches {
            registers,
            precision,
            hashes,
        };
        run_at(level, kernel);
    } else {
        let kernel = RaiseAll {
            registers,
            precision,
            hashes,
        };
        run_at(level, kernel);
    }
}

/// First finds the registers and ranks of a batch, then raises them, always writing.
struct RaiseBatches<'a> {
    registers: &'a mut [u8],
    precision: u8,
    hashes: &'a [u64],
}

impl Kernel for RaiseBatches<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "registers are below 2^18")]
    fn run(self) {
        const BATCH: usize = 64;
        let Some(last) = self.registers.len().checked_sub(1) else {
            return;
        };
        let (mut places, mut ranks) = ([0_u32; BATCH], [0_u8; BATCH]);
        for hashes in self.hashes.chunks(BATCH) {
            for ((place, rank), hash) in places.iter_mut().zip(&mut ranks).zip(hashes) {
                let (register, of_hash) = register_of(*hash, self.precision);
                // The number of registers is a power of two, so this changes nothing.
                (*place, *rank) = ((register & last) as u32, of_hash);
            }
            for (place, rank) in places.iter().zip(&ranks).take(hashes.len()) {
                // SAFETY: a number combined with `last` by and is at most `last`, which is below the
                // number of registers.
                let register = unsafe { self.registers.get_unchecked_mut(*place as usize) };
                *register = (*register).max(*rank);
            }
        }
    }
}

struct RaiseAll<'a> {
    registers: &'a mut [u8],
    precision: u8,
    hashes: &'a [u64],
}

impl Kernel for RaiseAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Hashes that show which way of raising is right for the rest: one change in sixteen costs
        /// as much as sixteen writes.
        const SAMPLE: usize = 16;
        let (sample, rest) = self.hashes.split_at(SAMPLE.min(self.hashes.len()));
        let mut changed = false;
        for hash in sample {
            let (register, rank) = register_of(*hash, self.precision);
            changed |= raise_rarely(self.registers, register, rank);
        }
        if changed {
            for hash in rest {
                let (register, rank) = register_of(*hash, self.precision);
                raise(self.registers, register, rank);
            }
        } else {
            for hash in rest {
                let (register, rank) = register_of(*hash, self.precision);
                raise_rarely(self.registers, register, rank);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::available_levels};
    use alloc::{vec, vec::Vec};

    #[test]
    fn every_level_raises_alike() {
        let hashes: Vec<u64> = (0..if cfg!(miri) { 40 } else { 3000 })
            .map(|i| split_mix(3, i) >> (i % 64))
            .chain([0, u64::MAX])
            .collect();
        let precisions = if cfg!(miri) { 4..=6 } else { 4..=18 };
        for precision in precisions {
            let mut plain = vec![0; 1 << precision];
            for hash in &hashes {
                let (register, rank) = register_of(*hash, precision);
                plain[register] = rank.max(plain[register]);
            }
            for level in available_levels() {
                for batch in [1, 15, 16, 17, 100, hashes.len()] {
                    let mut registers = vec![0; 1 << precision];
                    for hashes in hashes.chunks(batch).chain(hashes.chunks(batch)) {
                        let registers = &mut registers[..];
                        run_at(
                            level,
                            RaiseAll {
                                registers,
                                precision,
                                hashes,
                            },
                        );
                    }
                    assert!(registers == plain, "{level:?} {precision} {batch}");
                    // Guards on both sides must stay.
                    let mut guarded = vec![0; plain.len() + 2];
                    for hashes in hashes.chunks(batch).chain(hashes.chunks(batch)) {
                        let registers = &mut guarded[1..=plain.len()];
                        run_at(
                            level,
                            RaiseBatches {
                                registers,
                                precision,
                                hashes,
                            },
                        );
                    }
                    assert!(
                        guarded[1..=plain.len()] == plain,
                        "{level:?} {precision} {batch}"
                    );
                    assert_eq!([guarded[0], guarded[plain.len() + 1]], [0, 0]);
                }
            }
        }
    }
}
