//! Compression against a base, which is earlier data that the new data mostly repeats, and the
//! search for one.
//!
//! The search needs no copy of the bases: it keeps hashes of their prefixes (`prefix.rs`), which
//! find the exact start of a grown context, and MinHash signatures (`similar.rs`), which find a
//! base that shares parts.

mod against;
mod finder;
mod prefix;
mod similar;

pub use against::{compress_with_base, decompress_with_base};
pub use finder::{BaseFinder, BaseFinderConfig, BaseMatch};
