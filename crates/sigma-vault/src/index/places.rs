//! The index of all key spaces, sharded by hash.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::files::{Files, SegmentFile};
use super::gate::{Gated, Read};
use super::lines::Slabs;
use super::seat::Seat;
use super::shard::{Shard, Words};
use super::snapshot::{Counted, Keyed};
use super::table::{Entry, Table};
use super::word::Word;
use crate::log::Space;
use crate::log::record::key_hash_whole;
use crate::spread::Spread;
use crate::vault::{exclusive, held, shared};

/// A power of two, at most 256: growing one stops its readers for the time of a small copy.
pub(crate) const SHARDS: usize = 128;
/// Copies of what many threads would otherwise share; a power of two.
const COPIES: usize = 16;

/// What readers see: the shards, and the files that their words point into.
#[derive(Debug)]
pub(crate) struct Seen {
    shards: Box<[Arc<Shard>]>,
    files: Files,
    /// The files behind `Arc`s of their own, so that few threads share a reference count.
    kept: [Kept; COPIES],
}

#[derive(Debug)]
#[repr(align(128))]
struct Kept(Arc<Files>);

impl Seen {
    fn new(shards: Box<[Arc<Shard>]>, files: &Files) -> Self {
        Self {
            shards,
            files: Arc::clone(files),
            kept: std::array::from_fn(|_| Kept(Arc::new(Arc::clone(files)))),
        }
    }

    fn set_files(&mut self, files: &Files) {
        self.files = Arc::clone(files);
        for Kept(kept) in &mut self.kept {
            *kept = Arc::new(Arc::clone(files));
        }
    }

    /// The words of all records that a plain key with this hash may have.
    pub(crate) fn words(&self, hash: u64) -> Words {
        let (part, hash) = split(hash);
        self.shards[part].words(hash)
    }

    /// The first of them.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> Option<Word> {
        let (part, hash) = split(hash);
        self.shards[part].first(hash)
    }

    /// Fetches what [`words`](Self::words) will read; the result means nothing.
    pub(crate) fn warm(&self, hash: u64) -> u32 {
        let (part, hash) = split(hash);
        self.shards[part].warm(hash)
    }

    /// The file that a word points into. It is there for every word of the same view, for as long
    /// as the view is held.
    #[inline]
    pub(crate) fn file(&self, word: Word) -> Option<&SegmentFile> {
        self.files.at(word.slot())
    }

    /// The files, which stay open as long as this is kept.
    pub(crate) fn files(&self) -> Arc<Files> {
        let Kept(kept) = &self.kept[Seat::own().number() % COPIES];
        Arc::clone(kept)
    }
}

/// A record that may be the newest of a key: its own key decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) word: Word,
    pub(crate) segment: u64,
}

/// All records that a key may have, with the files that hold them.
#[derive(Debug)]
pub(crate) struct Candidates {
    files: Arc<Files>,
    words: Words,
}

