//! The index of all key spaces, sharded by hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use super::files::{Files, SegmentFile};
use super::shard::Shard;
use super::snapshot::Keyed;
use super::table::{Entry, Table};
use super::word::Word;
use crate::log::Space;
use crate::log::record::key_hash_whole;
use crate::stats::Counter;
use crate::vault::{exclusive, held, shared};

/// A power of two, at most 256; far more than threads, so that they seldom meet.
const SHARDS: usize = 128;

/// A shard with the files that its words point into. Those are behind an `Arc` of this shard's
/// own, so that readers of different shards do not share a reference count.
#[derive(Debug, Default)]
struct Part {
    shard: Shard,
    files: Arc<Files>,
}

/// A part with counts of the reads that went to it, apart from those of other parts.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    part: RwLock<Part>,
    counts: Counts,
}

/// Reads of plain keys.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
}

/// A record that may be the newest of a key: its own key decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) word: Word,
    pub(crate) segment: u64,
}

/// How many words of one hash fit without allocating; more than one is rare.
const INLINE: usize = 3;

/// All records that a key may have, with the files that hold them.
#[derive(Debug)]
pub(crate) struct Candidates {
    files: Arc<Files>,
    first: [Option<Word>; INLINE],
    rest: Vec<Word>,
}

impl Candidates {
    /// The candidates with their files, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Candidate, &SegmentFile)> {
        let words = self.first.iter().flatten().chain(&self.rest);
        words.filter_map(|word| {
            let file = self.files.at(word.slot())?;
            let segment = file.segment;
            Some((
                Candidate {
                    word: *word,
                    segment,
                },
                file,
            ))
        })
    }
}

/// One step of [`Index::publish`].
#[derive(Debug)]
pub(crate) enum Change {
    /// A plain key's newest record, in the place of `old` with its length.
    Plain {
        hash: u64,
        old: Option<(Candidate, u64)>,
        new: Option<Entry>,
    },
    /// The same for the spaces that hold their keys.
    Keyed {
        space: Space,
        key: Box<[u8]>,
        new: Option<Entry>,
    },
}

/// Bytes of the records that are some key's newest.
#[derive(Debug, Default)]
struct Usage {
    live_bytes: u64,
    live_in: HashMap<u64, u64>,
}

impl Usage {
    fn add(&mut self, segment: u64, bytes: u64) {
        self.live_bytes += bytes;
        *self.live_in.entry(segment).or_default() += bytes;
    }

