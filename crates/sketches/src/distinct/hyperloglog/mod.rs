//! HyperLogLog: distinct counts in fixed memory.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure and its two representations |
//! | `atomic.rs` | the registers that many threads write |
//! | `coupon.rs` | a hash as register and rank, or as a 32-bit coupon |
//! | `coupon_set.rs` | the coupons of a sparse sketch |
//! | `estimator.rs` | registers to count |
//! | `codec.rs` | bytes |

mod atomic;
mod codec;
mod coupon;
mod coupon_set;
mod estimator;
mod sketch;

pub use atomic::AtomicHyperLogLog;
pub(in crate::distinct) use estimator::estimate_ranks;
pub use sketch::HyperLogLog;
