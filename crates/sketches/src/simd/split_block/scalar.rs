//! The plain twin.

use super::block::{Block, SALT, block_of};

/// The bit of each word, from the lower half of a hash.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn masks(hash: u64) -> [u32; 8] {
    let key = hash as u32;
    SALT.map(|salt| 1 << (key.wrapping_mul(salt) >> 27))
}

/// Inserts a hash; whether it set a bit that was clear.
pub(super) fn insert(blocks: &mut [Block], hash: u64) -> bool {
    let at = block_of(hash, blocks.len());
    let mut clear = 0;
    if let Some(Block(words)) = blocks.get_mut(at) {
        for (word, mask) in words.iter_mut().zip(masks(hash)) {
            clear |= !*word & mask;
            *word |= mask;
        }
    }
    clear != 0
}

/// Whether all bits of a hash are set.
pub(super) fn contains(blocks: &[Block], hash: u64) -> bool {
    let Some(Block(words)) = blocks.get(block_of(hash, blocks.len())) else {
        return false;
    };
    words
        .iter()
        .zip(masks(hash))
        .all(|(word, mask)| word & mask != 0)
}

/// Inserts every hash.
pub(super) fn insert_all(blocks: &mut [Block], hashes: &[u64]) {
    for hash in hashes {
        insert(blocks, *hash);
    }
}

/// Answers for every hash; the slices are of one length.
pub(super) fn contains_all(blocks: &[Block], hashes: &[u64], found: &mut [bool]) {
    for (hash, answer) in hashes.iter().zip(found) {
        *answer = contains(blocks, *hash);
    }
}
