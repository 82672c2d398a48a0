//! Vector forms of [`lower_minima`](super::permutation::lower_minima), for a block of hashes.
//!
//! Each form keeps a block of minima in registers while it goes through all hashes, so that one
//! hash costs a multiplication, an addition and a minimum for each vector. On 64-bit ARM the plain
//! twin is compiled to NEON vectors as it is.
#![allow(
    unsafe_code,
    reason = "vector loads and stores, and the calls behind the level"
)]

use super::permutation::{MULTIPLIERS, lower_minima};
use crate::simd::{Level, level};

/// Lowers each minimum to the least value of all elements.
#[inline]
pub(super) fn lower_all(minima: &mut [u32], hashes: &[u64]) {
    lower_all_at(level(), minima, hashes);
}

fn lower_all_at(level: Level, minima: &mut [u32], hashes: &[u64]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is never above what the CPU has.
        Level::Avx512 => unsafe { x86::lower_avx512(minima, &MULTIPLIERS, hashes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is never above what the CPU has.
        Level::Avx2 => unsafe { x86::lower_avx2(minima, &MULTIPLIERS, hashes) },
        _ => lower_plain(minima, &MULTIPLIERS, hashes),
    }
}

/// The twin, and the rest of what does not fill a vector.
fn lower_plain(minima: &mut [u32], multipliers: &[u32], hashes: &[u64]) {
    for hash in hashes {
        lower_minima(minima, multipliers, *hash);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_min_epu32,
        _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_storeu_si256, _mm512_add_epi32,
        _mm512_loadu_si512, _mm512_min_epu32, _mm512_mullo_epi32, _mm512_set1_epi32,
        _mm512_storeu_si512,
    };

    use super::lower_plain;

    /// Minima, low half and high half of a hash as the instructions take them.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "takes the halves of the hash"
    )]
    const fn halves(hash: u64) -> (i32, i32) {
        (hash as u32 as i32, (hash >> 32) as u32 as i32)
    }

    #[target_feature(enable = "avx512f")]
    fn load_512(lanes: &[u32; 16]) -> __m512i {
        // SAFETY: an array of 64 bytes; the load needs no alignment.
        unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn store_512(lanes: &mut [u32; 16], vector: __m512i) {
        // SAFETY: an array of 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), vector) }
    }

    #[target_feature(enable = "avx2")]
    fn load_256(lanes: &[u32; 8]) -> __m256i {
        // SAFETY: an array of 32 bytes; the load needs no alignment.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn store_256(lanes: &mut [u32; 8], vector: __m256i) {
        // SAFETY: an array of 32 bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) }
    }

    /// Blocks of 128 minima: eight registers of them and eight of multipliers.
    #[target_feature(enable = "avx512f")]
    pub(super) fn lower_avx512(minima: &mut [u32], multipliers: &[u32], hashes: &[u64]) {
        let (blocks, rest) = minima.as_chunks_mut::<16>();
        let (lanes, rest_lanes) = multipliers.as_chunks::<16>();
        let mut wide = blocks.chunks_exact_mut(8);
        let mut at = 0;
        for block in &mut wide {
            if let (Some(block), Some(lanes)) = (block.as_mut_array(), lanes.get(at..)) {
                lower_vectors_512::<8>(block, lanes, hashes);
            }
            at += 8;
        }
        for block in wide.into_remainder().chunks_exact_mut(1) {
            if let (Some(block), Some(lanes)) = (block.as_mut_array(), lanes.get(at..)) {
                lower_vectors_512::<1>(block, lanes, hashes);
            }
            at += 1;
        }
        let rest_lanes = lanes
            .get(at..)
            .map_or(rest_lanes, |lanes| lanes.as_flattened());
        lower_plain(rest, rest_lanes, hashes);
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn lower_vectors_512<const N: usize>(
        block: &mut [[u32; 16]; N],
        multipliers: &[[u32; 16]],
        hashes: &[u64],
    ) {
        let mut least = [_mm512_set1_epi32(-1); N];
        let mut times = least;
        for (vector, lanes) in least.iter_mut().zip(block.iter()) {
            *vector = load_512(lanes);
        }
        for (vector, lanes) in times.iter_mut().zip(multipliers) {
            *vector = load_512(lanes);
        }
        for hash in hashes {
            let (low, high) = halves(*hash);
            let (low, high) = (_mm512_set1_epi32(low), _mm512_set1_epi32(high));
            for (vector, times) in least.iter_mut().zip(&times) {
                let value = _mm512_add_epi32(_mm512_mullo_epi32(*times, high), low);
                *vector = _mm512_min_epu32(*vector, value);
            }
        }
        for (vector, lanes) in least.iter().zip(block.iter_mut()) {
            store_512(lanes, *vector);
        }
    }

    /// Blocks of 64 minima: eight registers of them; the multipliers stay in the first cache.
    #[target_feature(enable = "avx2")]
    pub(super) fn lower_avx2(minima: &mut [u32], multipliers: &[u32], hashes: &[u64]) {
        let (blocks, rest) = minima.as_chunks_mut::<8>();
        let (lanes, rest_lanes) = multipliers.as_chunks::<8>();
        let mut wide = blocks.chunks_exact_mut(8);
        let mut at = 0;
        for block in &mut wide {
            if let (Some(block), Some(lanes)) = (block.as_mut_array(), lanes.get(at..)) {
                lower_vectors_256::<8>(block, lanes, hashes);
            }
            at += 8;
        }
        for block in wide.into_remainder().chunks_exact_mut(1) {
            if let (Some(block), Some(lanes)) = (block.as_mut_array(), lanes.get(at..)) {
                lower_vectors_256::<1>(block, lanes, hashes);
            }
            at += 1;
        }
        let rest_lanes = lanes
            .get(at..)
            .map_or(rest_lanes, |lanes| lanes.as_flattened());
        lower_plain(rest, rest_lanes, hashes);
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn lower_vectors_256<const N: usize>(
        block: &mut [[u32; 8]; N],
        multipliers: &[[u32; 8]],
        hashes: &[u64],
    ) {
        let mut least = [_mm256_set1_epi32(-1); N];
        for (vector, lanes) in least.iter_mut().zip(block.iter()) {
            *vector = load_256(lanes);
        }
        for hash in hashes {
            let (low, high) = halves(*hash);
            let (low, high) = (_mm256_set1_epi32(low), _mm256_set1_epi32(high));
            for (vector, times) in least.iter_mut().zip(multipliers) {
                let value = _mm256_add_epi32(_mm256_mullo_epi32(load_256(times), high), low);
                *vector = _mm256_min_epu32(*vector, value);
            }
        }
        for (vector, lanes) in least.iter().zip(block.iter_mut()) {
            store_256(lanes, *vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::split_mix, simd::available_levels};
    use alloc::vec::Vec;

    #[test]
    fn every_level_gives_the_minima_of_the_twin_and_touches_nothing_else() {
        const GUARD: u32 = 0x5afe_5afe;
        let lens = (0..70).chain([127, 128, 129, 200, 255, 256, 300]);
        // Under Miri a few lengths on both sides of a vector, at every alignment.
        for len in lens.filter(|len| !cfg!(miri) || [0, 15, 16, 67].contains(len)) {
            for offset in 0..5 {
                for count in [0_u64, 1, 2, 3, 17]
                    .into_iter()
                    .take(if cfg!(miri) { 3 } else { 5 })
                {
                    let hashes: Vec<u64> = (0..count).map(|i| split_mix(len, i)).collect();
                    let start: Vec<u32> = (0..len + 20)
                        .map(|i| {
                            if i % 3 == 0 {
                                u32::MAX
                            } else {
                                u32::MAX >> (split_mix(1, i) % 32)
                            }
                        })
                        .collect();
                    let len = usize::try_from(len).unwrap();
                    let mut twin = start[offset..offset + len].to_vec();
                    lower_plain(&mut twin, &MULTIPLIERS, &hashes);
                    for level in available_levels() {
                        let mut row = start.clone();
                        row[..offset].fill(GUARD);
                        row[offset + len..].fill(GUARD);
                        lower_all_at(level, &mut row[offset..offset + len], &hashes);
                        assert_eq!(row[offset..offset + len], twin, "{level:?} {len} {offset}");
                        assert!(row[..offset].iter().all(|lane| *lane == GUARD));
                        assert!(row[offset + len..].iter().all(|lane| *lane == GUARD));
                    }
                }
            }
        }
    }
}
