//! The Bloom filter that many threads fill at once.
//!
//! | file | concern |
//! |---|---|
//! | `estimator.rs` | sizes and rates |
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod estimator;
mod sketch;

pub use sketch::AtomicBloom;
