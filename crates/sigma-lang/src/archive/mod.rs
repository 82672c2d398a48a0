//! Many files in one, equal parts kept once: content-defined chunks, and an index of the files.
//! Format: `docs/formats/sigma-archive.md`.

mod chunker;
mod index;
mod path;
mod reader;
pub(crate) mod reference;
mod writer;

pub use index::ArchiveEntry;
pub use reader::ArchiveReader;
pub use writer::{ArchiveSummary, ArchiveWriter};
