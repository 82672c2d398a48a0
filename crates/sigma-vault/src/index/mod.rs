//! Where the newest record of every key lies.
//!
//! Plain keys are in [`Shard`]s: a 32-bit hash and a 64-bit [`Word`] per key, 12 bytes, and no
//! key; whoever looks one up reads the record a candidate points to and compares. [`Table`] is the
//! plain form, ordinary hash maps that hold the keys themselves: it serves the few RSUs, and tests
//! hold the shards to it.
//!
//! Everything here changes under the log's lock only, so whoever holds that sees it standing still.
//! Readers of plain keys share no lock with each other or with writers that only add or replace: they
//! pass a `Gate`, which is closed only when a shard is replaced by a larger one or a segment comes
//! or goes.

mod barrier;
mod files;
mod gate;
mod lines;
mod places;
mod seat;
mod shard;
mod snapshot;
mod sync;
mod table;
mod word;

pub(crate) use files::{FileTable, Files, SegmentFile};
pub(crate) use places::{Candidate, Candidates, Change, Index, SHARDS};
pub(crate) use snapshot::{
    Behind, Counted, Parsed, SNAPSHOT_NAME, Share, Slot, Snapshot, read_snapshot, write_snapshot,
};
pub(crate) use table::Entry;
pub(crate) use word::{SLOTS_MAX, Word};
