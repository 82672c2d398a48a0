//! The binary fuse filter: a static set at nine bits a key.
//!
//! | file | concern |
//! |---|---|
//! | `layout.rs` | sizes; a hash as three positions and a fingerprint |
//! | `construct.rs` | hashes to fingerprints |
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod construct;
mod layout;
mod sketch;

pub use sketch::BinaryFuse8;
