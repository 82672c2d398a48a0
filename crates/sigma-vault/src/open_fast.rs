//! Opening from the snapshot of the index: only what was written behind it is read.
//!
//! Anything that does not fit, and any damage in what is read, makes this give up before it has
//! changed a thing; then the segments are read whole, which tells what is damaged.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::Builder;

use crate::error::VaultError;
use crate::index::read_snapshot;
use crate::index::{
    Behind, Change, Counted, Entry, FileTable, Index, Parsed, SHARDS, SegmentFile, Share, Slot,
    Word,
};
use crate::io::{StorageFile, read_exact_at};
use crate::log::record::{Header, Place, RECORD_HEADER_BYTES, key_hash_whole};
use crate::log::{
    COPY_BIT, Found, Kind, Ledger, Log, Manifest, Mark, Recovered, SEGMENT_HEADER_BYTES, ScanError,
    Space, recover_active_behind, recover_sealed_behind,
};
use crate::open::Opening;
use crate::read::touch;
use crate::stats::RecoveryReport;
use crate::vault::{Vault, WAIT_FOR_READERS};

/// What a vault is made of, and the records that its index has yet to be told of.
pub(crate) struct Fast {
    pub(crate) log: Log,
    pub(crate) index: Index,
    pub(crate) files: FileTable,
    pub(crate) report: RecoveryReport,
    pub(crate) tail: Vec<(u64, Vec<Found>)>,
    /// Bytes of all records behind the snapshot.
    pub(crate) tail_bytes: u64,
}

/// One segment on its way in.
struct Segment {
    file: Arc<dyn StorageFile>,
    bytes: u64,
    /// What lies behind the snapshot, where anything may.
    behind: Option<Recovered>,
}

