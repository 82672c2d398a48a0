//! Locality-sensitive hashing: stored signatures that are like a given one, without comparing all.
//!
//! | file | concern |
//! |---|---|
//! | `banding.rs` | bands and rows from the threshold |
//! | `buckets.rs` | which signatures are equal in a band |
//! | `index.rs` | the index |
//!
//! A signature is cut into bands of a few rows. Two signatures are candidates if any band is equal
//! in all its rows; each candidate is then compared in full, so an answer never contains a
//! signature below the threshold.

mod banding;
mod buckets;
mod index;

pub use banding::Banding;
pub use index::LshIndex;
