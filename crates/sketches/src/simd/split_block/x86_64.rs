//! AVX2: the eight words of a block are one vector. The AVX-512 level uses it too, since a block has
//! no more than 256 bits.
#![allow(unsafe_code)] // loads, stores and prefetches

use core::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_load_si256, _mm256_mullo_epi32, _mm256_or_si256,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_sllv_epi32, _mm256_srli_epi32, _mm256_store_si256,
    _mm256_testc_si256,
};

use super::block::{BLOCK_BYTES, Block, SALT, block_of};

/// Filters up to this size are not prefetched: they stay in the second-level cache. Miri, which is too
/// slow for a larger one, sees the prefetches of any.
const PREFETCH_BYTES_MIN: usize = if cfg!(miri) { 0 } else { 1 << 20 };

/// Keys between a prefetch and its use: enough to cover a memory access of 100 ns at 3 ns a key.
const PREFETCH_AHEAD: usize = 32;

/// The bit of each word, from the lower half of a hash.
#[inline]
#[target_feature(enable = "avx2")]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn masks(hash: u64) -> __m256i {
    let [a, b, c, d, e, f, g, h] = SALT.map(u32::cast_signed);
    let salt = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    let key = _mm256_set1_epi32((hash as u32).cast_signed());
    let bit = _mm256_srli_epi32::<27>(_mm256_mullo_epi32(key, salt));
    _mm256_sllv_epi32(_mm256_set1_epi32(1), bit)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(block: &Block) -> __m256i {
    // SAFETY: a block is 32 readable bytes, aligned to 32.
    unsafe { _mm256_load_si256(core::ptr::from_ref(block).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(block: &mut Block, words: __m256i) {
    // SAFETY: a block is 32 writable bytes, aligned to 32.
    unsafe { _mm256_store_si256(core::ptr::from_mut(block).cast(), words) }
}

#[inline]
fn prefetch(block: &Block) {
    // SAFETY: a prefetch has no effect on memory; SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(block).cast()) }
}

/// Inserts a hash; whether it set a bit that was clear.
#[target_feature(enable = "avx2")]
pub(super) fn insert(blocks: &mut [Block], hash: u64) -> bool {
    let at = block_of(hash, blocks.len());
    let Some(block) = blocks.get_mut(at) else {
        return false;
    };
    let (words, masks) = (load(block), masks(hash));
    store(block, _mm256_or_si256(words, masks));
    _mm256_testc_si256(words, masks) == 0
}

/// Whether all bits of a hash are set.
#[target_feature(enable = "avx2")]
pub(super) fn contains(blocks: &[Block], hash: u64) -> bool {
    let Some(block) = blocks.get(block_of(hash, blocks.len())) else {
        return false;
    };
    _mm256_testc_si256(load(block), masks(hash)) != 0
}

/// Inserts every hash.
#[target_feature(enable = "avx2")]
pub(super) fn insert_all(blocks: &mut [Block], hashes: &[u64]) {
    let ahead = prefetched(blocks, hashes);
    for (hash, later) in hashes.iter().zip(ahead) {
        if let Some(block) = blocks.get(block_of(*later, blocks.len())) {
            prefetch(block);
        }
        insert(blocks, *hash);
    }
    for hash in &hashes[ahead.len()..] {
        insert(blocks, *hash);
    }
}

/// Answers for every hash; the slices are of one length.
#[target_feature(enable = "avx2")]
pub(super) fn contains_all(blocks: &[Block], hashes: &[u64], found: &mut [bool]) {
    let ahead = prefetched(blocks, hashes);
    let mut answers = found.iter_mut();
    for ((hash, later), answer) in hashes.iter().zip(ahead).zip(&mut answers) {
        if let Some(block) = blocks.get(block_of(*later, blocks.len())) {
            prefetch(block);
        }
        *answer = contains(blocks, *hash);
    }
    for (hash, answer) in hashes[ahead.len()..].iter().zip(answers) {
        *answer = contains(blocks, *hash);
    }
}

/// The hashes whose blocks are worth a prefetch, the first to be asked for while the first of all is
/// used.
fn prefetched<'a>(blocks: &[Block], hashes: &'a [u64]) -> &'a [u64] {
    if blocks.len() * BLOCK_BYTES < PREFETCH_BYTES_MIN {
        return &[];
    }
    hashes.get(PREFETCH_AHEAD..).unwrap_or(&[])
}
