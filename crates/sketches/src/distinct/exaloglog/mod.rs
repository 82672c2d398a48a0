//! ExaLogLog and UltraLogLog: distinct counts in less memory than HyperLogLog for the same error.
//!
//! A register keeps the greatest *update value* of its hashes, and for each of the next lower values
//! one bit that says whether it occurred. Both structures are one type with different widths.
//!
//! | file | concern |
//! |---|---|
//! | `shape.rs` | the two widths, and where a register lies in memory |
//! | `register.rs` | a hash as an update value; a register and what it takes in |
//! | `sketch.rs` | the structure |
//! | `tally.rs` | registers to counts of seen and missing values |
//! | `estimator.rs` | counts to the most likely number of keys |
//! | `codec.rs` | bytes |

mod codec;
mod estimator;
mod register;
mod shape;
mod sketch;
mod tally;

pub use shape::{Exa, Shape, Ultra};
pub use sketch::{ExaLogLog, LogLogSketch, UltraLogLog};
