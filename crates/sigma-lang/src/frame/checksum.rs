//! The hashes of the format. None is cryptographic.

use crate::simd::{HASH_BLOCK_BYTES, HASH_SHORT_BYTES_MAX, LongHash};

/// Bytes that are copied and hashed together: they stay in the first cache.
pub(crate) const NOISE_BLOCK_BYTES: usize = 4 * HASH_BLOCK_BYTES;

/// Low 32 bits of XXH64 with seed 0, as zstd puts them behind a frame.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn check32(bytes: &[u8]) -> u32 {
    check64(bytes) as u32
}

/// Low 32 bits of XXH3-64 with seed 0: the check of noise, numbers and planes, several times as fast.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn noise_check32(bytes: &[u8]) -> u32 {
    let last = bytes
        .last_chunk()
        .filter(|_| bytes.len() > HASH_SHORT_BYTES_MAX);
    let (Some(last), Some((_, all_but_one))) = (last, bytes.split_last()) else {
        return xxhash_rust::xxh3::xxh3_64(bytes) as u32;
    };
    let (blocks, _) = all_but_one.as_chunks::<HASH_BLOCK_BYTES>();
    let mut hash = LongHash::new();
    hash.add(blocks);
    let rest = bytes.get(blocks.as_flattened().len()..).unwrap_or_default();
    hash.finish(rest, last, bytes.len()) as u32
}

/// Appends `bytes` and gives their [`noise_check32`]. Each block of [`NOISE_BLOCK_BYTES`] is shown to `look`,
/// copied and hashed in turn, so that it comes from memory once.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn append_with_noise_check32(
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut look: impl FnMut(&[u8]),
) -> u32 {
    let last = bytes
        .last_chunk()
        .filter(|_| bytes.len() > HASH_SHORT_BYTES_MAX);
    let Some(last) = last else {
        look(bytes);
        out.extend_from_slice(bytes);
        return noise_check32(bytes);
    };
    let mut hash = LongHash::new();
    let mut before = &[][..];
    for block in bytes.chunks(NOISE_BLOCK_BYTES) {
        // All but the last block: of that, the end is hashed in another way.
        hash.add(before.as_chunks().0);
        look(block);
        out.extend_from_slice(block);
        before = block;
    }
    let (all_but_one, _) = before.split_at(before.len() - 1);
    let (blocks, _) = all_but_one.as_chunks::<HASH_BLOCK_BYTES>();
    hash.add(blocks);
    let rest = before
        .get(blocks.as_flattened().len()..)
        .unwrap_or_default();
    hash.finish(rest, last, bytes.len()) as u32
}

/// XXH64 with seed 0.
pub(crate) fn check64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// XXH3-128 with seed 0: names dictionaries and bases.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "as the check is defined")]
    fn checks_are_those_of_the_library() {
        let bytes: Vec<u8> = (0..40_000u64)
            .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[7])
            .collect();
        for length in [0, 1, 240, 241, 1024, 1025, 4096, 4097, 8192, 39_999, 40_000] {
            let input = &bytes[..length];
            let expected = xxhash_rust::xxh3::xxh3_64(input) as u32;
            assert_eq!(noise_check32(input), expected, "{length} bytes");
        }
    }
}
