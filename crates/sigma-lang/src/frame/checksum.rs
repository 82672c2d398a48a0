//! The hashes of the format. None is cryptographic.

/// Low 32 bits of XXH64 with seed 0, as zstd puts them behind a frame.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn check32(bytes: &[u8]) -> u32 {
    check64(bytes) as u32
}

/// Low 32 bits of XXH3-64 with seed 0: the check of a noise frame, several times as fast.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn noise_check32(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}

/// Appends `bytes` and gives their [`noise_check32`]: each block is hashed while it is in the first
/// cache from being copied.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn append_with_noise_check32(bytes: &[u8], out: &mut Vec<u8>) -> u32 {
    const BLOCK: usize = 16 << 10;
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for block in bytes.chunks(BLOCK) {
        out.extend_from_slice(block);
        hash.update(block);
    }
    hash.digest() as u32
}

/// XXH64 with seed 0.
pub(crate) fn check64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// XXH3-128 with seed 0: names dictionaries and bases.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}
