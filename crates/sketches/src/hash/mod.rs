//! The hash under every sketch: stable, seeded, 64 bits, the same on every platform.
//!
//! The hash is part of every byte format of this crate: a sketch written on one machine must find
//! the same keys on another, years later. It is XXH3-64 (xxHash 0.8) chained over the writes of
//! [`core::hash::Hash`]:
//!
//! - the state starts as the seed;
//! - every write of bytes replaces the state by `XXH3_64(bytes, seed = state)`;
//! - an integer is one write of its little-endian bytes; `usize` and `isize` count as 64 bits;
//! - a lone byte `0xff` directly after a run of bytes, which is how the standard library ends a
//!   `str`, changes nothing.
//!
//! So the hash of a `u64` is XXH3-64 of its eight little-endian bytes, and the hash of a `str` is
//! XXH3-64 of its UTF-8 bytes, which any other language can compute. A slice or array writes its
//! length first; use [`hash_bytes`] for bytes without it.
//!
//! | value | hash with seed `s` |
//! |---|---|
//! | `u8`, `u16`, `u32`, `u64`, `u128`, signed alike | `XXH3_64(little-endian bytes, s)` |
//! | `usize`, `isize`, enum discriminants | as `u64` |
//! | `char` / `bool` | as `u32` / `u8` |
//! | `str`, `String` | `XXH3_64(UTF-8 bytes, s)` |
//! | `[u8]`, `Vec<u8>`, `[u8; N]` | `XXH3_64(bytes, XXH3_64(length as u64, s))` |
//! | tuples, structs | fields in order, each hash being the seed of the next |
//!
//! One limit: the standard library hashes a *slice* of wider integers (`[u32]`) as its memory, so
//! such keys differ between little-endian and big-endian machines. Hash the elements one by one if
//! that matters.
//!
//! # Keys that an attacker chooses
//!
//! The stable hash is fast and well mixed, but no secret: whoever knows the seed can make keys that
//! all fall on one counter, look like billions of keys, or are all false positives. Where keys come
//! from outside and the answers matter, wrap the sketch in [`Keyed`]: its keys are hashed with
//! SipHash-2-4 under a secret [`SipKey`]. The identity of the key, not the key, stands in the bytes
//! and is compared when sketches merge.
//!
//! | file | concern |
//! |---|---|
//! | `stable.rs` | the stable hash, and many keys at a time |
//! | `sip.rs` | SipHash-2-4 under a secret key |
//! | `keyed.rs` | sketches hashed under such a key |
//! | `murmur3.rs` | MurmurHash3, for the sketches of Apache DataSketches |

mod keyed;
pub(crate) mod murmur3;
mod sip;
mod stable;

pub use keyed::{HashSketch, InsertHash, Keyed};
pub use sip::{SipHasher, SipKey};
pub use stable::{DEFAULT_SEED, StableHasher, hash_bytes, hash_of, hash_u64, parquet_hash};
pub(crate) use stable::{each_batch, each_batch_of, in_batches, split_mix};