impl Opening<'_> {
    /// `None` where the segments have to be read.
    pub(crate) fn fast(&mut self, manifest: &Manifest) -> Result<Option<Fast>, VaultError> {
        let Some(bytes) = read_snapshot(self.medium, &self.names) else {
            return Ok(None);
        };
        let Some(snapshot) = bytes.parse(self.medium) else {
            return Ok(None);
        };
        let Some(slots) = fitting_slots(&snapshot, manifest) else {
            return Ok(None);
        };
        // The snapshot is checked while what lies behind it is read. No other thread: then before.
        let behind = std::thread::scope(|scope| {
            let check = || snapshot.holds();
            let checking = snapshot
                .is_large()
                .then(|| Builder::new().spawn_scoped(scope, check));
            let checking = match checking {
                Some(Ok(thread)) => Some(thread),
                _ if check() => None,
                _ => return Ok(None),
            };
            let segments = self.behind(&snapshot, manifest)?;
            let holds = checking.is_none_or(|thread| thread.join().unwrap_or(false));
            Ok(segments.filter(|_| holds))
        });
        let Some(segments) = behind? else {
            return Ok(None);
        };
        self.assemble(manifest, snapshot, &slots, segments)
    }

    /// Every segment, with what lies behind the snapshot; `None` where all is not well.
    fn behind(
        &self,
        snapshot: &Parsed<'_>,
        manifest: &Manifest,
    ) -> Result<Option<Vec<Segment>>, VaultError> {
        let mut segments = Vec::with_capacity(manifest.marks.len());
        for (position, mark) in manifest.marks.iter().enumerate() {
            let is_active = position + 1 == manifest.marks.len();
            let Some(segment) = self.segment(snapshot, *mark, is_active)? else {
                return Ok(None);
            };
            segments.push(segment);
        }
        Ok(Some(segments))
    }

    /// Opens a segment and reads what lies behind the snapshot; `None` where all is not well.
    fn segment(
        &self,
        snapshot: &Parsed<'_>,
        mark: Mark,
        is_active: bool,
    ) -> Result<Option<Segment>, VaultError> {
        let Some((file, bytes)) = self.sound_segment(mark.segment, snapshot.vault_id) else {
            return Ok(None);
        };
        let from = if mark.segment == snapshot.mark.segment {
            snapshot.mark
        } else {
            let (segment, bytes) = (mark.segment, SEGMENT_HEADER_BYTES);
            Mark {
                segment,
                bytes,
                ..Mark::default()
            }
        };
        if bytes < mark.bytes.max(from.bytes) || !is_active && mark.bytes < from.bytes {
            return Ok(None);
        }
        let is_tail = mark.segment & COPY_BIT == 0 && mark.segment >= snapshot.mark.segment;
        let behind = if !is_tail {
            return Ok((!is_active).then_some(Segment {
                file,
                bytes,
                behind: None,
            }));
        } else if is_active {
            recover_active_behind(&*file, snapshot.vault_id, from, mark, bytes)
        } else {
            recover_sealed_behind(&*file, snapshot.vault_id, from, mark, bytes)
        };
        let behind = match behind {
            Ok(behind) => behind,
            Err(ScanError::Io(_)) => return Ok(None),
            Err(error) => return Err(self.scan_error(mark.segment, error)),
        };
        let sound = behind.lost.is_empty()
            && !behind.tail_lost
            && behind.records.iter().all(|found| found.intact);
        Ok(sound.then_some(Segment {
            file,
            bytes,
            behind: Some(behind),
        }))
    }

    fn assemble(
        &self,
        manifest: &Manifest,
        snapshot: Parsed<'_>,
        slots: &HashMap<u64, Slot>,
        segments: Vec<Segment>,
    ) -> Result<Option<Fast>, VaultError> {
        let mut report = RecoveryReport {
            from_snapshot: true,
            ..RecoveryReport::default()
        };
        let mut floor = snapshot.mark.last_sequence;
        let (mut ledgers, mut tail, mut active) = (HashMap::new(), Vec::new(), None);
        let mut files = FileTable::default();
        let mut later = Vec::new();
        let mut tail_bytes = 0;
        for (mark, segment) in manifest.marks.iter().zip(segments) {
            let slot = slots.get(&mark.segment);
            let mut ledger = slot.map_or_else(Ledger::default, |slot| slot.ledger);
            let mut end = *mark;
            floor = floor.max(mark.last_sequence);
            if let Some(behind) = segment.behind {
                floor = floor.max(behind.sequence_floor);
                if mark.segment == snapshot.mark.segment {
                    ledger.tombstone_bytes += tombstone_bytes(&behind.records);
                    let expiring = behind.records.iter().map(|found| found.header.expires_s);
                    expiring.for_each(|expires_s| ledger.note_expiry(expires_s));
                } else {
                    ledger = ledger_of(&behind, floor);
                }
                report.records += behind.records.len() as u64;
                let lengths = behind
                    .records
                    .iter()
                    .map(|found| found.header.record_bytes());
                tail_bytes += lengths.sum::<u64>();
                report.torn_tail_bytes += behind.torn.bytes;
                report.torn_tail_records += behind.torn.records;
                end = behind.mark;
                tail.push((mark.segment, behind.records));
            }
            ledgers.insert(mark.segment, ledger);
            if mark.segment == manifest.marks.last().map_or(0, |last| last.segment) {
                active = Some((segment.file, end, *mark, segment.bytes));
            } else {
                let file = SegmentFile::sealed(mark.segment, segment.file, segment.bytes);
                match slot {
                    Some(slot) if files.at(slot.slot).is_none() => files.insert_at(slot.slot, file),
                    Some(_) => return Ok(None),
                    None => later.push(file),
                }
            }
        }
        let Some((file, end, was, bytes)) = active else {
            return Ok(None);
        };
        let mut manifest = manifest.clone();
        if let Some(last) = manifest.marks.last_mut() {
            *last = end;
        }
        let log = Log::new(manifest, Arc::clone(&file), end, floor, false).with_ledgers(ledgers);
        let shown = self.shown(&log);
        match slots.get(&log.segment) {
            Some(slot) if files.at(slot.slot).is_none() => files.insert_at(slot.slot, shown),
            Some(_) => return Ok(None),
            None => later.push(shown),
        }
        later.into_iter().for_each(|file| files.insert(file));
        let files_now = Arc::new(files.clone());
        let Some(counted) = extended_shards(&snapshot, &files, &tail) else {
            return Ok(None);
        };
        keep_numbered(&mut tail, &counted.left);
        let (vault_id, keyed) = (snapshot.vault_id, snapshot.keyed);
        let length = |word| record_length(&files, vault_id, word);
        let index = Index::from_snapshot(vault_id, &files_now, counted, keyed, length);
        let Some(index) = index else { return Ok(None) };
        // Nothing was changed up to here.
        if bytes > end.bytes || end.bytes > was.bytes {
            self.settle(&*file, end, bytes)?;
        }
        if end != was {
            self.note(&log.manifest)?;
        }
        Ok(Some(Fast {
            log,
            index,
            files,
            report,
            tail,
            tail_bytes,
        }))
    }
}

/// The snapshot's slots by segment, if it tells of the segments of this manifest: it names no
/// other, and those it does not name were begun after it.
fn fitting_slots(snapshot: &Parsed<'_>, manifest: &Manifest) -> Option<HashMap<u64, Slot>> {
    if snapshot.vault_id != manifest.vault_id {
        return None;
    }
    let slots: HashMap<u64, Slot> = snapshot
        .slots
        .iter()
        .map(|slot| (slot.segment, *slot))
        .collect();
    let at = snapshot.mark.segment;
    let mut known = 0;
    for mark in &manifest.marks {
        if slots.contains_key(&mark.segment) {
            known += 1;
        } else if mark.segment & COPY_BIT != 0 || mark.segment <= at {
            return None;
        }
    }
    (known == snapshot.slots.len() && slots.contains_key(&at)).then_some(slots)
}

