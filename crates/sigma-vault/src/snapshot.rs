//! When the index is written to its snapshot, and how.

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use crate::error::VaultError;
use crate::index::{Slot, Snapshot, write_snapshot};
use crate::options::Options;
use crate::vault::{Vault, held, shared};

/// A snapshot waits for a better moment while more than this is not durable. Of records of a hundred
/// bytes a snapshot finds less.
const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// What opening has to do for records, in the bytes of small ones that it reads in the same time: a
/// record costs more than the bytes of its value.
fn replay_weight(records: u64, bytes: u64) -> u64 {
    const RECORD_WEIGHT: u64 = 112;
    bytes / 8 + records.saturating_mul(RECORD_WEIGHT)
}

/// When the first snapshot of a vault is due that opened with so many records and bytes behind the
/// last one: crash upon crash must not add up to a long tail.
pub(crate) fn first_due(options: &Options, records: u64, bytes: u64) -> u64 {
    let behind = replay_weight(records, bytes);
    options.snapshot_bytes_min().saturating_sub(behind)
}

impl Vault {
    /// Writes a snapshot of the index if enough was written since the last one and no compaction
    /// is under way. Called without any lock held.
    pub(crate) fn snapshot_if_due(&self) {
        let weight = self.written_weight();
        let due = self.snapshot_due.load(Ordering::Relaxed);
        if weight < due {
            return;
        }
        // The sync that it wants would keep this writer waiting; sealing the segment brings one.
        let late = due.saturating_add(self.options.snapshot_bytes_min().saturating_mul(2));
        if weight < late && held(&self.log).unsynced_bytes() > UNSYNCED_BYTES_MAX {
            return;
        }
        // While records are moved, copies of shards taken one by one would not fit together.
        let _still = match self.compaction.try_lock() {
            Ok(still) => still,
            Err(TryLockError::Poisoned(still)) => still.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Err(error) = self.snapshot_index() {
            tracing::warn!(%error, "no index snapshot written");
        }
    }

    /// What was written so far, as [`replay_weight`] has it.
    fn written_weight(&self) -> u64 {
        let records = self.counters.records_written.get();
        replay_weight(records, self.counters.written_bytes.get())
    }

    /// Writes a snapshot of the index. The caller keeps compaction from running; reads and writes
    /// go on.
    ///
    /// # Errors
    /// Those of a sync of the log; where only the snapshot fails, that is logged and no error.
    pub(crate) fn snapshot_index(&self) -> Result<(), VaultError> {
        let index_bytes = self.index.memory_bytes() as u64;
        // Opening takes no longer for what is behind than for the index; a large one is not written
        // as often for that.
        let min = self.options.snapshot_bytes_min();
        let large = index_bytes.saturating_sub(min.saturating_mul(3));
        let wait = min.max(large.saturating_mul(2));
        let due = self.written_weight().saturating_add(wait);
        self.snapshot_due.store(due, Ordering::Relaxed);
        // What is known to be lost is not in a snapshot: opening has to find it again.
        if self.any_losses || !self.unsound.is_empty() {
            return Ok(());
        }
        let (mark, mut slots) = {
            let log = held(&self.log);
            if log.must_roll {
                return Ok(());
            }
            let ledger = |segment| (segment, log.ledger(segment));
            let segments = log.manifest.marks.iter().map(|mark| mark.segment);
            (log.end_mark(), segments.map(ledger).collect::<Vec<_>>())
        };
        let shards = self.index.shards();
        let keyed = self.index.keyed_all();
        let slots = {
            let files = shared(&self.files);
            let known = files.iter().map(|(slot, file)| {
                let position = slots
                    .iter()
                    .position(|(segment, _)| *segment == file.segment);
                Slot {
                    slot,
                    segment: file.segment,
                    ledger: position
                        .map(|at| slots.swap_remove(at).1)
                        .unwrap_or_default(),
                }
            });
            known.collect()
        };
        // Everything that the copies point to.
        self.sync_log()?;
        let snapshot = Snapshot {
            vault_id: self.vault_id,
            mark,
            slots,
            shards,
            keyed,
        };
        let bytes = snapshot.encode();
        drop(snapshot);
        if write_snapshot(&self.medium, &bytes)? {
            self.counters.index_snapshots.add(1);
            self.counters.index_snapshot_bytes.add(bytes.len() as u64);
        }
        Ok(())
    }
}
