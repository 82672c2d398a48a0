//! Judges what a walk over a segment found: sound, torn tail, or rot.
//!
//! Every header says how far back the not-yet-durable part of the segment lay when it was written,
//! and the manifest says how much was durable when *it* was written. The farthest of these marks
//! is the durable end. Damage below it is rot: acknowledged data is gone, which is reported, and
//! the records behind it are kept. Damage at or above it is what a power cut may leave of writes
//! that nobody was told are durable: the log is cut there, at the start of the batch.
//!
//! Rot is attributed: a damaged value leaves its key readable; a damaged key leaves its hash in
//! the header; a damaged header leaves its key's hash in the next record, or in the manifest for
//! the last one. Only where several neighbouring headers are gone is a loss unattributed, and then
//! every state older than the loss is uncertain.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::path::PathBuf;

use super::key::ShortKey;
use super::manifest::Mark;
use super::record::{Header, RECORD_HEADER_BYTES, UNIT_BYTES};
use super::scan::{Item, ScanError, Scanner};
use super::segment::SEGMENT_HEADER_BYTES;
use crate::io::{StorageFile, read_exact_at};
use crate::losses::{Damage, DamageKind};

/// How much is read at once in search of the end.
const WINDOW_BYTES: usize = 256 << 10;

/// A record that counts.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) header: Header,
    pub(crate) key: ShortKey,
    /// False when the value is damaged: the key is known, what it held is not.
    pub(crate) intact: bool,
}

impl Found {
    /// The damage of a record whose value does not hold.
    pub(crate) fn damage(&self, file: PathBuf) -> Damage {
        Damage {
            kind: DamageKind::Value,
            file,
            offset: self.offset,
            bytes: self.header.record_bytes(),
            key: Some(self.key.to_vec()),
        }
    }
}

/// Rot whose key is known by hash at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Exactly one record was lost, of a key with this hash and at most this sequence number.
    OfHash { key_hash: u32, sequence: u64 },
    /// Records of unknown keys were lost, all with sequence numbers below this.
    Unknown { below: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LostRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) loss: Loss,
}

/// A tail that was never known to be durable and is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) bytes: u64,
    /// Sound records behind the cut, given up so that what survives is a prefix of the writes.
    pub(crate) records: u64,
}

/// The judgement of one segment.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) records: Vec<Found>,
    pub(crate) lost: Vec<LostRange>,
    pub(crate) torn: Torn,
    /// Where the log goes on; for a damaged tail, its expected end.
    pub(crate) mark: Mark,
    /// The end cannot be appended to: what belongs there was lost.
    pub(crate) tail_lost: bool,
    /// No sequence number at or below this may be used again.
    pub(crate) sequence_floor: u64,
}

/// Judges a sealed segment: all of it was durable.
pub(crate) fn recover_sealed(
    file: &dyn StorageFile,
    vault_id: u64,
    mark: Mark,
    file_bytes: u64,
) -> Result<Recovered, ScanError> {
    recover_sealed_behind(file, vault_id, start_of(mark.segment), mark, file_bytes)
}

/// As [`recover_sealed`], of what lies behind `from` only.
pub(crate) fn recover_sealed_behind(
    file: &dyn StorageFile,
    vault_id: u64,
    from: Mark,
    mark: Mark,
    file_bytes: u64,
) -> Result<Recovered, ScanError> {
    let (items, _) = walk(file, vault_id, from, file_bytes.min(mark.bytes))?;
    let mut judge = Judge::new(mark, u64::MAX, from);
    judge.run(items);
    judge.require(mark.bytes);
    Ok(judge.finish())
}

/// Judges the active segment, of which `mark.bytes` at least were durable.
pub(crate) fn recover_active(
    file: &dyn StorageFile,
    vault_id: u64,
    mark: Mark,
    file_bytes: u64,
) -> Result<Recovered, ScanError> {
    recover_active_behind(file, vault_id, start_of(mark.segment), mark, file_bytes)
}

/// The mark of a segment without records.
fn start_of(segment: u64) -> Mark {
    Mark {
        segment,
        bytes: SEGMENT_HEADER_BYTES,
        ..Mark::default()
    }
}

