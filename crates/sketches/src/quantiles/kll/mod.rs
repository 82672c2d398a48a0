//! KLL: quantiles with a proven bound on the rank, whatever the stream.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod sketch;

pub use sketch::Kll;
