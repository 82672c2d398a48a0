//! The classic Bloom filter.
//!
//! | file | concern |
//! |---|---|
//! | `builder.rs` | parameters, their limits and defaults |
//! | `sketch.rs` | the structure |
//! | `estimator.rs` | sizes and rates |
//! | `codec.rs` | bytes |

mod builder;
mod codec;
mod estimator;
mod sketch;

pub use builder::BloomBuilder;
pub use sketch::BloomFilter;
