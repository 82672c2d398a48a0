//! The append position: framing, writing, and moving on to the next segment.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::manifest::{Manifest, Mark};
use super::record::{
    Checks, Draft, FLAG_BATCH_MORE, Form, Header, Kind, Links, Place, Space, UNIT_BYTES,
    append_record, record_bytes,
};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHead, create_segment, segment_name};
use super::tail::Tail;
use crate::error::VaultError;
use crate::io::{StorageFile, write_all_at};
use crate::medium::Medium;
use crate::options::BATCH_BYTES_MAX;
use crate::seal::Sealer;

/// A write that is encoded but has no place yet.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    pub(crate) kind: Kind,
    pub(crate) space: Space,
    pub(crate) key: &'a [u8],
    pub(crate) stored: std::borrow::Cow<'a, [u8]>,
    pub(crate) raw_bytes: u32,
    /// In seconds since 1970; 0 is never.
    pub(crate) expires_s: u32,
    pub(crate) form: Form,
    pub(crate) checks: Checks,
}

/// Where a record went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) header: Header,
}

/// Sizes that the options set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Segments are sealed at this size.
    pub(crate) segment_bytes: u64,
    /// Records that need not be in the file at once are gathered up to this size.
    pub(crate) buffer_bytes: usize,
    /// The medium is told to begin writing what is in the file when it is this much.
    pub(crate) begin_bytes: u64,
}

/// Where a write is to be when it returns from [`Log::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Gathered in memory, as long as there is room.
    Memory,
    /// In the file.
    File,
    /// In the file, and about to be synced.
    Device,
}

/// What compaction needs to know of a segment beyond its mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Every record in the segment has a higher sequence number; 0 where that is not known.
    pub(crate) base_sequence: u64,
    /// Bytes of removals.
    pub(crate) tombstone_bytes: u64,
    /// No value in the segment that is some key's newest expires before, in seconds since 1970; 0
    /// where none expires.
    pub(crate) expires_first_s: u32,
}

/// The active segment and the manifest; one lock guards both.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) manifest: Manifest,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) segment: u64,
    /// What of the segment is not in its file yet.
    pub(crate) tail: Arc<Tail>,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// The length of the file: space is reserved ahead of the records.
    reserved: u64,
    /// The blocks of the file below this were written, by records or by zeros behind them.
    zeroed: u64,
    /// Everything in the segment below this is durable.
    pub(crate) durable: u64,
    /// How much the last sync made durable.
    synced_bytes: u64,
    /// The medium was told to begin writing everything below this.
    begun: u64,
    pub(crate) last_sequence: u64,
    pub(crate) last_key_hash: u32,
    pub(crate) last_units: u32,
    /// The active segment may not be appended to: its tail was lost.
    pub(crate) must_roll: bool,
    ledgers: HashMap<u64, Ledger>,
}

/// A buffer larger than this is given back after use.
const BUFFER_KEPT_BYTES: usize = 1 << 20;
/// Writing begins when this much is waiting for a sync: sealing a segment then need not wait for
/// all of it.
pub(crate) const BEGIN_BYTES: u64 = 1 << 20;
/// Blocks that are only reserved cost the sync of the first write to each a change of the file's
/// extents. Where writes come one by one, so that every sixth sync would pay for that, zeros are
/// written this far ahead along with one of them.
const AHEAD_BYTES: u64 = 64 << 10;
/// Writes come one by one if syncs find no more than this.
const AHEAD_SYNC_BYTES_MAX: u64 = 8 << 10;
const BLOCK_BYTES: u64 = 4096;
/// How much space is reserved at once: a sync need not write the file's length in between.
const RESERVE_BYTES: u64 = 4 << 20;

impl Log {
    pub(crate) fn new(
        manifest: Manifest,
        file: Arc<dyn StorageFile>,
        mark: Mark,
        last_sequence: u64,
        must_roll: bool,
    ) -> Self {
        Self {
            manifest,
            file,
            segment: mark.segment,
            tail: Arc::new(Tail::new(mark.bytes)),
            end: mark.bytes,
            reserved: mark.bytes,
            zeroed: mark.bytes,
            durable: mark.bytes,
            synced_bytes: 0,
            begun: mark.bytes,
            last_sequence,
            last_key_hash: mark.last_key_hash,
            last_units: mark.last_units,
            must_roll,
            ledgers: HashMap::new(),
        }
    }

