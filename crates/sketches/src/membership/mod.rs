//! Membership: was this key inserted? "No" is certain, "yes" is wrong at a known rate.
//!
//! | structure | error bound | bytes | cost |
//! |---|---|---|---|
//! | [`BloomFilter`] | false-positive rate as asked for; 9.6 bits per key for 1 % | as sized | one memory access per hash |
//! | [`SplitBlockBloom`] | false-positive rate as asked for; 10.5 bits per key for 1 % | as sized | one cache line |
//! | [`AtomicBloom`] | the same, filled by many threads at once; 12 bits per key for 1 % | as sized | one atomic word |
//! | [`BinaryFuse8`] | 1/256, 9.0 bits per key | as many as the keys of a fixed set need | three bytes |
//!
//! Where a rate and a number of keys are all that is known, [`SplitBlockBloom`] is the one to take: it
//! is several times as fast as [`BloomFilter`] for a tenth more memory, and has the layout of the bloom
//! filters in Parquet files. [`BloomFilter`] is for a given number of bits and hashes, and for the
//! least memory.

mod atomic;
mod binary_fuse;
mod bloom;
mod split_block;

pub use atomic::AtomicBloom;
pub use binary_fuse::BinaryFuse8;
pub use bloom::{BloomBuilder, BloomFilter};
pub use split_block::{SplitBlockBloom, SplitBlockBuilder};
