//! Distinct counts: how many different keys did a stream hold?
//!
//! | structure | error bound | bytes | cost |
//! |---|---|---|---|
//! | [`HyperLogLog`] | standard error `1.04 / sqrt(2^precision)`, 0.81 % at 14; exact while few | at most 8 KiB at precision 14 while few, then `2^precision` | insert O(1); estimate O(2^precision) |
//! | [`AtomicHyperLogLog`] | that of [`HyperLogLog`], counted into by many threads at once | `2^precision` | the same |
//! | [`UltraLogLog`] | `0.761 / sqrt(2^precision)`, 0.59 % at 14 | `2^precision` | the same |
//! | [`ExaLogLog`] | `0.362 / sqrt(2^precision)`, 0.57 % at 12 | `3.5 * 2^precision` | the same |
//! | [`ApacheHll`] | `0.83 / sqrt(2^precision)`, to exchange bytes with Apache DataSketches | `2^precision` | insert O(1); estimate O(1) |

mod apache_hll;
mod exaloglog;
mod hyperloglog;

pub use apache_hll::{ApacheHll, ApacheHllType};
pub use exaloglog::{Exa, ExaLogLog, LogLogSketch, Shape, Ultra, UltraLogLog};
pub use hyperloglog::{AtomicHyperLogLog, HyperLogLog};
