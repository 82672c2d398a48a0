//! t-digest: quantiles that are most exact at both ends, in a few kilobytes.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure |
//! | `clusters.rs` | merging sorted clusters under the size limit |
//! | `sort.rs` | sorting a buffer of numbers |
//! | `codec.rs` | bytes |

mod clusters;
mod codec;
mod sketch;
mod sort;

pub use sketch::TDigest;
