//! A block and what a hash says about it.

/// Bytes of a [`Block`].
pub(crate) const BLOCK_BYTES: usize = 32;

/// Eight words, of which a key sets one bit each; aligned, so that no block lies on two cache lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, align(32))]
pub(crate) struct Block(pub(crate) [u32; 8]);

const _: () = assert!(size_of::<Block>() == BLOCK_BYTES && align_of::<Block>() == BLOCK_BYTES);

/// Odd multipliers that pick the bit of each word; given by the Parquet format.
pub(super) const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Block number of a hash among `blocks`: its upper half, scaled.
#[inline]
pub(super) fn block_of(hash: u64, blocks: usize) -> usize {
    let scaled = (hash >> 32).wrapping_mul(blocks as u64);
    usize::try_from(scaled >> 32).unwrap_or(usize::MAX)
}
