//! Harness behind the criterion suites: one suite per component, each crate beside its peers.
//!
//! A suite is a list of criterion groups. Ours and every peer stand in the same group, on the same
//! prepared input, and the result of each is checked before it is timed. After a real run
//! (`cargo bench --bench NAME`) the suite writes `target/neurectomy/NAME.json` and prints the same
//! rows as a table; see [`Row`] for the columns. A smoke run (`cargo test --benches`) executes each
//! benchmark once on small input, checks every result, and writes nothing, because it measures
//! nothing.
//!
//! | module | holds |
//! |---|---|
//! | [`suite`] | [`Suite`]: criterion, smoke size, the rows, the file |
//! | [`row`] | [`Row`], [`Goal`]: what a comparison states |
//! | [`estimates`] | reads criterion's medians back |
//! | [`environment`] | commit, CPU, compiler, date of a run |
//! | [`corpus`] | the inputs: a folder of real files, or seeded generated ones |
//! | [`journal`] | the rows as lines, while the suite runs |
//! | [`instructions`] | instructions of a piece of work, by callgrind |
//! | [`profile`] | hotspots and a flame graph of a suite (feature `pprof`) |
//! | [`heap`] | what a suite allocates, by function (feature `dhat`) |
//! | [`calls`] | instructions and calls of a suite's functions, by callgrind |
//! | [`stats`] | rank test, shift, slope |
//! | `harness` | the program `neurectomy-bench` (feature `harness`) |
//! | `models` | seeded models of real shapes, as files |
//! | `own_texts` | texts of the shipped model, and how likely it finds them |

pub mod calls;
pub mod corpus;
pub mod environment;
pub mod estimates;
mod frames;
#[cfg(feature = "harness")]
pub mod harness;
pub mod heap;
pub mod instructions;
pub mod journal;
mod lifeline;
#[cfg(any(feature = "inference", feature = "workflow"))]
pub mod models;
#[cfg(any(feature = "inference", feature = "workflow"))]
pub mod own_texts;
pub mod profile;
pub mod row;
pub mod stats;
pub mod suite;

pub use environment::Environment;
pub use row::{Goal, Row};
pub use suite::{BenchError, Comparison, Suite, run};