    pub(crate) fn with_ledgers(mut self, ledgers: HashMap<u64, Ledger>) -> Self {
        self.ledgers = ledgers;
        self
    }

    pub(crate) fn ledger(&self, segment: u64) -> Ledger {
        self.ledgers.get(&segment).copied().unwrap_or_default()
    }

    pub(crate) fn set_ledger(&mut self, segment: u64, ledger: Ledger) {
        self.ledgers.insert(segment, ledger);
    }

    pub(crate) fn forget_ledger(&mut self, segment: u64) {
        self.ledgers.remove(&segment);
    }

    /// Appends the writes as one batch of `bytes` bytes, all or nothing, to where `reach` says. The
    /// position moves only on success; sequence numbers are used up in
    /// any case, so that left-overs of a failed write can be told from what is written in their
    /// place.
    pub(crate) fn append(
        &mut self,
        medium: &Medium,
        writes: &[Pending<'_>],
        bytes: u64,
        limits: Limits,
        reach: Reach,
    ) -> Result<Vec<Appended>, VaultError> {
        let through = reach != Reach::Memory;
        self.reserve(medium, bytes, limits.segment_bytes)?;
        if !through && self.tail.read().bytes.len() >= limits.buffer_bytes {
            self.flush(medium)?;
        }
        let tail = Arc::clone(&self.tail);
        let mut buffer = tail.write();
        let before = buffer.bytes.len();
        let appended = self.frame(writes, &mut buffer.bytes, medium.sealer());
        drop(buffer);
        let end = self.end;
        self.end += bytes;
        let ahead = if reach == Reach::Device {
            AHEAD_BYTES
        } else {
            0
        };
        if through && let Err(error) = self.flush_with_zeros(medium, ahead) {
            tail.write().bytes.truncate(before);
            self.end = end;
            return Err(error);
        }
        if through {
            self.begin(limits.begin_bytes);
        }
        let removals = appended.iter().filter(|a| a.header.kind == Kind::Delete);
        let tombstone_bytes: u64 = removals.map(|a| a.bytes).sum();
        if tombstone_bytes > 0 {
            let ledger = self.ledgers.entry(self.segment).or_default();
            ledger.tombstone_bytes += tombstone_bytes;
        }
        let expiring = writes.iter().map(|write| write.expires_s);
        if let Some(first) = expiring.filter(|expires_s| *expires_s != 0).min() {
            let ledger = self.ledgers.entry(self.segment).or_default();
            ledger.note_expiry(first);
        }
        if let Some(last) = appended.last() {
            self.last_key_hash = last.header.key_hash;
            self.last_units = units(last.bytes);
        }
        Ok(appended)
    }

    /// Makes sure that the file has room for `bytes` more.
    fn reserve(
        &mut self,
        medium: &Medium,
        bytes: u64,
        segment_bytes: u64,
    ) -> Result<(), VaultError> {
        let needed = self.end + bytes;
        if needed <= self.reserved {
            return Ok(());
        }
        let wanted = (needed + RESERVE_BYTES).min(segment_bytes).max(needed);
        let mut result = self.file.allocate(wanted).map(|()| wanted);
        let full = |kind| {
            use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            matches!(kind, StorageFull | FileTooLarge | QuotaExceeded)
        };
        if wanted > needed && result.as_ref().is_err_and(|error| full(error.kind())) {
            result = self.file.allocate(needed).map(|()| needed);
        }
        let wrap = |source| medium.failed("write", &segment_name(self.segment), bytes, source);
        self.reserved = result.map_err(wrap)?;
        Ok(())
    }

    /// Writes what is gathered to the file. After an error it is still gathered and not in the
    /// file, or the vault takes no more writes.
    pub(crate) fn flush(&mut self, medium: &Medium) -> Result<(), VaultError> {
        self.flush_with_zeros(medium, 0)
    }

    /// As [`flush`](Self::flush), with zeros behind up to `ahead` bytes further, if they are wanted.
    fn flush_with_zeros(&mut self, medium: &Medium, ahead: u64) -> Result<(), VaultError> {
        let (start, count) = {
            let buffer = self.tail.read();
            (buffer.start, buffer.bytes.len())
        };
        if count == 0 {
            return Ok(());
        }
        let bytes = count as u64;
        let zeros = self.zeros_behind(start + bytes, ahead);
        if zeros > 0 {
            // Readers look for records, so they do not see them.
            self.tail.write().bytes.resize(count + zeros, 0);
        }
        let written = write_all_at(&*self.file, start, &self.tail.read().bytes);
        if let Err(source) = written {
            self.tail.write().bytes.truncate(count);
            let name = segment_name(self.segment);
            self.reserved = start;
            self.zeroed = start;
            if let Err(error) = self.file.truncate(start) {
                medium.poisoned_by("take back a failed write to", &name, error);
            }
            return Err(medium.failed("write", &name, bytes, source));
        }
        let end = start + bytes;
        self.zeroed = self.zeroed.max(end + zeros as u64);
        self.tail.emptied(end, BUFFER_KEPT_BYTES);
        self.begin(BEGIN_BYTES);
        Ok(())
    }

    /// How many zeros to write behind a write that ends at `end`.
    fn zeros_behind(&self, end: u64, ahead: u64) -> usize {
        let unsynced = end.saturating_sub(self.durable).max(self.synced_bytes);
        if ahead == 0 || end <= self.zeroed || unsynced > AHEAD_SYNC_BYTES_MAX {
            return 0;
        }
        // All of that is reserved, so it takes no space that records might want.
        let target = (end + ahead).next_multiple_of(BLOCK_BYTES);
        let zeros = target.min(self.reserved).saturating_sub(end);
        usize::try_from(zeros).unwrap_or(0)
    }

    /// How much of the segment is not durable.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.end.saturating_sub(self.durable)
    }

