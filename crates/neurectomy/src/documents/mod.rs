//! What a workflow reads: text files, found in the files and folders that a user names.
//!
//! | file | holds |
//! |---|---|
//! | `scan.rs` | finding documents; what is skipped and why |
//! | `document.rs` | one document's bytes and its content id |

mod document;
mod scan;

pub use document::{ContentId, Document};
pub use scan::{Scan, Skipped, Source, scan};
