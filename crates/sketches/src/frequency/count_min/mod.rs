//! Count-Min: frequencies in fixed memory, never too low.
//!
//! | file | concern |
//! |---|---|
//! | `builder.rs` | parameters, their limits and defaults |
//! | `sketch.rs` | the structure |
//! | `atomic.rs` | the structure, shared by threads |
//! | `rows.rs` | places of a hash, loops over the rows |
//! | `codec.rs` | bytes |

#[cfg(target_has_atomic = "32")]
mod atomic;
mod builder;
mod codec;
mod rows;
mod sketch;

#[cfg(target_has_atomic = "32")]
pub use atomic::AtomicCountMin;
pub use builder::{CountMinBuilder, Update};
pub(super) use rows::{DEPTH_MAX, MULTIPLIERS, cell_of};
pub use sketch::CountMin;
