//! Frequencies: how often did this key occur?
//!
//! | structure | error bound | bytes | cost |
//! |---|---|---|---|
//! | [`CountMin`] | never too low; too high by at most `e / width * total` with probability `1 - e^-depth` | 4 per cell | O(depth) |
//! | [`AtomicCountMin`] | as [`CountMin`], added to by many threads | 4 per cell | O(depth) |
//! | [`CountSketch`] | off by at most `sqrt(8 / width)` of the Euclidean norm with probability `1 - 2^(-depth / 2)`; counts may be negative | 8 per cell | O(depth) |

mod count_min;
mod count_sketch;

#[cfg(target_has_atomic = "32")]
pub use count_min::AtomicCountMin;
pub use count_min::{CountMin, CountMinBuilder, Update};
pub use count_sketch::CountSketch;