/// As [`recover_active`], of what lies behind `from` only, which was durable.
pub(crate) fn recover_active_behind(
    file: &dyn StorageFile,
    vault_id: u64,
    from: Mark,
    mark: Mark,
    file_bytes: u64,
) -> Result<Recovered, ScanError> {
    let (mut items, unreadable_end) = walk(file, vault_id, from, file_bytes)?;
    let used = drop_reserved(file, &mut items, mark.bytes, file_bytes)?;
    let durable_end = items
        .iter()
        .filter_map(|item| {
            let back = u64::from(item.header()?.unsynced_units) * UNIT_BYTES;
            Some(item.start().saturating_sub(back))
        })
        // No interrupted write leaves bytes that cannot be read.
        .fold(mark.bytes.max(from.bytes).max(unreadable_end), u64::max);
    let mut judge = Judge::new(mark, durable_end, from);
    judge.run(items);
    judge.require(mark.bytes);
    let mut recovered = judge.finish();
    recovered.torn.bytes = used.saturating_sub(recovered.mark.bytes);
    Ok(recovered)
}

/// Space that was reserved and not written ends the file with zeros, which are no tail. Returns
/// where what was written ends, as far as that can be told.
fn drop_reserved(
    file: &dyn StorageFile,
    items: &mut Vec<Item>,
    durable: u64,
    file_bytes: u64,
) -> Result<u64, ScanError> {
    let Some(Item::Gap { start, end }) = items.last() else {
        return Ok(file_bytes);
    };
    let start = *start;
    let used = last_written(file, start, *end)?;
    if used <= start && start >= durable {
        items.pop();
    }
    Ok(used)
}

/// The end of the last unit between `start` and `end` that is not zero, or `start`.
fn last_written(file: &dyn StorageFile, start: u64, end: u64) -> Result<u64, ScanError> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut end = end;
    while end > start {
        let from = end.saturating_sub(WINDOW_BYTES as u64).max(start);
        let count = usize::try_from(end - from).unwrap_or(WINDOW_BYTES);
        let bytes = window.get_mut(..count).unwrap_or_default();
        if read_exact_at(file, from, bytes).is_err() {
            return Ok(end);
        }
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok((from + last as u64 + 1)
                .next_multiple_of(UNIT_BYTES)
                .min(end));
        }
        end = from;
    }
    Ok(start)
}

/// All items, and the end of what could not be read.
fn walk(
    file: &dyn StorageFile,
    vault_id: u64,
    from: Mark,
    end: u64,
) -> Result<(Vec<Item>, u64), ScanError> {
    let mut scanner = Scanner::behind(file, vault_id, from, end);
    let mut items = Vec::new();
    while let Some(item) = scanner.next()? {
        items.push(item);
    }
    Ok((items, scanner.unreadable_end()))
}

struct Judge {
    expected: Mark,
    durable_end: u64,
    out: Recovered,
    /// End of what was judged so far.
    covered: u64,
    /// A gap not yet attributed, for want of the record after it.
    gap: Option<(u64, u64)>,
    /// The batch that is still open: its start, its position in `out.records`, and the mark before.
    batch: Option<(u64, usize, Mark)>,
}

impl Judge {
    fn new(expected: Mark, durable_end: u64, from: Mark) -> Self {
        Self {
            expected,
            durable_end,
            out: Recovered {
                mark: from,
                sequence_floor: expected.last_sequence.max(from.last_sequence),
                ..Recovered::default()
            },
            covered: from.bytes,
            gap: None,
            batch: None,
        }
    }

    fn run(&mut self, items: Vec<Item>) {
        let mut cut = false;
        self.out.records.reserve(items.len());
        for item in items {
            if let Some(header) = item.header() {
                self.out.sequence_floor = self.out.sequence_floor.max(header.sequence);
            }
            if !cut && item.start() >= self.durable_end {
                cut = !matches!(item, Item::Record { intact: true, .. });
            }
            if cut {
                self.out.torn.records +=
                    u64::from(matches!(item, Item::Record { intact: true, .. }));
                continue;
            }
            self.keep(item);
        }
        self.drop_open_batch();
    }