/// The snapshot's shards with what the records behind it add; the processor's other threads help
/// with many.
fn extended_shards(
    snapshot: &Parsed<'_>,
    files: &FileTable,
    tail: &[(u64, Vec<Found>)],
) -> Option<Counted> {
    if snapshot.shards() != SHARDS {
        return None;
    }
    let mut behind = Vec::with_capacity(tail.iter().map(|(_, records)| records.len()).sum());
    let mut number = 0;
    let mut left = Vec::new();
    for (segment, records) in tail {
        let slot = files.slot(*segment)?;
        for found in records {
            let header = &found.header;
            if header.space == Space::Plain {
                let word = Word::new(slot, found.offset, header.record_bytes())?;
                behind.push(Behind {
                    hash: key_hash_whole(snapshot.vault_id, Space::Plain, &found.key),
                    word: (header.kind == Kind::Put).then_some(word),
                    number,
                });
            } else {
                left.push(number);
            }
            number += 1;
        }
    }
    let decoding = snapshot.decoding(behind);
    let (own, others) = std::thread::scope(|scope| {
        let decode = || decoding.share();
        let helping = snapshot
            .is_large()
            .then(|| Builder::new().spawn_scoped(scope, decode));
        let own = decode();
        let others = match helping {
            Some(Ok(thread)) => thread.join().ok().flatten(),
            _ => Some(Share::default()),
        };
        (own, others)
    });
    let mut counted = decoding.finish([own?, others?]);
    counted.left.extend(left);
    counted.left.sort_unstable();
    Some(counted)
}

/// Keeps those of the records, numbered as they come, whose numbers are among these, which ascend.
fn keep_numbered(tail: &mut [(u64, Vec<Found>)], numbers: &[usize]) {
    if numbers.is_empty() {
        return tail.iter_mut().for_each(|(_, records)| records.clear());
    }
    let mut wanted = numbers.iter().peekable();
    let mut next = 0;
    for (_, records) in tail {
        records.retain(|_| {
            next += 1;
            wanted.next_if_eq(&&(next - 1)).is_some()
        });
    }
}

fn tombstone_bytes(records: &[Found]) -> u64 {
    let removals = records.iter();
    let removals = removals.filter(|found| found.header.kind == Kind::Delete);
    removals.map(|found| found.header.record_bytes()).sum()
}

fn ledger_of(recovered: &Recovered, floor: u64) -> Ledger {
    let oldest = recovered.records.iter().map(|found| found.header.sequence);
    let mut ledger = Ledger {
        base_sequence: oldest.min().map_or(floor, |first| first.saturating_sub(1)),
        tombstone_bytes: tombstone_bytes(&recovered.records),
        expires_first_s: 0,
    };
    for found in &recovered.records {
        ledger.note_expiry(found.header.expires_s);
    }
    ledger
}

/// The length of a record by its header.
fn record_length(files: &FileTable, vault_id: u64, word: Word) -> Option<u64> {
    let file = files.at(word.slot())?;
    let mut head = [0; RECORD_HEADER_BYTES];
    read_exact_at(&*file.file, word.offset(), &mut head).ok()?;
    let place = Place {
        vault_id,
        segment: file.segment,
        offset: word.offset(),
    };
    Some(Header::decode(&head, place).ok()?.record_bytes())
}

impl Vault {
    /// Tells the index of records in the order of the log, whether it knows of them or not.
    pub(crate) fn replay(&self, tail: Vec<(u64, Vec<Found>)>) -> Result<(), VaultError> {
        /// Lines of the index that are fetched together.
        const BLOCK: usize = 32;
        for (segment, records) in tail {
            for block in records.chunks(BLOCK) {
                let mut hashes = [0; BLOCK];
                for (hash, found) in hashes.iter_mut().zip(block) {
                    *hash = self.index.hash(&found.key);
                }
                self.index.warm(&hashes);
                self.warm_heads(hashes.get(..block.len()).unwrap_or_default());
                for (hash, found) in hashes.iter().zip(block) {
                    self.replay_one(segment, *hash, found)?;
                }
            }
        }
        Ok(())
    }

    /// Fetches the heads of the records that these hashes lead to, all at once.
    fn warm_heads(&self, hashes: &[u64]) {
        let seen = self.index.seen();
        let heads = hashes.iter().filter_map(|hash| {
            let word = seen.first(*hash)?;
            let head = seen.file(word)?;
            head.mapped(word.offset(), RECORD_HEADER_BYTES as u64)
        });
        heads.for_each(touch);
    }

    fn replay_one(&self, segment: u64, hash: u64, found: &Found) -> Result<(), VaultError> {
        let reserved = self.index.reserve(std::iter::once(hash));
        // What is dropped then must not take itself for the whole vault.
        reserved.map_err(|source| self.medium.poisoned_by(WAIT_FOR_READERS, "", source))?;
        let header = found.header;
        let new = (header.kind == Kind::Put).then_some(Entry {
            segment,
            offset: found.offset,
            bytes: header.record_bytes(),
            sequence: header.sequence,
            intact: true,
        });
        if header.space == Space::Plain {
            let old = self.resolve(hash, &found.key);
            self.index.publish_plain(hash, old, new);
        } else {
            let (space, key) = (header.space, found.key.clone().into());
            self.index.publish(vec![Change::Keyed { space, key, new }]);
        }
        Ok(())
    }
}
