//! Planes of small numbers as half bytes: the low halves of all bytes, two to a byte, then the high halves.
//!
//! A byte of a code of symbols stands for one element at no less than a bit; two elements in a byte share
//! that bit, and their byte is still one of 256.

use crate::simd::{self, Kernel};

/// Bytes of each half of a plane of `bytes` bytes.
pub(super) fn half_bytes(bytes: usize) -> usize {
    bytes.div_ceil(2)
}

/// The low and the high halves of `plane`, in place of what is in `halves`.
pub(crate) fn split(plane: &[u8], halves: &mut [Vec<u8>; 2]) {
    for half in halves.iter_mut() {
        half.clear();
        half.reserve(half_bytes(plane.len()));
    }
    simd::run(Split { plane, halves });
}

/// Puts a plane of `bytes` bytes together from its halves, which are as long as it needs, in place of
/// what is in `plane`. False if the half byte behind an odd plane is not 0.
#[must_use]
pub(super) fn join(low: &[u8], high: &[u8], bytes: usize, plane: &mut Vec<u8>) -> bool {
    plane.clear();
    plane.reserve(2 * half_bytes(bytes));
    simd::run(Join { low, high, plane });
    let behind = plane.get(bytes..).unwrap_or_default();
    let clean = behind.iter().all(|&byte| byte == 0);
    plane.truncate(bytes);
    clean
}

struct Split<'a> {
    plane: &'a [u8],
    halves: &'a mut [Vec<u8>; 2],
}

impl Kernel<()> for Split<'_> {
    #[inline(always)]
    fn run(self) {
        let [low, high] = self.halves;
        let (pairs, rest) = self.plane.as_chunks::<2>();
        low.extend(pairs.iter().map(|&[a, b]| a & 15 | b << 4));
        high.extend(pairs.iter().map(|&[a, b]| a >> 4 | b & 0xf0));
        low.extend(rest.iter().map(|byte| byte & 15));
        high.extend(rest.iter().map(|byte| byte >> 4));
    }
}

struct Join<'a> {
    low: &'a [u8],
    high: &'a [u8],
    plane: &'a mut Vec<u8>,
}

impl Kernel<()> for Join<'_> {
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 64;
        let blocks = self.low.chunks(BLOCK).zip(self.high.chunks(BLOCK));
        for (low, high) in blocks {
            let mut joined = [[0u8; 2]; BLOCK];
            for (joined, (low, high)) in joined.iter_mut().zip(low.iter().zip(high)) {
                *joined = [low & 15 | high << 4, low >> 4 | high & 0xf0];
            }
            let (joined, _) = joined.split_at_checked(low.len()).unwrap_or_default();
            self.plane.extend_from_slice(joined.as_flattened());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_every_length_come_back() {
        let mut halves = [vec![9; 3], Vec::new()];
        let mut back = vec![1, 2, 3];
        for bytes in [0usize, 1, 2, 3, 127, 128, 129, 1000, 1001] {
            let plane: Vec<u8> = (0..bytes).map(|n| (n * n * 7).to_le_bytes()[0]).collect();
            split(&plane, &mut halves);
            let [low, high] = &halves;
            assert_eq!([low.len(), high.len()], [half_bytes(bytes); 2]);
            for (index, byte) in plane.iter().enumerate() {
                let shift = 4 * (index % 2);
                assert_eq!(low[index / 2] >> shift & 15, byte & 15);
                assert_eq!(high[index / 2] >> shift & 15, byte >> 4);
            }
            assert!(join(low, high, bytes, &mut back));
            assert_eq!(back, plane);
        }
        assert!(!join(&[0x12], &[0], 1, &mut back));
        assert!(!join(&[0x02], &[0x10], 1, &mut back));
        assert!(join(&[0x02], &[0x01], 1, &mut back));
        assert_eq!(back, [0x12]);
    }
}
