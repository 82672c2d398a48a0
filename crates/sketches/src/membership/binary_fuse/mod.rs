//! The binary fuse filter: a static set at nine bits a key.
//!
//! | file | concern |
//! |---|---|
//! | `layout.rs` | sizes; a hash as three positions and a fingerprint |
//! | `construct.rs` | hashes to fingerprints |
//! | `stream.rs` | the order in which many keys can be placed |
//! | `sketch.rs` | the structure |
//! | `codec.rs` | bytes |

mod codec;
mod construct;
mod layout;
mod sketch;
mod stream;

pub use sketch::BinaryFuse8;
