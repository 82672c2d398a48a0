//! The bins of one-permutation MinHash: each hash falls into one bin, and a bin keeps its least value.
#![allow(unsafe_code)] // reads and writes of bins without a check of the number

use super::kernel::Kernel;

/// Bin and value of a hash: the upper half scaled to the number of bins, and the lower half without
/// its lowest bit, so that the highest bit of a value is clear.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "halves of the hash; a bin below the bins"
)]
pub(crate) const fn place_of(hash: u64, bins: usize) -> (usize, u32) {
    let bin = ((hash >> 32) * bins as u64) >> 32;
    (bin as usize, hash as u32 >> 1)
}

/// Hashes whose places are found at once, which vector instructions do.
const BATCH: usize = 128;

/// Lowers the bin of every hash to its value; same as doing so for each [`place_of`].
///
/// The hash of an element is `hash(element)`. `kept` is empty, or as long as
/// `elements` and takes the hashes.
pub(crate) struct LowerEach<'a, T, F> {
    pub(crate) minima: &'a mut [u32],
    pub(crate) elements: &'a [T],
    pub(crate) hash: F,
    pub(crate) kept: &'a mut [u64],
}

impl<T, F: Fn(&T) -> u64> Kernel for LowerEach<'_, T, F> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "halves of the hash; a bin below the bins"
    )]
    fn run(self) {
        let Ok(all) = u32::try_from(self.minima.len()) else {
            return;
        };
        if all.is_power_of_two() && all > 1 {
            // The same number, with a shift in place of the slow multiplication of 64-bit lanes.
            let shift = 64 - all.trailing_zeros();
            self.lower(move |hash| (hash >> shift) as u32);
        } else if all > 0 {
            let all = u64::from(all);
            self.lower(move |hash| (((hash >> 32) * all) >> 32) as u32);
        }
    }
}

impl<T, F: Fn(&T) -> u64> LowerEach<'_, T, F> {
    /// Lowers the bins, of which there must be one at least; `bin_of` gives a number below theirs.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn lower(self, bin_of: impl Fn(u64) -> u32) {
        let mut kept = self.kept;
        let (mut unkept, mut bins, mut values) = ([0; BATCH], [0_u32; BATCH], [0_u32; BATCH]);
        for elements in self.elements.chunks(BATCH) {
            let (hashes, behind) = kept.split_at_mut(elements.len().min(kept.len()));
            kept = behind;
            let hashes = match hashes.len() {
                len if len == elements.len() => hashes,
                _ => &mut unkept[..elements.len()],
            };
            let places = bins.iter_mut().zip(&mut values);
            for (((bin, value), kept), element) in places.zip(hashes).zip(elements) {
                let hash = (self.hash)(element);
                *kept = hash;
                *bin = bin_of(hash);
                *value = hash as u32 >> 1;
            }
            for (bin, value) in bins.iter().zip(&values).take(elements.len()) {
                // SAFETY: `bin_of` gave the number, which is below that of the minima: the upper
                // `b` bits of a hash are below `2^b`, and a number below 2^32, times `all`, over
                // 2^32, is below `all`.
                let minimum = unsafe { self.minima.get_unchecked_mut(*bin as usize) };
                *minimum = (*minimum).min(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::split_mix,
        simd::{available_levels, kernel::run_at},
    };
    use alloc::{vec, vec::Vec};

    #[test]
    fn every_level_places_as_one_by_one() {
        for bins in [1, 2, 7, 128, if cfg!(miri) { 129 } else { 4096 }] {
            for count in [0, 1, 9, 127, 128, 300] {
                let drawn = (0..count).map(|i| split_mix(count, i));
                let hashes: Vec<u64> = drawn.chain([0, u64::MAX, 1 << 32]).collect();
                let mut twin = vec![u32::MAX; bins];
                for hash in &hashes {
                    let (bin, value) = place_of(*hash, bins);
                    twin[bin] = twin[bin].min(value);
                }
                for level in available_levels() {
                    for keep in [0, hashes.len()] {
                        // Guards on both sides must stay.
                        let mut minima = vec![u32::MAX; bins + 2];
                        let mut kept = vec![0; keep];
                        let kernel = LowerEach {
                            minima: &mut minima[1..=bins],
                            elements: &hashes,
                            hash: |hash: &u64| *hash,
                            kept: &mut kept,
                        };
                        run_at(level, kernel);
                        assert_eq!(minima[1..=bins], twin, "{level:?}");
                        assert_eq!([minima[0], minima[bins + 1]], [u32::MAX; 2]);
                        assert_eq!(kept, hashes[..keep]);
                    }
                }
            }
        }
        let none = LowerEach {
            minima: &mut [],
            elements: &[1, 2],
            hash: |hash: &u64| *hash,
            kept: &mut [],
        };
        none.run();
    }
}
