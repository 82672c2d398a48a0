//! Maps over many items or files: sequential, parallel, on N workers, with the same results in
//! every mode.
//!
//! | call | items | results |
//! |---|---|---|
//! | [`Batch::map`], [`Batch::map_weighted`] | a slice | a vector in the order of the items |
//! | [`Batch::for_each`] | an iterator, taken as needed | a sink, in order or as they become ready |
//! | [`FileBatch::run`] | the files below a folder | files of a second folder, the same tree |
//! | [`Batch::benchmark`], [`FileBatch::benchmark`] | as above | a comparison of all modes |
//!
//! A failed or panicking item costs itself only, unless the batch is set to
//! [`FailFast`](OnError::FailFast). Every result carries [`LaneTimes`], which add up to the wall
//! time of the lanes. An item that never returns keeps its lane and thus the batch; for items that
//! may not end there is [`pipeline::Validate`](crate::pipeline::Validate).

mod benchmark;
mod config;
pub(crate) mod file;
mod files;
pub(crate) mod lanes;
mod map;
mod outcome;
mod progress;
mod stream;
mod tree;

pub use benchmark::{ModeComparison, ModeRow};
pub use config::{BatchConfig, Mode, OnError, Order};
pub use files::{FileBatch, WrittenFile};
pub use lanes::LaneTimes;
pub use map::Batch;
pub use outcome::{BatchReport, ItemError, Mapped};
pub use progress::{Observer, Progress};
pub use tree::InputFile;
