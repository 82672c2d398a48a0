//! Sessions: small values in order, each packed against the values before it.
//!
//! Both sides keep one zstd stream open per session, primed with a dictionary, and flush it behind
//! every value: a record costs two bytes beyond its zstd block and leans on everything that the
//! session said within the window. The price is order: a record decodes only behind the one before
//! it. Numbers in the records find gaps and swaps, a chained checksum proves the content.
//!
//! *Start* records begin a stream anew, either fresh ([`SessionEncoder::reset`]: a decoder may join
//! there) or with the history so far ([`SessionEncoder::checkpoint`]: a side that was restored from
//! the [`SessionSnapshot`] goes on there).

mod config;
mod decoder;
mod encoder;
mod head;
mod history;
pub(crate) mod reference;
mod snapshot;

pub use config::SessionConfig;
pub use decoder::SessionDecoder;
pub use encoder::SessionEncoder;
pub use snapshot::SessionSnapshot;
