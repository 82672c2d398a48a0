//! A seeded disk that loses what a real one may lose.
//!
//! The model is stricter than common file systems: only `sync` makes a file's bytes and length
//! durable, only `sync_dir` makes names durable, and whatever lies between may survive a power
//! cut in any combination of 512-byte pieces. What is never done: changing bytes that were synced
//! and not written since (the assumption called "no collateral damage" in the format document);
//! the explicit damage calls are there for that.

mod disk;
mod rng;
mod storage;
mod survive;

pub use disk::{DiskError, Faults};
pub use storage::SimulatedStorage;
