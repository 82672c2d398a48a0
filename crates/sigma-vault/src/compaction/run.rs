//! Runs compaction: plan, collect, copy, switch.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use super::collect::{Kept, Walk};
use super::copy::{Copied, CopyError};
use super::plan::{Plan, Policy, SegmentState, plan};
use super::repair::RepairReport;
use crate::error::VaultError;
use crate::index::{Files, SegmentFile};
use crate::log::{COPY_BIT, Kind, Ledger, Log, Mark, segment_name};
use crate::vault::{Vault, exclusive, held, shared};

/// Segments that hold damage that must stay reported; guarded so that one compaction runs at once.
pub(crate) type Pinned = HashSet<u64>;

/// What [`Vault::compact`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// Segments given up.
    pub segments_removed: u64,
    /// Segments written in their place.
    pub segments_written: u64,
    /// Records copied.
    pub records_copied: u64,
    /// Bytes copied, record frames included.
    pub copied_bytes: u64,
    /// Bytes that the removed segments had more than those written.
    pub reclaimed_bytes: u64,
    /// Removals dropped because they no longer hide anything.
    pub tombstones_dropped: u64,
    /// Expired values that were removed.
    pub values_expired: u64,
    /// Segments left alone because they hold damage that must stay reported.
    pub segments_damaged: u64,
}

/// What one step came to.
enum Step {
    /// Nothing is left to do, or nothing that helps.
    Done,
    Moved,
    /// A source turned out to be damaged; plan again without it.
    Pinned,
}

impl Vault {
    /// Gives back the space of replaced, removed and expired records, until garbage is below
    /// [`Options::compaction_slack_percent`](crate::Options::compaction_slack_percent) of the live
    /// bytes. Reads and writes go on meanwhile; a second call waits for the first.
    ///
    /// A segment in which a live record is damaged, or in which bytes of unknown keys are, is left
    /// as it is, so that the damage stays reported.
    ///
    /// Cost: reads the chosen segments, writes what is live of them, one manifest per step; needs
    /// free space for one segment at a time. Writers wait for the switch (the syncs of one
    /// manifest) only.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
    ///
    /// let options = Options::new().segment_bytes(4096);
    /// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options)?;
    /// for number in 0..2000_u32 {
    ///     vault.put(b"counter", &number.to_le_bytes(), Durability::Buffered)?;
    /// }
    /// let report = vault.compact()?;
    /// assert!(report.reclaimed_bytes > 100_000);
    /// assert_eq!(vault.get(b"counter")?.as_deref(), Some(&1999_u32.to_le_bytes()[..]));
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    ///
    /// # Errors
    /// [`VaultError::OutOfSpace`] or [`VaultError::Io`], after which everything is as it was before
    /// the failing step; [`VaultError::Poisoned`] after an earlier sync failed.
    pub fn compact(&self) -> Result<CompactionReport, VaultError> {
        let mut pinned = held(&self.compaction);
        self.medium.check_writable()?;
        let mut report = CompactionReport {
            values_expired: match self.remove_expired() {
                // What is garbage already may make the room; the rest is for the next time.
                Err(VaultError::OutOfSpace { .. }) => 0,
                other => other?,
            },
            ..CompactionReport::default()
        };
        loop {
            self.medium.check_writable()?;
            match self.step(&mut pinned, &mut report)? {
                Step::Done => break,
                Step::Moved | Step::Pinned => {}
            }
        }
        report.segments_damaged = pinned.len() as u64;
        if report.segments_removed > 0 {
            // The old one tells of segments that are gone.
            self.snapshot_index()?;
        }
        Ok(report)
    }