    fn keep(&mut self, item: Item) {
        let (start, end) = (item.start(), item.end());
        if let Some(header) = item.header() {
            self.attribute_gap(header);
            self.follow_batch(start, header);
            self.out.mark.last_sequence = header.sequence;
            self.out.mark.last_key_hash = header.key_hash;
            self.out.mark.last_units = u32::try_from((end - start) / UNIT_BYTES).unwrap_or(0);
        }
        match item {
            Item::Record {
                offset,
                header,
                key,
                intact,
            } => {
                self.out.records.push(Found {
                    offset,
                    header,
                    key,
                    intact,
                });
            }
            Item::Overrun {
                offset,
                header,
                key: Some(key),
            } => {
                self.out.records.push(Found {
                    offset,
                    header,
                    key,
                    intact: false,
                });
                self.out.tail_lost = true;
            }
            Item::KeyDamaged { header, .. } => self.lose_hash(start, end, &header),
            Item::Overrun {
                header, key: None, ..
            } => {
                self.lose_hash(start, end, &header);
                self.out.tail_lost = true;
            }
            Item::Gap { .. } => self.gap = Some((start, end)),
        }
        self.covered = end;
    }

    fn lose_hash(&mut self, start: u64, end: u64, header: &Header) {
        let loss = Loss::OfHash {
            key_hash: header.key_hash,
            sequence: header.sequence,
        };
        self.out.lost.push(LostRange { start, end, loss });
    }

    /// The record after a gap names the last one in it and where that one started.
    fn attribute_gap(&mut self, next: &Header) {
        let Some((start, end)) = self.gap.take() else {
            return;
        };
        let alone = u64::from(next.prev_units) * UNIT_BYTES == end - start;
        let loss = if alone {
            Loss::OfHash {
                key_hash: next.prev_key_hash,
                sequence: next.sequence - 1,
            }
        } else {
            Loss::Unknown {
                below: next.sequence,
            }
        };
        self.out.lost.push(LostRange { start, end, loss });
    }

    fn follow_batch(&mut self, start: u64, header: &Header) {
        if !header.batch_goes_on() {
            self.batch = None;
        } else if self.batch.is_none() {
            self.batch = Some((start, self.out.records.len(), self.out.mark));
        }
    }

    /// A batch whose last record is missing never happened, unless part of it was durable.
    fn drop_open_batch(&mut self) {
        let Some((start, position, mark)) = self.batch.take() else {
            return;
        };
        if start < self.durable_end || self.gap.is_some() {
            return;
        }
        self.out.torn.records += (self.out.records.len() - position) as u64;
        self.out.records.truncate(position);
        self.out.mark = mark;
        self.covered = start;
    }

    /// Whatever is missing of the first `bytes` was lost.
    fn require(&mut self, bytes: u64) {
        if self.covered < bytes {
            let start = self.gap.map_or(self.covered, |(start, _)| start);
            self.gap = Some((start, bytes));
            self.covered = bytes;
        }
        let Some((start, end)) = self.gap.take() else {
            return;
        };
        // Nothing follows: only the manifest can say what was here.
        let known = &self.expected;
        let last_start = known
            .bytes
            .checked_sub(u64::from(known.last_units) * UNIT_BYTES);
        let loss = if known.last_units > 0 && known.bytes == end && last_start == Some(start) {
            Loss::OfHash {
                key_hash: known.last_key_hash,
                sequence: known.last_sequence,
            }
        } else {
            let bounded = known.bytes >= end && known.last_sequence > 0;
            let records_max = (end - start) / RECORD_HEADER_BYTES as u64 + 1;
            let unbounded = if bounded { 0 } else { records_max };
            let last = self.out.sequence_floor.saturating_add(unbounded);
            self.out.sequence_floor = last;
            Loss::Unknown {
                below: last.saturating_add(1),
            }
        };
        self.out.lost.push(LostRange { start, end, loss });
        self.out.tail_lost = true;
    }

    fn finish(mut self) -> Recovered {
        self.out.mark.bytes = self.covered;
        if self.out.tail_lost {
            let same_end = self.expected.bytes == self.covered;
            self.out.mark.last_sequence = self.out.sequence_floor;
            self.out.mark.last_key_hash = if same_end {
                self.expected.last_key_hash
            } else {
                0
            };
            self.out.mark.last_units = if same_end {
                self.expected.last_units
            } else {
                0
            };
        }
        self.out
    }
}
