//! Counters and what opening found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::losses::Damage;

/// What opening a vault found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The index came from its snapshot: only what was written behind that was read.
    pub from_snapshot: bool,
    /// Sound records read.
    pub records: u64,
    /// Bytes cut from the end of the log: writes that a crash interrupted before they were
    /// acknowledged as durable.
    pub torn_tail_bytes: u64,
    /// Sound records among them, given up so that what survives is a prefix of the writes.
    pub torn_tail_records: u64,
    /// Every damaged place, at most [`DAMAGE_MAX`](Self::DAMAGE_MAX) of them.
    pub damage: Vec<Damage>,
    /// The number of damaged places.
    pub damage_count: u64,
    /// The manifest was rebuilt from the segments.
    pub manifest_rebuilt: bool,
}

impl RecoveryReport {
    /// The most damaged places that are listed one by one.
    pub const DAMAGE_MAX: usize = 10_000;

    pub(crate) fn add_damage(&mut self, damage: Damage) {
        tracing::warn!(
            file = %damage.file.display(),
            offset = damage.offset,
            bytes = damage.bytes,
            kind = ?damage.kind,
            "damage found"
        );
        self.damage_count += 1;
        if self.damage.len() < Self::DAMAGE_MAX {
            self.damage.push(damage);
        }
    }
}

/// Sizes and counts of an open vault; counts are since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Live keys.
    pub keys: u64,
    /// Live RSUs.
    pub rsus: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes in segment files; space reserved behind the end of the log (up to 4 MiB) is not
    /// counted.
    pub disk_bytes: u64,
    /// Bytes of records that are some key's newest.
    pub live_bytes: u64,
    /// Bytes of memory that the index of plain keys takes.
    pub index_bytes: u64,
    /// Records written.
    pub records_written: u64,
    /// Bytes written, record frames included.
    pub written_bytes: u64,
    /// Syncs asked of the medium.
    pub syncs: u64,
    /// Reads that found a value.
    pub reads: u64,
    /// Reads of absent keys.
    pub read_misses: u64,
    /// Reads refused because of damage.
    pub reads_refused: u64,
    /// Bytes of records that compaction copied.
    pub compacted_bytes: u64,
    /// Bytes by which compaction shrank the segment files.
    pub reclaimed_bytes: u64,
    /// Times that writers were kept waiting for a segment to be sealed or compacted ones replaced.
    pub stalls: u64,
    /// How long those took together, in microseconds.
    pub stall_us: u64,
    /// The longest of them, in microseconds.
    pub stall_us_max: u64,
    /// Snapshots of the index written.
    pub index_snapshots: u64,
    /// Bytes of those.
    pub index_snapshot_bytes: u64,
    /// Reads answered from the [cache](crate::Options::read_cache_bytes).
    pub cache_hits: u64,
    /// Reads that asked it in vain.
    pub cache_misses: u64,
    /// Values in it.
    pub cache_entries: u64,
    /// Bytes that they take, what each needs beside itself included.
    pub cache_bytes: u64,
    /// What opening found.
    pub recovery: RecoveryReport,
}

impl Stats {
    /// Bytes written, copies by compaction included, for every byte of records written; 1 before
    /// the first write.
    pub fn write_amplification(&self) -> f64 {
        ratio(
            self.written_bytes.saturating_add(self.compacted_bytes),
            self.written_bytes,
        )
    }

    /// Bytes in segment files for every live byte; 1 where nothing is live.
    pub fn space_amplification(&self) -> f64 {
        ratio(self.disk_bytes, self.live_bytes)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    part as f64 / whole as f64
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records_written: Counter,
    pub(crate) written_bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) index_snapshots: Counter,
    pub(crate) index_snapshot_bytes: Counter,
    pub(crate) reads: Counter,
    pub(crate) reads_refused: Counter,
    pub(crate) compacted_bytes: Counter,
    pub(crate) reclaimed_bytes: Counter,
    pub(crate) stalls: Counter,
    pub(crate) stall_us: Counter,
    pub(crate) stall_us_max: Counter,
}

impl Counters {
    /// Writers were kept waiting for this long.
    pub(crate) fn stalled(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.stalls.add(1);
        self.stall_us.add(us);
        self.stall_us_max.0.fetch_max(us, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
