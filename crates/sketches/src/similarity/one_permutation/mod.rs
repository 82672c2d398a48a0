//! One-permutation MinHash: one hash per element instead of one per minimum.
//!
//! | file | concern |
//! |---|---|
//! | `rounds.rs` | bin and value of an element in each round |
//! | `sketch.rs` | the growing sketch of a set |
//!
//! Every element falls into one bin by one hash, and a bin keeps its least value. That is all there
//! is for sets much larger than the number of bins. Bins that stay empty are filled by further
//! rounds, in which each element falls into another bin; a value of an earlier round always beats
//! one of a later, so the bin of two sets is equal exactly where the first element that any round
//! brings to it is in both. The estimate has no bias and at most the variance of independent
//! permutations for sets of any size, which filling empty bins from their neighbours does not reach.
//!
//! Rounds after the first run when a signature is asked for, over the elements kept for that
//! purpose until all bins are full; that is after about `k (ln k + 1)` different elements.

mod rounds;
mod sketch;

pub use sketch::OnePermutation;
