//! The split-block Bloom filter of Parquet: one cache line per key.
//!
//! | file | concern |
//! |---|---|
//! | `builder.rs` | parameters, their limits and defaults |
//! | `sketch.rs` | the structure |
//! | `estimator.rs` | sizes and rates |
//! | `codec.rs` | bytes, its own and Parquet's |

mod builder;
mod codec;
mod estimator;
mod sketch;

pub use builder::SplitBlockBuilder;
pub use sketch::SplitBlockBloom;
