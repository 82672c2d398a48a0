//! Gives back the space of replaced and removed records.
//!
//! `plan` picks segments from their sizes alone; `collect` walks them and decides record by record
//! what must be kept; `copy` writes that into one new segment; `run` brings the new segment into
//! force in place of the old ones with one manifest, and then removes those. `expired` goes first:
//! it writes removals for values whose time is over, which makes them garbage. `repair` does the same
//! to damaged segments, on request, giving up what is lost.
//!
//! Copies keep their sequence numbers, so every judgement about what is newest, and about what an
//! unattributable loss puts in doubt, stays as it was. A segment with damage that matters is never
//! given up: it stays, and so does the report of it.

mod collect;
mod copy;
mod expired;
mod plan;
mod rate;
mod repair;
mod run;

pub(crate) use plan::Policy;
pub use repair::RepairReport;
pub use run::CompactionReport;
pub(crate) use run::Pinned;
