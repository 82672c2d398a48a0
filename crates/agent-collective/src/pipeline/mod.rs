//! Staged batches: items go through a row of stages, each item with its verdict and each stage
//! with its time.
//!
//! | stage | does |
//! |---|---|
//! | [`Filter`] | keeps what a function accepts |
//! | [`Transform`] | makes something else of each item, or fails |
//! | [`Dedupe`] | keeps the first item of each key |
//! | [`Validate`] | runs code that may compute for long, wait, crash or never end, with a deadline |
//! | [`ReadFiles`], [`WriteFiles`] | file operations in groups, atomic and bounded |
//! | [`Diff`] | compares each item with an earlier version |
//!
//! A [`Pipeline`] takes a batch of items through all stages and gives one [`Verdict`] per item, in
//! the order of the items and the same for every number of workers (but for items that end close
//! to their deadline), and a [`PipelineReport`] whose times add up to the wall time of the run.
//!
//! All stages but `Validate` run on the workers of the runtime. `Validate` has threads of its
//! own, because what it runs may have to be left behind.

mod builder;
mod context;
mod crew;
mod diff;
mod files;
mod lane;
mod lane_state;
mod lane_thread;
mod report;
mod stage;
mod steps;
mod timers;
mod validate;
mod verdict;

pub use builder::{Pipeline, PipelineRun};
pub use context::{ItemContext, Sleep};
pub use diff::{Change, Diff, Diffed, Versions};
pub use files::{FileContent, ReadFiles, WriteFiles, Written};
pub use report::{PipelineReport, StageReport};
pub use stage::Stage;
pub use steps::{Dedupe, Filter, Transform};
pub use validate::Validate;
pub use verdict::{BoxError, Stop, Verdict};