impl Candidates {
    /// The candidates with their files, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Candidate, &SegmentFile)> {
        self.words.iter().filter_map(|word| {
            let file = self.files.at(word.slot())?;
            let segment = file.segment;
            Some((Candidate { word, segment }, file))
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
    live_in: HashMap<u64, u64, BuildHasherDefault<Spread>>,
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

/// The index as whoever changes it knows it; its lock makes that one thread at a time.
#[derive(Debug)]
struct Master {
    shards: Box<[Arc<Shard>]>,
    slabs: Slabs,
    files: Files,
    usage: Usage,
}

#[derive(Debug)]
pub(crate) struct Index {
    vault_id: u64,
    seen: Gated<Seen>,
    master: Mutex<Master>,
    keyed: RwLock<(Table, Files)>,
}

/// Which shard, and the hash within it.
pub(super) fn split(hash: u64) -> (usize, u32) {
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    (usize::from(e) % SHARDS, u32::from_le_bytes([a, b, c, d]))
}

impl Index {
    pub(crate) fn new(vault_id: u64, files: &Files) -> Self {
        let shards = (0..SHARDS).map(|_| Arc::default()).collect();
        Self::with(
            vault_id,
            files,
            shards,
            Slabs::new(SHARDS),
            Usage::default(),
        )
    }

    fn with(
        vault_id: u64,
        files: &Files,
        shards: Box<[Arc<Shard>]>,
        slabs: Slabs,
        usage: Usage,
    ) -> Self {
        Self {
            vault_id,
            seen: Gated::new(Seen::new(shards.clone(), files)),
            keyed: RwLock::new((Table::default(), Arc::clone(files))),
            master: Mutex::new(Master {
                shards,
                slabs,
                files: Arc::clone(files),
                usage,
            }),
        }
    }

    /// An index as a snapshot holds it; `None` where that has another number of shards. `bytes_at`
    /// tells the length of a record that is too long for its word.
    pub(crate) fn from_snapshot(
        vault_id: u64,
        files: &Files,
        counted: Counted,
        keyed: Vec<Keyed>,
        bytes_at: impl Fn(Word) -> Option<u64>,
    ) -> Option<Self> {
        let Counted {
            slabs,
            shards,
            mut live,
            long,
            left: _,
        } = counted;
        if shards.len() != SHARDS {
            return None;
        }
        for word in long {
            *live.get_mut(usize::try_from(word.slot()).ok()?)? += bytes_at(word)?;
        }
        let mut usage = Usage::default();
        for (slot, bytes) in live.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
            let file = files.at(u32::try_from(slot).ok()?)?;
            usage.add(file.segment, *bytes);
        }
        let mut table = Table::default();
        for Keyed { space, key, entry } in keyed {
            files.slot(entry.segment)?;
            usage.add(entry.segment, entry.bytes);
            table.insert(space, &key, entry);
        }
        let shards = shards.into_iter().map(Arc::new).collect();
        let index = Self::with(vault_id, files, shards, slabs, usage);
        exclusive(&index.keyed).0 = table;
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
        let copy = |part: usize| held(&self.master).shards[part].copied();
        (0..SHARDS).map(copy).collect()
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash_whole(self.vault_id, Space::Plain, key)
    }

    /// Counts reads of plain keys: found, and absent.
    #[inline]
    pub(crate) fn count(&self, hits: u64, misses: u64) {
        self.seen.count(hits, misses);
    }

    /// Reads of plain keys so far: found, and absent.
    pub(crate) fn reads(&self) -> (u64, u64) {
        self.seen.counted()
    }

    /// What readers see. To be held for a short time and not while taking the log's lock: a writer
    /// waits for it when a segment or a larger shard comes into use.
    #[inline]
    pub(crate) fn seen(&self) -> Read<'_, Seen> {
        self.seen.read()
    }

    /// Fetches what looking up these hashes will read.
    pub(crate) fn warm(&self, hashes: &[u64]) {
        let seen = self.seen();
        let warm = hashes.iter().map(|hash| seen.warm(*hash));
        std::hint::black_box(warm.fold(0, |all, one| all ^ one));
    }

    /// The records that a plain key with this hash may have; `None` where there are none. Cost:
    /// where the key is absent, usually one cache line.
    pub(crate) fn candidates(&self, hash: u64) -> Option<Candidates> {
        let seen = self.seen();
        let words = seen.words(hash);
        words.first?;
        let files = seen.files();
        Some(Candidates { files, words })
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
        let master = held(&self.master);
        master.word_at(self.hash(key), segment, offset).is_some()
    }

    /// Gets room for a word under each of these hashes, before they are published. Called under the
    /// log's lock. An error leaves everything as it is.
    pub(crate) fn reserve(&self, hashes: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut hashes = hashes.map(|hash| split(hash).0).peekable();
        let Some(part) = hashes.next() else {
            return Ok(());
        };
        let mut master = held(&self.master);
        if hashes.peek().is_none() {
            return self.make_room(&mut master, part, 1);
        }
        let mut more = [0_usize; SHARDS];
        hashes.chain([part]).for_each(|part| more[part] += 1);
        let wanted = more.into_iter().enumerate().filter(|(_, more)| *more > 0);
        let mut wanted = wanted.map(|(part, more)| self.make_room(&mut master, part, more));
        wanted.try_for_each(|room| room)
    }

    /// Makes one change of a plain key visible, for whose word room was [reserved](Self::reserve).
    /// Called under the log's lock.
    pub(crate) fn publish_plain(
        &self,
        hash: u64,
        old: Option<(Candidate, u64)>,
        new: Option<Entry>,
    ) {
        let mut master = held(&self.master);
        let (part, hash) = split(hash);
        let moves = old.is_some() && new.is_none();
        if moves {
            master.shards[part].begin();
        }
        master.apply(part, hash, old, new);
        if moves {
            master.shards[part].finish();
        }
    }

    /// Gives a shard room for `more` words, if need be by a larger one in its place.
    fn make_room(&self, master: &mut Master, part: usize, more: usize) -> io::Result<()> {
        if master.shards[part].has_room(more) {
            return Ok(());
        }
        let Master { shards, slabs, .. } = master;
        let larger = Arc::new(shards[part].grown(more, slabs));
        let shown = Arc::clone(&larger);
        // The smaller one's memory is given back when readers may go on.
        drop(
            self.seen
                .change(|seen| std::mem::replace(&mut seen.shards[part], shown))?,
        );
        master.shards[part] = larger;
        Ok(())
    }

    /// Makes all changes visible at once, for whose words room was [reserved](Self::reserve). Called
    /// under the log's lock.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut master = held(&self.master);
        let mut parts: Vec<usize> = changes.iter().filter_map(part_of).collect();
        parts.sort_unstable();
        parts.dedup();
        let is_keyed = |change: &Change| matches!(change, Change::Keyed { .. });
        let mut keyed = changes.iter().any(is_keyed).then(|| exclusive(&self.keyed));
        // Readers wait from before the first change until behind the last.
        parts.iter().for_each(|part| master.shards[*part].begin());
        for change in changes {
            match change {
                Change::Plain { hash, old, new } => {
                    let (part, hash) = split(hash);
                    master.apply(part, hash, old, new);
                }
                Change::Keyed { space, key, new } => {
                    let Some(keyed) = &mut keyed else { continue };
                    let old = match new {
                        Some(entry) => keyed.0.insert(space, &key, entry),
                        None => keyed.0.remove(space, &key),
                    };
                    if let Some(entry) = new {
                        master.usage.add(entry.segment, entry.bytes);
                    }
                    if let Some(old) = old {
                        master.usage.subtract(old.segment, old.bytes);
                    }
                }
            }
        }
        parts.iter().for_each(|part| master.shards[*part].finish());
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
        let moved = |mut master: MutexGuard<'_, Master>| {
            master.usage.subtract(from.0, bytes);
            master.usage.add(to.0, bytes);
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
                drop(keyed);
                moved(held(&self.master));
            }
            return;
        }
        let hash = self.hash(key);
        let master = held(&self.master);
        let Some(old) = master.word_at(hash, from.0, from.1) else {
            return;
        };
        let (part, hash) = split(hash);
        let slot = master.files.slot(to.0);
        if let Some(new) = slot.and_then(|slot| Word::new(slot, to.1, bytes)) {
            master.shards[part].replace(hash, old, new);
            moved(master);
        }
    }

    /// Removes every key whose newest record lies in `segment`, which had a slot in `files`;
    /// returns how many there were. Called under the log's lock.
    pub(crate) fn forget(&self, segment: u64, files: &Files) -> u64 {
        let mut forgotten = exclusive(&self.keyed).0.forget(segment);
        let mut master = held(&self.master);
        if let Some(slot) = files.slot(segment) {
            for shard in &master.shards {
                shard.begin();
                forgotten += shard.retain(|word| word.slot() != slot);
                shard.finish();
            }
        }
        let usage = &mut master.usage;
        let bytes = usage.live_in.remove(&segment).unwrap_or(0);
        usage.live_bytes = usage.live_bytes.saturating_sub(bytes);
        forgotten
    }

    /// Shows readers the files that exist from now on; waits for those that are at it. An error leaves
    /// everything as it is.
    pub(crate) fn set_files(&self, files: &Files) -> io::Result<()> {
        self.seen.change(|seen| seen.set_files(files))?;
        held(&self.master).files = Arc::clone(files);
        exclusive(&self.keyed).1 = Arc::clone(files);
        Ok(())
    }

    pub(crate) fn plain_keys(&self) -> usize {
        let master = held(&self.master);
        master.shards.iter().map(|shard| shard.len()).sum()
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        held(&self.master).usage.live_bytes
    }

    /// As [`live_bytes`](Self::live_bytes), of one segment.
    pub(crate) fn live_bytes_in(&self, segment: u64) -> u64 {
        let master = held(&self.master);
        master.usage.live_in.get(&segment).copied().unwrap_or(0)
    }

    /// Bytes allocated for plain keys.
    pub(crate) fn memory_bytes(&self) -> usize {
        let master = held(&self.master);
        master.shards.iter().map(|shard| shard.memory_bytes()).sum()
    }

    /// The newest records of all plain keys; of one moment if the caller holds the log's lock.
    pub(crate) fn plain_words(&self) -> (Vec<Word>, Files) {
        let keys = self.plain_keys();
        let master = held(&self.master);
        let mut words = Vec::with_capacity(keys);
        for shard in &master.shards {
            words.extend(shard.all());
        }
        (words, Arc::clone(&master.files))
    }
}

