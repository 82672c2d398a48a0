//! Sub-linear answers with measured error: distinct counts, membership, frequencies, top-k,
//! similarity, quantiles.
//!
//! | question | structure | error bound | bytes | cost of an insert |
//! |---|---|---|---|---|
//! | how many different keys? | [`HyperLogLog`] | standard error `1.04 / sqrt(2^p)`, 0.81 % at `p = 14`; exact while few | 8 KiB at most while few (`p = 14`), then `2^p` | O(1) |
//! | the same, in 3/4 or 3/5 of the memory | [`UltraLogLog`], [`ExaLogLog`] | `0.761 / sqrt(2^p)`; `0.362 / sqrt(2^p)` | `2^p`; `3.5 * 2^p` | O(1) |
//! | was this key there? | [`BloomFilter`] | "no" is certain; "yes" wrong at the rate asked for | 1.2 per key for 1 % | O(hashes) |
//! | the same, one cache line a key | [`SplitBlockBloom`] | the same | 1.32 per key for 1 % | O(1) |
//! | the same, for a set that is fixed | [`BinaryFuse8`] | "yes" wrong for 1 in 256 | 1.13 per key | not grown, built once; see `docs/benchmarks` |
//! | how often was this key there? | [`CountMin`] | never too low; at most `e / width` of the total too high, with probability `1 - e^-depth` | 4 per cell | O(depth) |
//! | which keys most often? | [`SpaceSaving`] | each count with its own error, at most `total / capacity` | one entry per key kept | O(1) amortised |
//! | the same by Misra and Gries, faster | [`FrequentItems`](top_k::FrequentItems) | one error for all, at most `2 total / capacity` | one entry per key kept | O(1) amortised |
//! | how often, with counts taken away? | [`CountSketch`](frequency::CountSketch) | `sqrt(8 / width)` of the Euclidean norm, with probability `1 - 2^(-depth / 2)` | 8 per cell | O(depth) |
//! | how alike are two sets? | [`MinHash`], [`Signature`] | standard error `sqrt(J (1 - J) / k)`, 0.044 at `k = 128` | 4 `k` | O(k) |
//! | the same, one hash per element | [`OnePermutation`](similarity::OnePermutation) | the same or less | 4 `k` | O(1) |
//! | the same, in few bytes | [`PackedSignature`](similarity::PackedSignature) | the same over `1 - 2^-b`, and a little | `k b / 8` | - |
//! | which sets are like this one? | [`LshIndex`] | answers verified; one at the threshold found with probability 0.9 or more | signature and buckets | O(k) |
//! | what is the p99? | [`DdSketch`] | within 1 % (as asked for) of the true value | 8 per bin | O(1) |
//! | the same, by rank, best at the ends | [`TDigest`](quantiles::TDigest) | 1.8 % of rank at the median, 0.4 % at the p99, observed | 20 kB | O(1) amortised |
//! | the same, by rank, proven | [`Kll`](quantiles::Kll) | 1.9 % of rank with probability 99 % | 10 kB | O(1) amortised |
//!
//! Times of all of them stand in the README, beside the run that measured them. Keys that
//! strangers choose are hashed under a secret key by [`hash::Keyed`]; sketches of Apache
//! DataSketches are read and written by [`distinct::ApacheHll`].
//!
//! All structures insert any [`Hash`](core::hash::Hash) key, hashed by the stable seeded hash of
//! [`hash`], or a ready 64-bit hash through their `*_hash` methods. All but the index, the static filter
//! and packed signatures merge, and all but the index are written and read by `to_bytes` and
//! `from_bytes`; the byte map is in `docs/formats/sketches.md`. Errors are [`SketchError`]; nothing
//! panics on parameters or bytes.
//!
//! Features: `std` (default; without it the crate needs `alloc` only) and `serde` (every structure
//! that has bytes is serialised as those bytes).
//!
//! ```
//! use sketches::HyperLogLog;
//! let mut monday = HyperLogLog::new(14)?;
//! let mut tuesday = HyperLogLog::new(14)?;
//! monday.extend(["ann", "bob", "cy"]);
//! tuesday.extend(["bob", "dee"]);
//! monday.merge(&tuesday)?;
//! assert_eq!(monday.estimate(), 4.0);
//! let stored = monday.to_bytes();
//! assert_eq!(HyperLogLog::from_bytes(&stored)?, monday);
//! # Ok::<(), sketches::SketchError>(())
//! ```
#![no_std]
#![deny(unsafe_code)] // allowed in the kernels of `simd`, and for the advice on pages in `memory`

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod atomic;
mod codec;
pub mod distinct;
mod error;
pub mod frequency;
pub mod hash;
pub mod membership;
mod memory;
pub mod quantiles;
#[cfg(feature = "serde")]
mod serde_bytes;
pub mod simd;
pub mod similarity;
mod slot_table;
pub mod top_k;

pub use distinct::{ExaLogLog, HyperLogLog, UltraLogLog};
pub use error::SketchError;
pub use frequency::CountMin;
pub use membership::{BinaryFuse8, BloomFilter, SplitBlockBloom};
pub use quantiles::DdSketch;
pub use similarity::{LshIndex, MinHash, Signature};
pub use top_k::{Heavy, SpaceSaving};

/// Runs the example of the README.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctest;
