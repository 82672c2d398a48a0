//! Several days of benchmarks by one command: each day has its specs and its own file of results, so
//! that a day that fails leaves the others, and a campaign that was stopped goes on where it was.

mod plan;
mod run;

pub use plan::{Day, read};
pub use run::{Campaign, DayRun, merged, run};
