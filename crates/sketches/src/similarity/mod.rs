//! Similarity of sets: how much do two sets share, and which stored sets are like this one?
//!
//! | structure | question | error bound | bytes | cost |
//! |---|---|---|---|---|
//! | [`MinHash`] | signature of a set | - | 4 per permutation | O(permutations) per element |
//! | [`OnePermutation`] | the same, one hash per element | - | 4 per bin | O(1) per element |
//! | [`Signature`] | Jaccard similarity `J` of two sets | standard error `sqrt(J (1 - J) / permutations)` | 4 per permutation | O(permutations) |
//! | [`PackedSignature`] | the same, `b` bits a minimum | `1 / (1 - 2^-b)` times that, and a little | `b / 8` per permutation | O(permutations / 64 `b`) |
//! | [`LshIndex`] | stored signatures above a threshold | a pair at the threshold is compared with probability 0.9 or more | signature, id, and one bucket entry per band | O(bands + candidates) |
//!
//! The Jaccard similarity of two sets is the size of their intersection over the size of their
//! union. Text becomes a set through its shingles, for example all runs of five words.

mod lsh;
mod minhash;
mod one_permutation;
mod packed;

pub use lsh::{Banding, LshIndex};
pub use minhash::{MinHash, Scheme, Signature};
pub use one_permutation::OnePermutation;
pub use packed::PackedSignature;
