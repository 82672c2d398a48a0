//! Space-Saving: the most frequent keys with an error bound for each.
//!
//! | file | concern |
//! |---|---|
//! | `sketch.rs` | the structure |
//! | `victims.rs` | which entry is given up next |
//! | `codec.rs` | bytes |

mod codec;
mod sketch;
mod victims;

pub use sketch::{Heavy, SpaceSaving};