    /// Everything below `end` in `segment` was synced.
    pub(crate) fn note_synced(&mut self, segment: u64, end: u64) {
        if self.segment == segment && end > self.durable {
            self.synced_bytes = end - self.durable;
            self.durable = end;
        }
    }

    /// Tells the medium to begin writing what is in the file and not durable, if it is this much.
    fn begin(&mut self, bytes_min: u64) {
        let end = self.tail.written();
        let from = self.begun.max(self.durable);
        if end.saturating_sub(from) >= bytes_min {
            self.file.sync_soon(from, end - from);
            self.begun = end;
        }
    }

    /// Writes what is gathered and gives back the space that is reserved behind it.
    pub(crate) fn trim(&mut self, medium: &Medium) -> Result<(), VaultError> {
        self.flush(medium)?;
        if self.reserved > self.end && !self.must_roll {
            let name = segment_name(self.segment);
            let cut = self.file.truncate(self.end);
            cut.map_err(|source| medium.failed("truncate", &name, 0, source))?;
            self.reserved = self.end;
            self.zeroed = self.end;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        writes: &[Pending<'_>],
        buffer: &mut Vec<u8>,
        sealer: Option<&Sealer>,
    ) -> Vec<Appended> {
        let before = buffer.len();
        let mut appended = Vec::with_capacity(writes.len());
        let (mut prev_key_hash, mut prev_units) = (self.last_key_hash, self.last_units);
        for (position, write) in writes.iter().enumerate() {
            self.last_sequence += 1;
            let offset = self.end + (buffer.len() - before) as u64;
            let place = Place {
                vault_id: self.manifest.vault_id,
                segment: self.segment,
                offset,
            };
            let links = Links {
                sequence: self.last_sequence,
                prev_key_hash,
                prev_units,
                unsynced_units: units(offset - self.durable),
            };
            let more = if position + 1 < writes.len() {
                FLAG_BATCH_MORE
            } else {
                0
            };
            let packed = write.form.flags();
            let draft = Draft {
                kind: write.kind,
                space: write.space,
                key: write.key,
                stored: &write.stored,
                raw_bytes: write.raw_bytes,
                expires_s: write.expires_s,
                flags: more | packed,
                checks: write.checks,
            };
            let start = buffer.len();
            let mut header = append_record(buffer, &draft, links, place);
            if let Some(sealer) = sealer
                && write.kind == Kind::Put
                && let Some(record) = buffer.get_mut(start..)
            {
                header = sealer.seal_record(record, header, place);
            }
            let bytes = header.record_bytes();
            appended.push(Appended {
                segment: self.segment,
                offset,
                bytes,
                header,
            });
            (prev_key_hash, prev_units) = (header.key_hash, units(bytes));
        }
        appended
    }

    /// Whether `bytes` more go into the active segment, which is sealed at `segment_bytes`.
    pub(crate) fn fits(&self, bytes: u64, segment_bytes: u64) -> bool {
        let fits = self.end + bytes <= segment_bytes || self.end == SEGMENT_HEADER_BYTES;
        fits && !self.must_roll
    }

    /// Whether the file ends with the log.
    pub(crate) fn is_trimmed(&self) -> bool {
        self.reserved == self.end
    }

    /// Seals the active segment and begins the next one.
    ///
    /// A sealed segment is durable to its end before a later one holds a single record, so only
    /// the last segment can have a torn tail.
    pub(crate) fn roll(&mut self, medium: &Medium) -> Result<(), VaultError> {
        self.trim(medium)?;
        let name = segment_name(self.segment);
        medium.sync_segment(&*self.file, &name)?;
        self.durable = self.end;
        let mut manifest = self.manifest_now();
        let segment = manifest.next_segment;
        let head = SegmentHead {
            vault_id: manifest.vault_id,
            segment,
            base_sequence: self.last_sequence,
            seal: manifest.seal,
        };
        let file = create_segment(medium, head)?;
        manifest.next_segment += 1;
        let mark = Mark {
            segment,
            bytes: SEGMENT_HEADER_BYTES,
            last_sequence: self.last_sequence,
            ..Mark::default()
        };
        manifest.marks.push(mark);
        if let Err(error) = manifest.commit(medium) {
            if medium.check_writable().is_ok() {
                // The old manifest is in force. Best effort: an empty segment that no manifest
                // names is removed at the next opening.
                let _ = medium.storage.remove(&segment_name(segment));
            }
            return Err(error);
        }
        let last_sequence = self.last_sequence;
        let mut ledgers = std::mem::take(&mut self.ledgers);
        let ledger = Ledger {
            base_sequence: last_sequence,
            ..Ledger::default()
        };
        ledgers.insert(segment, ledger);
        *self = Self::new(manifest, file, mark, last_sequence, false).with_ledgers(ledgers);
        Ok(())
    }

    /// The mark of the active segment's end, durable or not.
    pub(crate) fn end_mark(&self) -> Mark {
        Mark {
            segment: self.segment,
            bytes: self.end,
            last_sequence: self.last_sequence,
            last_key_hash: self.last_key_hash,
            last_units: self.last_units,
        }
    }

    /// The manifest with the active segment's mark at its durable end. Call after a sync.
    pub(crate) fn manifest_now(&self) -> Manifest {
        let mut manifest = self.manifest.clone();
        if let Some(active) = manifest.marks.last_mut()
            && self.durable == self.end
            && !self.must_roll
        {
            *active = self.end_mark();
        }
        manifest
    }
}

/// The bytes that the writes need on disk, if that is within the limit.
pub(crate) fn batch_bytes(writes: &[Pending<'_>]) -> Result<u64, VaultError> {
    let bytes = writes
        .iter()
        .map(|write| record_bytes(write.key.len(), write.stored.len() as u64))
        .fold(0_u64, u64::saturating_add);
    if bytes > BATCH_BYTES_MAX {
        return Err(VaultError::BatchTooLong {
            bytes,
            bytes_max: BATCH_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// A length in units; segments stay far below what 32 bits of units hold.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryStorage;
    use crate::options::{Compression, Durability, Options};
    use crate::vault::{Vault, held};

    #[test]
    fn zeros_go_ahead_of_durable_writes_that_come_one_by_one_and_of_no_others() {
        let options = Options::new().compression(Compression::None);
        let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options).unwrap();
        let ahead = || {
            let log = held(&vault.log);
            assert!(log.zeroed <= log.reserved);
            log.zeroed.saturating_sub(log.end)
        };
        vault.put(b"key", b"value", Durability::Written).unwrap();
        vault.put(b"key", b"value", Durability::Buffered).unwrap();
        assert_eq!(ahead(), 0);
        vault.put(b"key", b"value", Durability::Synced).unwrap();
        let first = ahead();
        assert!((AHEAD_BYTES..AHEAD_BYTES + BLOCK_BYTES).contains(&first));
        vault.put(b"key", b"value", Durability::Grouped).unwrap();
        assert_eq!(ahead(), first - 64);
        // More than the zeros that are there.
        let long = vec![7; 100_000];
        vault.put(b"key", &long, Durability::Synced).unwrap();
        assert_eq!(ahead(), 0);
        // That sync was not one of a single short write; the next one is.
        vault.put(b"key", b"value", Durability::Synced).unwrap();
        assert_eq!(ahead(), 0);
        vault.put(b"key", b"value", Durability::Synced).unwrap();
        assert!(ahead() >= AHEAD_BYTES);
        assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        assert!(vault.verify().unwrap().is_sound());
    }
}
