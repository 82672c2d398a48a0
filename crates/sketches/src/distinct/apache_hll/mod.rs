//! The HyperLogLog of Apache DataSketches, with its hash and its bytes.
//!
//! | file | concern |
//! |---|---|
//! | `coupon.rs` | a key as slot and value |
//! | `sketch.rs` | the structure, its modes and its estimators |
//! | `codec.rs` | the bytes of the library, in all modes |

mod codec;
mod coupon;
mod sketch;

pub use sketch::{ApacheHll, ApacheHllType};
