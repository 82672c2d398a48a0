//! MinHash: a set as a short signature whose agreement estimates the Jaccard similarity.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the growing sketch of a set |
//! | `permutation.rs` | the family of permutations and its plain update |
//! | `kernel.rs` | the update in vectors |
//! | `scheme.rs` | how minima are made |
//! | `signature.rs` | the finished signature and the estimate |
//! | `codec.rs` | bytes |

mod codec;
mod kernel;
mod permutation;
mod scheme;
mod signature;
mod sketch;

pub(in crate::similarity) use permutation::PERMUTATIONS_MAX;
pub use scheme::Scheme;
pub use signature::Signature;
pub use sketch::MinHash;
pub(in crate::similarity) use sketch::check_permutations;