    fn step(
        &self,
        pinned: &mut MutexGuard<'_, Pinned>,
        report: &mut CompactionReport,
    ) -> Result<Step, VaultError> {
        let Some((plan, sources, others, files)) = self.plan_step(pinned) else {
            return Ok(Step::Done);
        };
        let mut kept = Vec::new();
        for mark in &sources {
            if let Walk::Damaged = self.collect(&files, *mark, &mut kept)? {
                self.pin(pinned, mark.segment);
                return Ok(Step::Pinned);
            }
        }
        let dropped = self.drop_tombstones(&files, &others, plan.sweep, &mut kept)?;
        // What replaced the records that are given up must be durable before they are.
        self.sync_log()?;
        kept.sort_by_key(|record| record.sequence);
        let old: u64 = sources.iter().map(|mark| mark.bytes).sum();
        let new: u64 = kept.iter().map(|record| record.bytes).sum();
        if new + u64::from(!kept.is_empty()) * 64 >= old && sources.len() < 2 {
            return Ok(Step::Done);
        }
        let copied = if kept.is_empty() {
            None
        } else {
            let number = {
                let mut log = held(&self.log);
                log.manifest.next_segment += 1;
                COPY_BIT | (log.manifest.next_segment - 1)
            };
            let rate = self.options.compaction_rate();
            match self.copy_records(&files, number, &kept, rate) {
                Ok(copied) => Some(copied),
                Err(CopyError::Damaged { segment }) => {
                    self.pin(pinned, segment);
                    return Ok(Step::Pinned);
                }
                Err(CopyError::Vault(error)) => return Err(error),
            }
        };
        if !self.switch(&sources, &kept, copied.as_ref())? {
            for mark in &sources {
                self.pin(pinned, mark.segment);
            }
            return Ok(Step::Pinned);
        }
        self.remove_sources(&sources)?;
        let written = copied.as_ref().map_or(0, |copied| copied.mark.bytes);
        self.counters.compacted_bytes.add(new);
        self.counters
            .reclaimed_bytes
            .add(old.saturating_sub(written));
        report.segments_removed += sources.len() as u64;
        report.segments_written += u64::from(copied.is_some());
        report.records_copied += kept.len() as u64;
        report.copied_bytes += new;
        report.reclaimed_bytes += old.saturating_sub(written);
        report.tombstones_dropped += dropped;
        Ok(Step::Moved)
    }

    /// The next plan, the marks of its sources, those of all other segments with what their
    /// sequence numbers exceed, and the files as of then.
    #[expect(clippy::type_complexity, reason = "one caller takes it apart at once")]
    fn plan_step(&self, pinned: &Pinned) -> Option<(Plan, Vec<Mark>, Vec<(Mark, u64)>, Files)> {
        let log = held(&self.log);
        let files = Arc::clone(&shared(&self.files));
        let (_, sealed) = log.manifest.marks.split_last()?;
        let states: Vec<SegmentState> = {
            let index = &self.index;
            sealed
                .iter()
                .map(|mark| SegmentState {
                    segment: mark.segment,
                    bytes: mark.bytes,
                    live_bytes: index.live_bytes_in(mark.segment),
                    tombstone_bytes: log.ledger(mark.segment).tombstone_bytes,
                    pinned: pinned.contains(&mark.segment) || !files.contains(mark.segment),
                })
                .collect()
        };
        let policy: Policy = self.options.compaction_policy();
        let plan = plan(&states, policy)?;
        let mut sources = Vec::new();
        let mut others = Vec::new();
        for mark in sealed {
            if plan.sources.contains(&mark.segment) {
                sources.push(*mark);
            } else {
                others.push((*mark, log.ledger(mark.segment).base_sequence));
            }
        }
        Some((plan, sources, others, files))
    }

    fn pin(&self, pinned: &mut Pinned, segment: u64) {
        let file = self.medium.path(&segment_name(segment));
        tracing::warn!(file = %file.display(), "damaged segment is kept and not compacted");
        pinned.insert(segment);
    }

    /// Brings the copy into force in place of the sources. `false` when the sources hold live
    /// records that were not copied, which cannot be unless they are damaged.
    fn switch(
        &self,
        sources: &[Mark],
        kept: &[Kept],
        copied: Option<&Copied>,
    ) -> Result<bool, VaultError> {
        let mut log = held(&self.log);
        let start = Instant::now();
        if !self.covers(sources, kept) {
            if let Some(copied) = copied {
                let _ = self
                    .medium
                    .storage
                    .remove(&segment_name(copied.mark.segment));
            }
            return Ok(false);
        }
        self.replace_segments(&mut log, sources, copied)?;
        self.relocate(&mut log, sources, kept, copied)?;
        self.counters.stalled(start.elapsed());
        Ok(true)
    }

