//! Count-Sketch: frequencies without bias, added and taken away.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod sketch;

pub use sketch::CountSketch;
