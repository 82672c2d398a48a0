//! The parts of the program `neurectomy-bench`.
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | spec files: what a benchmark runs, which rows are its own, what they are held to |
//! | [`executables`] | builds or finds the suites |
//! | [`runner`] | starts suites, keeps their rows however they end |
//! | [`resources`] | CPU, memory and disk of a running suite, class of its bottleneck |
//! | [`waits`] | what the threads of a suite wait for |
//! | [`campaign`] | several days of specs by one command |
//! | [`results`] | the file of results |
//! | [`baseline`] | results under version control |
//! | [`stats`] | rank test, shift, slope |
//! | [`compare`] | results against a baseline |
//! | [`analysis`] | targets, rows behind their peer, what to do next |
//! | [`report`] | the page and its Markdown twin |
//! | [`cli`] | arguments and printed lines |

pub mod analysis;
mod bar;
pub mod baseline;
pub mod campaign;
pub mod cli;
pub mod compare;
mod error;
pub mod executables;
pub mod report;
pub mod resources;
pub mod results;
pub mod runner;
pub mod spec;
pub mod waits;

pub use crate::stats;
pub use error::HarnessError;