    fn subtract(&mut self, segment: u64, bytes: u64) {
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        if let Some(live) = self.live_in.get_mut(&segment) {
            *live = live.saturating_sub(bytes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    vault_id: u64,
    parts: Box<[Place]>,
    keyed: RwLock<(Table, Files)>,
    usage: Mutex<Usage>,
}

/// Which shard, and the hash within it.
fn split(hash: u64) -> (usize, u32) {
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    (usize::from(e) % SHARDS, u32::from_le_bytes([a, b, c, d]))
}

impl Index {
    pub(crate) fn new(vault_id: u64, files: &Files) -> Self {
        let part = || Place {
            part: RwLock::new(Part {
                shard: Shard::default(),
                files: Arc::new(Arc::clone(files)),
            }),
            counts: Counts::default(),
        };
        Self {
            vault_id,
            parts: (0..SHARDS).map(|_| part()).collect(),
            keyed: RwLock::new((Table::default(), Arc::clone(files))),
            usage: Mutex::default(),
        }
    }

    /// An index as a snapshot holds it; `None` where that has another number of shards. `bytes_at`
    /// tells the length of a record that is too long for its word.
    pub(crate) fn from_snapshot(
        vault_id: u64,
        files: &Files,
        shards: Vec<Shard>,
        keyed: Vec<Keyed>,
        bytes_at: impl Fn(Word) -> Option<u64>,
    ) -> Option<Self> {
        if shards.len() != SHARDS {
            return None;
        }
        let index = Self::new(vault_id, files);
        let mut live: Vec<u64> = Vec::new();
        for word in shards.iter().flat_map(Shard::words) {
            let bytes = word.bytes().or_else(|| bytes_at(word))?;
            let slot = usize::try_from(word.slot()).ok()?;
            files.at(word.slot())?;
            if live.len() <= slot {
                live.resize(slot + 1, 0);
            }
            *live.get_mut(slot)? += bytes;
        }
        let mut usage = held(&index.usage);
        for (slot, bytes) in live.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
            let file = files.at(u32::try_from(slot).ok()?)?;
            usage.add(file.segment, *bytes);
        }
        for (place, shard) in index.parts.iter().zip(shards) {
            exclusive(&place.part).shard = shard;
        }
        for Keyed { space, key, entry } in keyed {
            files.slot(entry.segment)?;
            usage.add(entry.segment, entry.bytes);
            exclusive(&index.keyed).0.insert(space, &key, entry);
        }
        drop(usage);
        Some(index)
    }

    /// All entries of the spaces that hold their keys.
    pub(crate) fn keyed_all(&self) -> Vec<Keyed> {
        let keyed = shared(&self.keyed);
        let of = |space| {
            let entries = keyed.0.entries(space).into_iter();
            entries.map(move |(key, entry)| Keyed { space, key, entry })
        };
        let mut all: Vec<Keyed> = of(Space::Rsu).chain(of(Space::RsuKv)).collect();
        all.sort_unstable_by(|a, b| (a.space, &a.key).cmp(&(b.space, &b.key)));
        all
    }

    /// Copies of all shards, each as of a moment of its own.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        let parts = self.parts.iter();
        parts
            .map(|place| shared(&place.part).shard.clone())
            .collect()
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash_whole(self.vault_id, Space::Plain, key)
    }

    fn part(&self, hash: u64) -> (&RwLock<Part>, u32) {
        let (part, hash) = split(hash);
        (&self.parts[part].part, hash)
    }

    /// Where reads of plain keys with this hash are counted.
    pub(crate) fn counts(&self, hash: u64) -> &Counts {
        &self.parts[split(hash).0].counts
    }

    /// Reads of plain keys so far: found, and absent.
    pub(crate) fn reads(&self) -> (u64, u64) {
        let sum = |count: fn(&Counts) -> &Counter| {
            let counts = self.parts.iter().map(|place| count(&place.counts).get());
            counts.sum::<u64>()
        };
        (sum(|counts| &counts.hits), sum(|counts| &counts.misses))
    }

    /// The records that a plain key with this hash may have; `None` where there are none. Cost:
    /// one shared lock and, where the key is absent, usually one cache line.
    pub(crate) fn candidates(&self, hash: u64) -> Option<Candidates> {
        let (part, hash) = self.part(hash);
        let part = shared(part);
        let mut words = part.shard.candidates(hash);
        let mut first = [Some(words.next()?), None, None];
        for slot in first.iter_mut().skip(1) {
            *slot = words.next();
        }
        let rest = words.collect();
        Some(Candidates {
            files: Arc::clone(&part.files),
            first,
            rest,
        })
    }

    /// Runs `look` on the keys and files of the keyed spaces.
    pub(crate) fn keyed<T>(&self, look: impl FnOnce(&Table, &Files) -> T) -> T {
        let keyed = shared(&self.keyed);
        look(&keyed.0, &keyed.1)
    }

    /// Whether the record at this place is the newest of its key.
    pub(crate) fn points_at(&self, space: Space, key: &[u8], segment: u64, offset: u64) -> bool {
        if space != Space::Plain {
            let entry = shared(&self.keyed).0.get(space, key);
            return entry.is_some_and(|entry| (entry.segment, entry.offset) == (segment, offset));
        }
        self.word_at(self.hash(key), segment, offset).is_some()
    }

    fn word_at(&self, hash: u64, segment: u64, offset: u64) -> Option<Word> {
        let (part, hash) = self.part(hash);
        let part = shared(part);
        let slot = part.files.slot(segment)?;
        let mut words = part.shard.candidates(hash);
        words.find(|word| (word.slot(), word.offset()) == (slot, offset))
    }

    /// Makes one change of a plain key visible. Called under the log's lock.
    pub(crate) fn publish_plain(
        &self,
        hash: u64,
        old: Option<(Candidate, u64)>,
        new: Option<Entry>,
    ) {
        let (part, hash) = self.part(hash);
        let mut usage = held(&self.usage);
        apply(&mut exclusive(part), hash, old, new, &mut usage);
    }

    /// Makes all changes visible at once. Called under the log's lock.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut usage = held(&self.usage);
        let mut keyed = None;
        let mut parts: Vec<usize> = changes.iter().filter_map(part_of).collect();
        parts.sort_unstable();
        parts.dedup();
        // All locks are taken before the first change, and given back after the last.
        let mut locked: Vec<(usize, RwLockWriteGuard<'_, Part>)> = parts
            .into_iter()
            .map(|part| (part, exclusive(&self.parts[part].part)))
            .collect();
        for change in changes {
            match change {
                Change::Plain { hash, old, new } => {
                    let (part, hash) = split(hash);
                    let position = locked.binary_search_by_key(&part, |(part, _)| *part);
                    let Some((_, part)) = position.ok().and_then(|at| locked.get_mut(at)) else {
                        continue;
                    };
                    apply(part, hash, old, new, &mut usage);
                }
                Change::Keyed { space, key, new } => {
                    let (table, _) = &mut **keyed.get_or_insert_with(|| exclusive(&self.keyed));
                    let old = match new {
                        Some(entry) => table.insert(space, &key, entry),
                        None => table.remove(space, &key),
                    };
                    if let Some(entry) = new {
                        usage.add(entry.segment, entry.bytes);
                    }
                    if let Some(old) = old {
                        usage.subtract(old.segment, old.bytes);
                    }
                }
            }
        }
    }

    /// Points the key to a copy of its record, if it still points to the original.
    /// `bytes` is the record's length.
    pub(crate) fn relocate(
        &self,
        space: Space,
        key: &[u8],
        from: (u64, u64),
        to: (u64, u64),
        bytes: u64,
    ) {
        let moved = |mut usage: MutexGuard<'_, Usage>| {
            usage.subtract(from.0, bytes);
            usage.add(to.0, bytes);
        };
        if space != Space::Plain {
            let mut keyed = exclusive(&self.keyed);
            let entry = keyed.0.get(space, key);
            if let Some(entry) = entry.filter(|entry| (entry.segment, entry.offset) == from) {
                let (segment, offset) = to;
                let entry = Entry {
                    segment,
                    offset,
                    ..entry
                };
                keyed.0.insert(space, key, entry);
                moved(held(&self.usage));
            }
            return;
        }
        let hash = self.hash(key);
        let Some(old) = self.word_at(hash, from.0, from.1) else {
            return;
        };
        let (part, hash) = self.part(hash);
        let mut part = exclusive(part);
        let slot = part.files.slot(to.0);
        if let Some(new) = slot.and_then(|slot| Word::new(slot, to.1, bytes)) {
            part.shard.replace(hash, old, new);
            moved(held(&self.usage));
        }
    }

