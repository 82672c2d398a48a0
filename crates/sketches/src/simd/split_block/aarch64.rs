//! NEON: the eight words of a block are two vectors. Type-checked for its target, not yet run on one.
#![allow(unsafe_code)] // loads and stores

use core::arch::aarch64::{
    uint32x4_t, vbicq_u32, vdupq_n_u32, vld1q_u32, vmaxvq_u32, vmulq_u32, vorrq_u32,
    vreinterpretq_s32_u32, vshlq_u32, vshrq_n_u32, vst1q_u32,
};

use super::block::{Block, SALT, block_of};

/// Half of the words of a block.
type Half = [u32; 4];

const SALT_LOW: Half = [SALT[0], SALT[1], SALT[2], SALT[3]];
const SALT_HIGH: Half = [SALT[4], SALT[5], SALT[6], SALT[7]];

#[inline]
#[target_feature(enable = "neon")]
fn load(half: &Half) -> uint32x4_t {
    // SAFETY: four readable words.
    unsafe { vld1q_u32(half.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(half: &mut Half, words: uint32x4_t) {
    // SAFETY: four writable words.
    unsafe { vst1q_u32(half.as_mut_ptr(), words) }
}

/// The bit of each word of a half, from the lower half of a hash.
#[inline]
#[target_feature(enable = "neon")]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn masks(hash: u64, salt: &Half) -> uint32x4_t {
    let bit = vshrq_n_u32::<27>(vmulq_u32(vdupq_n_u32(hash as u32), load(salt)));
    vshlq_u32(vdupq_n_u32(1), vreinterpretq_s32_u32(bit))
}

/// Inserts a hash; whether it set a bit that was clear.
#[target_feature(enable = "neon")]
pub(super) fn insert(blocks: &mut [Block], hash: u64) -> bool {
    let at = block_of(hash, blocks.len());
    let Some(Block(words)) = blocks.get_mut(at) else {
        return false;
    };
    let mut clear = vdupq_n_u32(0);
    for (half, salt) in words
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip([&SALT_LOW, &SALT_HIGH])
    {
        let (old, masks) = (load(half), masks(hash, salt));
        clear = vorrq_u32(clear, vbicq_u32(masks, old));
        store(half, vorrq_u32(old, masks));
    }
    vmaxvq_u32(clear) != 0
}

/// Whether all bits of a hash are set.
#[target_feature(enable = "neon")]
pub(super) fn contains(blocks: &[Block], hash: u64) -> bool {
    let Some(Block(words)) = blocks.get(block_of(hash, blocks.len())) else {
        return false;
    };
    let mut clear = vdupq_n_u32(0);
    for (half, salt) in words.as_chunks().0.iter().zip([&SALT_LOW, &SALT_HIGH]) {
        clear = vorrq_u32(clear, vbicq_u32(masks(hash, salt), load(half)));
    }
    vmaxvq_u32(clear) == 0
}

/// Inserts every hash.
#[target_feature(enable = "neon")]
pub(super) fn insert_all(blocks: &mut [Block], hashes: &[u64]) {
    for hash in hashes {
        insert(blocks, *hash);
    }
}

/// Answers for every hash; the slices are of one length.
#[target_feature(enable = "neon")]
pub(super) fn contains_all(blocks: &[Block], hashes: &[u64], found: &mut [bool]) {
    for (hash, answer) in hashes.iter().zip(found) {
        *answer = contains(blocks, *hash);
    }
}
