//! Frequent items: the fastest of the counters, with one error for all its counts.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod sketch;

pub use sketch::FrequentItems;
