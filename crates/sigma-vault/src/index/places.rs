//! The index of all key spaces, sharded by hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use super::files::Files;
use super::shard::Shard;
use super::table::{Entry, Table};
use super::word::Word;
use crate::io::StorageFile;
use crate::log::Space;
use crate::log::record::key_hash_whole;
use crate::vault::{exclusive, held, shared};

/// A power of two; far more than threads, so that they seldom meet.
const SHARDS: usize = 64;

/// A shard with the files that its words point into.
#[derive(Debug, Default)]
struct Part {
    shard: Shard,
    files: Files,
}

/// A record that may be the newest of a key: its own key decides.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) word: Word,
    pub(crate) segment: u64,
    pub(crate) file: Arc<dyn StorageFile>,
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
    parts: Box<[RwLock<Part>]>,
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
        let part = || {
            RwLock::new(Part {
                shard: Shard::default(),
                files: Arc::clone(files),
            })
        };
        Self {
            vault_id,
            parts: (0..SHARDS).map(|_| part()).collect(),
            keyed: RwLock::new((Table::default(), Arc::clone(files))),
            usage: Mutex::default(),
        }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash_whole(self.vault_id, Space::Plain, key)
    }

    fn part(&self, hash: u64) -> (&RwLock<Part>, u32) {
        let (part, hash) = split(hash);
        (&self.parts[part], hash)
    }

    /// The records that a plain key with this hash may have. Cost: one shared lock and, where the
    /// key is absent, usually one cache line.
    pub(crate) fn candidates(&self, hash: u64) -> Vec<Candidate> {
        let (part, hash) = self.part(hash);
        let part = shared(part);
        let words = part.shard.candidates(hash);
        let candidate = |word: Word| {
            let (segment, file) = part.files.at(word.slot())?;
            Some(Candidate {
                word,
                segment,
                file: Arc::clone(file),
            })
        };
        words.filter_map(candidate).collect()
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
            .map(|part| (part, exclusive(&self.parts[part])))
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
                forgotten += exclusive(part).shard.retain(|word| word.slot() != slot);
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
            exclusive(part).files = Arc::clone(files);
        }
        exclusive(&self.keyed).1 = Arc::clone(files);
    }

    pub(crate) fn plain_keys(&self) -> usize {
        self.parts.iter().map(|part| shared(part).shard.len()).sum()
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
        parts.map(|part| shared(part).shard.memory_bytes()).sum()
    }

    /// The newest records of all plain keys; of one moment if the caller holds the log's lock.
    pub(crate) fn plain_words(&self) -> (Vec<Word>, Files) {
        let mut words = Vec::with_capacity(self.plain_keys());
        let mut files = Files::default();
        for part in &self.parts {
            let part = shared(part);
            words.extend(part.shard.words());
            files = Arc::clone(&part.files);
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
