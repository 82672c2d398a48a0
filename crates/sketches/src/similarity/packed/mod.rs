//! Signatures of a few bits per minimum.
//!
//! | file | concern |
//! |---|---|
//! | `signature.rs` | packing and the corrected estimate |
//! | `codec.rs` | bytes |

mod codec;
mod signature;

pub use signature::PackedSignature;
