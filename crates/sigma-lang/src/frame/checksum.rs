//! The hashes of the format. None is cryptographic.

/// Low 32 bits of XXH64 with seed 0, as zstd puts them behind a frame.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is meant"
)]
pub(crate) fn check32(bytes: &[u8]) -> u32 {
    check64(bytes) as u32
}

/// XXH64 with seed 0.
pub(crate) fn check64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// XXH3-128 with seed 0: names dictionaries and bases.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}
