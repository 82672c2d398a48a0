//! Picks the kernel of the level.
#![allow(unsafe_code)] // calls of functions that need the CPU features of their level

#[cfg(target_arch = "aarch64")]
use super::aarch64;
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{block::Block, scalar};
use crate::simd::{Level, level};

/// Runs a kernel at a level that [`Level::is_available`].
macro_rules! at_level {
    ($level:expr, $kernel:ident($($argument:expr),+)) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a level at or above `Avx2` is only made where the CPU has AVX2.
            Level::Avx2 | Level::Avx512 => unsafe { x86_64::$kernel($($argument),+) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the level `Neon` is only made where the CPU has NEON.
            Level::Neon => unsafe { aarch64::$kernel($($argument),+) },
            _ => scalar::$kernel($($argument),+),
        }
    };
}

/// Inserts a hash; whether it set a bit that was clear.
#[inline]
pub(crate) fn insert(blocks: &mut [Block], hash: u64) -> bool {
    at_level!(level(), insert(blocks, hash))
}

/// Whether all bits of a hash are set.
#[inline]
pub(crate) fn contains(blocks: &[Block], hash: u64) -> bool {
    at_level!(level(), contains(blocks, hash))
}

/// Inserts every hash.
pub(crate) fn insert_all(blocks: &mut [Block], hashes: &[u64]) {
    at_level!(level(), insert_all(blocks, hashes));
}

/// Answers for every hash; the slices are of one length.
pub(crate) fn contains_all(blocks: &[Block], hashes: &[u64], found: &mut [bool]) {
    at_level!(level(), contains_all(blocks, hashes, found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::available_levels};
    use alloc::{vec, vec::Vec};

    fn hashes(count: u64) -> Vec<u64> {
        let mixed = (0..count).map(|i| split_mix(5, i));
        mixed
            .chain([0, 1, u64::MAX, 1 << 32, (1 << 32) - 1])
            .collect()
    }

    /// A filter between two guard blocks, to see that nothing else is written.
    fn guarded(blocks: usize) -> Vec<Block> {
        let mut all = vec![Block::default(); blocks + 2];
        all[0] = Block([0xaaaa_aaaa; 8]);
        all[blocks + 1] = Block([0x5555_5555; 8]);
        all
    }

    #[test]
    fn every_level_gives_the_bits_and_answers_of_the_plain_twin() {
        // 40,000 blocks are enough to be prefetched. Miri takes a second for a thousand hashes.
        let sizes = [1, 3, 64, 2, 7, 1000, 40_000];
        for blocks in sizes.into_iter().take(if cfg!(miri) { 3 } else { 7 }) {
            let hashes = hashes(2 * blocks as u64 + 100);
            let (members, others) = hashes.split_at(hashes.len() / 2);
            let mut plain = guarded(blocks);
            let new: Vec<bool> = members
                .iter()
                .map(|hash| scalar::insert(&mut plain[1..=blocks], *hash))
                .collect();
            for level in available_levels() {
                let mut one = guarded(blocks);
                let found: Vec<bool> = members
                    .iter()
                    .map(|hash| at_level!(level, insert(&mut one[1..=blocks], *hash)))
                    .collect();
                assert_eq!(found, new, "{level:?} {blocks}");
                assert_eq!(one, plain, "{level:?} {blocks}");
                for hash in &hashes {
                    assert_eq!(
                        at_level!(level, contains(&one[1..=blocks], *hash)),
                        scalar::contains(&plain[1..=blocks], *hash),
                        "{level:?} {blocks} {hash:#x}"
                    );
                }
                let mut all = guarded(blocks);
                at_level!(level, insert_all(&mut all[1..=blocks], members));
                assert_eq!(all, plain, "{level:?} {blocks}");
                assert!(
                    members
                        .iter()
                        .all(|h| scalar::contains(&all[1..=blocks], *h))
                );
                let mut answers = vec![false; others.len()];
                at_level!(level, contains_all(&all[1..=blocks], others, &mut answers));
                let expected: Vec<bool> = others
                    .iter()
                    .map(|hash| scalar::contains(&plain[1..=blocks], *hash))
                    .collect();
                assert_eq!(answers, expected, "{level:?} {blocks}");
            }
        }
    }

    #[test]
    fn every_batch_length_is_answered_whole() {
        let hashes = hashes(200);
        let mut blocks = vec![Block::default(); 9];
        scalar::insert_all(&mut blocks, &hashes[..40]);
        for level in available_levels() {
            for len in (0..hashes.len()).step_by(if cfg!(miri) { 50 } else { 1 }) {
                // Guard answers behind the end must stay.
                let mut found = vec![true; len + 3];
                let (answers, guard) = found.split_at_mut(len);
                at_level!(level, contains_all(&blocks, &hashes[..len], answers));
                for (hash, answer) in hashes.iter().zip(answers) {
                    assert_eq!(*answer, scalar::contains(&blocks, *hash), "{level:?} {len}");
                }
                assert_eq!(guard, [true; 3], "{level:?} {len}");
            }
        }
    }

    #[test]
    fn no_blocks_hold_nothing() {
        for level in available_levels() {
            assert!(!at_level!(level, insert(&mut [], 7)));
            assert!(!at_level!(level, contains(&[], 7)));
            let mut answers = [true; 2];
            at_level!(level, contains_all(&[], &[1, 2], &mut answers));
            assert_eq!(answers, [false; 2]);
        }
    }
}