impl Master {
    fn word_at(&self, hash: u64, segment: u64, offset: u64) -> Option<Word> {
        let (part, hash) = split(hash);
        let slot = self.files.slot(segment)?;
        let words = self.shards[part].words(hash);
        let mut words = words.iter();
        words.find(|word| (word.slot(), word.offset()) == (slot, offset))
    }

    /// Changes a shard, which has room for it; between its `begin` and `finish` where a word goes.
    fn apply(&mut self, part: usize, hash: u32, old: Option<(Candidate, u64)>, new: Option<Entry>) {
        let shard = &self.shards[part];
        let word = new.and_then(|entry| {
            let slot = self.files.slot(entry.segment)?;
            Word::new(slot, entry.offset, entry.bytes)
        });
        match (&old, word) {
            (Some((old, _)), Some(new)) => {
                shard.replace(hash, old.word, new);
            }
            (Some((old, _)), None) => {
                shard.remove(hash, old.word);
            }
            (None, Some(new)) => shard.insert(hash, new),
            (None, None) => {}
        }
        if let Some(entry) = new {
            self.usage.add(entry.segment, entry.bytes);
        }
        if let Some((old, bytes)) = old {
            self.usage.subtract(old.segment, bytes);
        }
    }
}

fn part_of(change: &Change) -> Option<usize> {
    match change {
        Change::Plain { hash, .. } => Some(split(*hash).0),
        Change::Keyed { .. } => None,
    }
}