    /// Brings a segment into force that holds what could be kept of a damaged one.
    pub(super) fn switch_repaired(
        &self,
        source: Mark,
        kept: &[Kept],
        copied: Option<&Copied>,
        report: &mut RepairReport,
    ) -> Result<(), VaultError> {
        let mut log = held(&self.log);
        self.replace_segments(&mut log, &[source], copied)?;
        let files = Arc::clone(&shared(&self.files));
        self.relocate(&mut log, &[source], kept, copied)?;
        report.lost_keys_unnamed += self.index.forget(source.segment, &files);
        Ok(())
    }

    /// The manifest without the sources and with the copy, durably.
    fn replace_segments(
        &self,
        log: &mut Log,
        sources: &[Mark],
        copied: Option<&Copied>,
    ) -> Result<(), VaultError> {
        let mut manifest = log.manifest_now();
        let gone = |segment: u64| sources.iter().any(|mark| mark.segment == segment);
        manifest.marks.retain(|mark| !gone(mark.segment));
        if let Some(copied) = copied {
            let active = manifest.marks.len().saturating_sub(1);
            manifest.marks.insert(active, copied.mark);
        }
        if let Err(error) = manifest.commit(&self.medium) {
            if self.medium.check_writable().is_ok()
                && let Some(copied) = copied
            {
                // The old manifest is in force.
                let _ = self
                    .medium
                    .storage
                    .remove(&segment_name(copied.mark.segment));
            }
            return Err(error);
        }
        log.manifest = manifest;
        Ok(())
    }

    /// Whether every live byte of the sources is among `kept`. Called under the log's lock, under
    /// which alone the index changes.
    fn covers(&self, sources: &[Mark], kept: &[Kept]) -> bool {
        sources.iter().all(|mark| {
            let found: u64 = kept
                .iter()
                .filter(|record| record.segment == mark.segment && record.kind == Kind::Put)
                .filter(|r| self.index.points_at(r.space, &r.key, r.segment, r.offset))
                .map(|record| record.bytes)
                .sum();
            found == self.index.live_bytes_in(mark.segment)
        })
    }

    fn relocate(
        &self,
        log: &mut Log,
        sources: &[Mark],
        kept: &[Kept],
        copied: Option<&Copied>,
    ) -> Result<(), VaultError> {
        let mut files = exclusive(&self.files);
        if let Some(copied) = copied {
            let segment = copied.mark.segment;
            let file = Arc::clone(&copied.file);
            let file = SegmentFile::sealed(segment, file, copied.mark.bytes);
            Arc::make_mut(&mut files).insert(file);
            self.show_files(&files)?;
            for (record, offset) in kept.iter().zip(&copied.offsets) {
                if record.kind == Kind::Put {
                    let from = (record.segment, record.offset);
                    let to = (segment, *offset);
                    self.index
                        .relocate(record.space, &record.key, from, to, record.bytes);
                }
            }
            let removals = kept.iter().filter(|record| record.kind == Kind::Delete);
            let mut ledger = Ledger {
                base_sequence: copied.base_sequence,
                tombstone_bytes: removals.map(|record| record.bytes).sum(),
                expires_first_s: 0,
            };
            for record in kept {
                ledger.note_expiry(record.expires_s);
            }
            log.set_ledger(segment, ledger);
        }
        for mark in sources {
            Arc::make_mut(&mut files).remove(mark.segment);
            log.forget_ledger(mark.segment);
        }
        self.show_files(&files)
    }

    /// Removes the files of segments that no manifest names any more. Iterators that were made
    /// before keep reading them through their open handles.
    pub(super) fn remove_sources(&self, sources: &[Mark]) -> Result<(), VaultError> {
        for mark in sources {
            // Best effort: what stays is removed at the next opening.
            let _ = self.medium.storage.remove(&segment_name(mark.segment));
        }
        self.medium
            .storage
            .sync_dir()
            .map_err(|source| self.medium.poisoned_by("sync", "", source))
    }
}
