//! Documents through the five teams, from files to a report.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | the driver: scan, feed, collect, synthesise |
//! | `journey.rs` | one document's way from team to team |
//! | `span.rs` | wall and CPU time of a part of the run |
//! | `account.rs` | the runtime's report as rows of the table |
//! | `report.rs` `table.rs` | the result and its table |
//! | `observer.rs` | events for progress bars |

mod account;
mod journey;
mod observer;
mod report;
mod run;
mod span;
mod table;

pub use observer::{Event, Observer};
pub use report::{Failure, Stage, StageKind, WorkflowReport};

pub(crate) use span::Span;