    /// Removes every key whose newest record lies in `segment`, which had a slot in `files`;
    /// returns how many there were. Called under the log's lock.
    pub(crate) fn forget(&self, segment: u64, files: &Files) -> u64 {
        let mut forgotten = exclusive(&self.keyed).0.forget(segment);
        if let Some(slot) = files.slot(segment) {
            for part in &self.parts {
                forgotten += exclusive(&part.part)
                    .shard
                    .retain(|word| word.slot() != slot);
            }
        }
        let mut usage = held(&self.usage);
        let bytes = usage.live_in.remove(&segment).unwrap_or(0);
        usage.live_bytes = usage.live_bytes.saturating_sub(bytes);
        forgotten
    }

    /// Gives every shard the files that exist from now on.
    pub(crate) fn set_files(&self, files: &Files) {
        for part in &self.parts {
            exclusive(&part.part).files = Arc::new(Arc::clone(files));
        }
        exclusive(&self.keyed).1 = Arc::clone(files);
    }

    pub(crate) fn plain_keys(&self) -> usize {
        let parts = self.parts.iter();
        parts.map(|place| shared(&place.part).shard.len()).sum()
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        held(&self.usage).live_bytes
    }

    /// As [`live_bytes`](Self::live_bytes), of one segment.
    pub(crate) fn live_bytes_in(&self, segment: u64) -> u64 {
        let usage = held(&self.usage);
        usage.live_in.get(&segment).copied().unwrap_or(0)
    }

    /// Bytes allocated for plain keys.
    pub(crate) fn memory_bytes(&self) -> usize {
        let parts = self.parts.iter();
        parts
            .map(|place| shared(&place.part).shard.memory_bytes())
            .sum()
    }

    /// The newest records of all plain keys; of one moment if the caller holds the log's lock.
    pub(crate) fn plain_words(&self) -> (Vec<Word>, Files) {
        let mut words = Vec::with_capacity(self.plain_keys());
        let mut files = Files::default();
        for part in &self.parts {
            let part = shared(&part.part);
            words.extend(part.shard.words());
            files = Arc::clone(&*part.files);
        }
        (words, files)
    }
}

fn part_of(change: &Change) -> Option<usize> {
    match change {
        Change::Plain { hash, .. } => Some(split(*hash).0),
        Change::Keyed { .. } => None,
    }
}

fn apply(
    part: &mut Part,
    hash: u32,
    old: Option<(Candidate, u64)>,
    new: Option<Entry>,
    usage: &mut Usage,
) {
    let word = new.and_then(|entry| {
        let slot = part.files.slot(entry.segment)?;
        Word::new(slot, entry.offset, entry.bytes)
    });
    match (&old, word) {
        (Some((old, _)), Some(new)) => {
            part.shard.replace(hash, old.word, new);
        }
        (Some((old, _)), None) => {
            part.shard.remove(hash, old.word);
        }
        (None, Some(new)) => part.shard.insert(hash, new),
        (None, None) => {}
    }
    if let Some(entry) = new {
        usage.add(entry.segment, entry.bytes);
    }
    if let Some((old, bytes)) = old {
        usage.subtract(old.segment, bytes);
    }
}
