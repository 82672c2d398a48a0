//! The public handle: reads, writes, durability.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use crate::batch::Batch;
use crate::cache::Cache;
use crate::compaction::Pinned;
use crate::compress::Codec;
use crate::encode::with_scratch;
use crate::error::VaultError;
use crate::index::{Candidate, Change, Entry, Files, Index, SLOTS_MAX, SegmentFile};
use crate::io::{FileStorage, Storage, StorageLock};
use crate::iter::Iter;
use crate::log::record::UNIT_BYTES;
use crate::log::{
    Appended, BEGIN_BYTES, Commit, Kind, Limits, Log, Pending, Reach, SEGMENT_HEADER_BYTES, Space,
    batch_bytes, segment_name,
};
use crate::losses::Losses;
use crate::medium::Medium;
use crate::options::{Durability, Options};
use crate::rsu::{HotCounts, RsuIndex};
use crate::stats::{Counters, RecoveryReport, Stats};

/// An embedded, log-structured store of compressed, checksummed values.
///
/// Share it between threads by reference or [`Arc`]; every method takes `&self`. A directory is
/// held by one `Vault` at a time. Dropping the vault is an attempt to [`close`](Self::close) it
/// whose errors are only logged.
///
/// ```
/// use sigma_vault::{Durability, Options, Vault};
///
/// let dir = tempfile::tempdir()?;
/// let vault = Vault::open(dir.path(), Options::new())?;
/// vault.put(b"context/1", b"what the agent has read", Durability::Grouped)?;
/// vault.close()?;
///
/// let vault = Vault::open(dir.path(), Options::new())?;
/// assert_eq!(vault.get(b"context/1")?.as_deref(), Some(&b"what the agent has read"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Vault {
    pub(crate) medium: Medium,
    pub(crate) options: Options,
    pub(crate) vault_id: u64,
    pub(crate) log: Mutex<Log>,
    pub(crate) commit: Commit,
    pub(crate) index: Index,
    pub(crate) files: RwLock<Files>,
    /// Places of values that opening found damaged.
    pub(crate) unsound: HashSet<(u64, u64)>,
    /// Opening found losses that could not be tied to a place.
    pub(crate) any_losses: bool,
    pub(crate) losses: RwLock<Losses>,
    pub(crate) codec: Codec,
    pub(crate) cache: Cache,
    pub(crate) rsu: RwLock<RsuIndex>,
    pub(crate) hot: Mutex<HotCounts>,
    pub(crate) counters: Counters,
    pub(crate) recovery: RecoveryReport,
    /// At this many written bytes the next snapshot of the index is due.
    pub(crate) snapshot_due: AtomicU64,
    /// Held by whoever compacts.
    pub(crate) compaction: Mutex<Pinned>,
    /// Released when the vault is dropped.
    pub(crate) _lock: Box<dyn StorageLock>,
}

/// Of a durable write of this length, the device works on a part while the index is told of it.
const BEGIN_DURABLE_BYTES: u64 = 16 << 10;

/// What fails where the system refuses its barrier after it offered one.
pub(crate) const WAIT_FOR_READERS: &str = "wait for readers (membarrier) of";

/// What publishing some writes will change.
enum Aim {
    /// The record of one plain key, from this one.
    One(Option<(Candidate, u64)>),
    /// Those of several.
    Many,
}

/// Guards, whatever another thread's panic left behind: every critical section below changes the
/// guarded value only in steps that leave it usable.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn shared<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn exclusive<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Vault {
    /// Opens the vault in `dir`, creating it where absent, and recovers from whatever an earlier
    /// crash left; [`stats`](Self::stats) says what was found.
    ///
    /// Cost: reads the snapshot of the index and what was written behind it, at most what
    /// [`index_snapshot_bytes_min`](Options::index_snapshot_bytes_min) says; where there is no
    /// snapshot or known damage, every segment once.
    ///
    /// # Errors
    /// [`VaultError::InUse`] when another handle holds the directory;
    /// [`VaultError::InvalidArgument`] for an option out of range;
    /// [`VaultError::UnsupportedVersion`] for files of a later version;
    /// [`VaultError::KeyNeeded`], [`VaultError::NotEncrypted`] or [`VaultError::WrongKey`] where the
    /// key does not fit; [`VaultError::Unfinished`] for half a checkpoint; [`VaultError::Io`] when the
    /// medium fails; [`VaultError::Corrupt`] only when the manifest and every segment head are
    /// damaged at once.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, VaultError> {
        options.validate()?;
        let dir = dir.as_ref();
        let storage = FileStorage::open(dir).map_err(|source| VaultError::Io {
            operation: "open directory",
            file: dir.to_path_buf(),
            source,
        })?;
        Self::open_with(Arc::new(storage), options)
    }

    /// As [`open`](Self::open), over any [`Storage`].
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(storage: Arc<dyn Storage>, options: Options) -> Result<Self, VaultError> {
        options.validate()?;
        crate::open::open(storage, options)
    }

    /// Stores `value` under `key`, replacing what was there.
    ///
    /// Cost: one compression outside any lock, one write; `durability` decides about syncs.
    ///
    /// # Errors
    /// [`VaultError::KeyTooLong`], [`VaultError::ValueTooLong`]; [`VaultError::OutOfSpace`] or
    /// [`VaultError::Io`], after which the write is not visible and will not become so;
    /// [`VaultError::Poisoned`] after an earlier sync failed. When the sync of *this* write fails
    /// it is visible, but whether it survives a crash is unknown.
    pub fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), VaultError> {
        // Comes while the value is compressed.
        self.index.warm(&[self.index.hash(key)]);
        let sequence = with_scratch(|packed| {
            let write = self.encode_onto((Kind::Put, Space::Plain), key, value, packed)?;
            self.append(&[write], durability)
        })?;
        self.make_durable(sequence, durability)
    }

    /// The value under `key`, or `None`.
    ///
    /// Cost: one read of the stored record, its checksum, one decompression.
    ///
    /// # Errors
    /// [`VaultError::Corrupt`] when the key's newest record is damaged: an older value is never
    /// returned in its place; [`VaultError::Uncertain`] see there; [`VaultError::Io`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let mut value = Vec::new();
        Ok(self.get_plain(key, &mut value)?.then_some(value))
    }

    /// As [`get`](Self::get), into a buffer that is emptied first; returns whether there is a
    /// value. Allocates nothing once the buffer is large enough.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
    /// # let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
    /// let mut value = Vec::new();
    /// vault.put(b"key", b"value", Durability::Buffered)?;
    /// assert!(vault.get_into(b"key", &mut value)?);
    /// assert_eq!(value, b"value");
    /// assert!(!vault.get_into(b"absent", &mut value)?);
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn get_into(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool, VaultError> {
        let found = self.get_plain(key, value);
        if !matches!(found, Ok(true)) {
            value.clear();
        }
        found
    }

    /// True when there is a value under `key`. Does not read the value.
    ///
    /// # Errors
    /// [`VaultError::Corrupt`] or [`VaultError::Uncertain`] when damage leaves it open.
    pub fn contains(&self, key: &[u8]) -> Result<bool, VaultError> {
        let found = self.find(key)?;
        Ok(found.is_some_and(|(_, expires_s)| !self.has_expired(expires_s)))
    }

    /// Removes `key`; returns whether it was there. Also ends the damaged state of a key.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete(&self, key: &[u8], durability: Durability) -> Result<bool, VaultError> {
        let write = self.encode(Kind::Delete, Space::Plain, key, &[])?;
        let (existed, sequence) = {
            let mut log = held(&self.log);
            self.medium.check_writable()?;
            let newest = self.resolve_live(self.index.hash(key), key);
            if newest.is_none() && shared(&self.losses).is_empty() {
                (false, log.last_sequence)
            } else {
                let existed = newest.unwrap_or(false);
                (existed, self.append_locked(&mut log, &[write], durability)?)
            }
        };
        self.make_durable(sequence, durability)?;
        Ok(existed)
    }

    /// Applies all writes of `batch`: visible together, and after a crash all there or none.
    ///
    /// # Errors
    /// As for [`put`](Self::put), and [`VaultError::BatchTooLong`].
    pub fn write(&self, batch: Batch, durability: Durability) -> Result<(), VaultError> {
        let sequence = with_scratch(|packed| {
            let writes = self.encode_batch(&batch, packed)?;
            self.append(&writes, durability)
        })?;
        self.make_durable(sequence, durability)
    }

    /// All live keys and their values as of now, in no particular order; later writes do not show.
    ///
    /// Cost: 8 bytes per key at the start, while writes wait, then one read per item.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(self)
    }

    /// Makes every write so far durable.
    ///
    /// # Errors
    /// [`VaultError::Io`] when the sync fails, [`VaultError::Poisoned`] when one failed before.
    pub fn sync(&self) -> Result<(), VaultError> {
        self.sync_log().map(|_| ())
    }

    /// Makes every write durable, notes the end of the log in the manifest (so that damage to it
    /// is told from a torn write later), and releases the directory.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync); the directory is released in any case.
    pub fn close(self) -> Result<(), VaultError> {
        self.finish()
    }

    /// Sizes, counts, and what opening found.
    pub fn stats(&self) -> Stats {
        let (segments, disk_bytes) = {
            let log = held(&self.log);
            let marks = &log.manifest.marks;
            let sealed = marks
                .iter()
                .rev()
                .skip(1)
                .map(|mark| mark.bytes)
                .sum::<u64>();
            (marks.len() as u64, sealed + log.end)
        };
        let (hits, misses) = self.index.reads();
        let (cache_entries, cache_bytes) = self.cache.size();
        let (cache_hits, cache_misses) = self.cache.looks();
        Stats {
            keys: self.index.plain_keys() as u64,
            rsus: self.index.keyed(|table, _| table.keys(Space::Rsu)) as u64,
            segments,
            disk_bytes,
            live_bytes: self.index.live_bytes(),
            index_bytes: self.index.memory_bytes() as u64,
            records_written: self.counters.records_written.get(),
            written_bytes: self.counters.written_bytes.get(),
            syncs: self.counters.syncs.get(),
            reads: self.counters.reads.get() + hits,
            read_misses: misses,
            reads_refused: self.counters.reads_refused.get(),
            compacted_bytes: self.counters.compacted_bytes.get(),
            reclaimed_bytes: self.counters.reclaimed_bytes.get(),
            stalls: self.counters.stalls.get(),
            stall_us: self.counters.stall_us.get(),
            index_snapshots: self.counters.index_snapshots.get(),
            index_snapshot_bytes: self.counters.index_snapshot_bytes.get(),
            stall_us_max: self.counters.stall_us_max.get(),
            cache_hits,
            cache_misses,
            cache_entries,
            cache_bytes,
            recovery: self.recovery.clone(),
        }
    }

    fn finish(&self) -> Result<(), VaultError> {
        self.medium.check_writable()?;
        held(&self.log).trim(&self.medium)?;
        self.sync_log()?;
        let mut log = held(&self.log);
        let manifest = log.manifest_now();
        if manifest != log.manifest {
            manifest.commit(&self.medium)?;
            log.manifest = manifest;
        }
        drop(log);
        let _still = held(&self.compaction);
        self.snapshot_index()
    }
}

/// What the other modules of the crate build on.
impl Vault {
    /// Appends and publishes the writes as one batch; returns the last one's sequence number.
    pub(crate) fn append(
        &self,
        writes: &[Pending<'_>],
        durability: Durability,
    ) -> Result<u64, VaultError> {
        let sequence = {
            let mut log = held(&self.log);
            self.append_locked(&mut log, writes, durability)?
        };
        self.snapshot_if_due();
        Ok(sequence)
    }

    pub(crate) fn append_locked(
        &self,
        log: &mut Log,
        writes: &[Pending<'_>],
        durability: Durability,
    ) -> Result<u64, VaultError> {
        self.medium.check_writable()?;
        let bytes = batch_bytes(writes)?;
        let target = self.options.segment_bytes_target();
        if !log.fits(bytes, target) {
            if shared(&self.files).len() >= SLOTS_MAX {
                return Err(VaultError::TooManySegments {
                    segments_max: SLOTS_MAX,
                });
            }
            let start = Instant::now();
            log.roll(&self.medium)?;
            self.show_active(log, bytes)?;
            self.counters.stalled(start.elapsed());
        }
        let aim = self.aim(writes)?;
        let limits = Limits {
            segment_bytes: target,
            buffer_bytes: self.options.write_buffer(),
            begin_bytes: match durability {
                Durability::Grouped | Durability::Synced => BEGIN_DURABLE_BYTES,
                Durability::Buffered | Durability::Written => BEGIN_BYTES,
            },
        };
        let reach = match durability {
            Durability::Grouped | Durability::Synced => Reach::Device,
            Durability::Buffered if limits.buffer_bytes > 0 => Reach::Memory,
            Durability::Buffered | Durability::Written => Reach::File,
        };
        let appended = log.append(&self.medium, writes, bytes, limits, reach)?;
        self.counters.records_written.add(appended.len() as u64);
        self.counters.written_bytes.add(bytes);
        self.publish(writes, &appended, aim);
        Ok(log.last_sequence)
    }

    /// Finds out what publishing the writes will change, and gets room in the index for that.
    fn aim(&self, writes: &[Pending<'_>]) -> Result<Aim, VaultError> {
        let (aim, reserved) = if let [write] = writes
            && write.space == Space::Plain
        {
            let hash = write.checks.key_hash_whole;
            let old = self.resolve(hash, write.key);
            let is_new = old.is_none() && write.kind == Kind::Put;
            let hashes = is_new.then_some(hash).into_iter();
            (Aim::One(old), self.index.reserve(hashes))
        } else {
            // Which of them count is found out while the device works on them.
            let plain = writes.iter().filter(|write| write.space == Space::Plain);
            let hashes = plain.map(|write| write.checks.key_hash_whole);
            (Aim::Many, self.index.reserve(hashes))
        };
        reserved.map_err(|source| self.medium.failed(WAIT_FOR_READERS, "", 0, source))?;
        Ok(aim)
    }

    /// Lets readers find the active segment, whose first write will take `bytes` bytes.
    pub(crate) fn show_active(&self, log: &Log, bytes: u64) -> Result<(), VaultError> {
        let target = self.options.segment_bytes_target();
        let bytes_max = target.max(SEGMENT_HEADER_BYTES + bytes);
        let (file, tail) = (Arc::clone(&log.file), Arc::clone(&log.tail));
        let file = SegmentFile::active(log.segment, file, bytes_max, tail);
        let mut files = exclusive(&self.files);
        Arc::make_mut(&mut files).insert(file);
        self.show_files(&files)
    }

    /// Lets readers see what segments there are. After an error they see those of before, and the
    /// vault takes no more writes.
    pub(crate) fn show_files(&self, files: &Files) -> Result<(), VaultError> {
        let shown = self.index.set_files(files);
        shown.map_err(|source| self.medium.poisoned_by(WAIT_FOR_READERS, "", source))
    }

    /// Makes appended writes visible, all at once. Called under the log's lock, so in log order.
    fn publish(&self, writes: &[Pending<'_>], appended: &[Appended], aim: Aim) {
        if self.any_losses {
            let mut losses = exclusive(&self.losses);
            for Appended { header, .. } in appended {
                losses.superseded(header.key_hash, header.sequence);
            }
        }
        if let Aim::One(old) = aim {
            if let ([write], [place]) = (writes, appended) {
                let new = (write.kind == Kind::Put).then(|| entry_of(place));
                self.forget(old);
                let hash = write.checks.key_hash_whole;
                self.index.publish_plain(hash, old, new);
            }
            return;
        }
        self.warm(writes);
        let mut changes = Vec::with_capacity(writes.len());
        for position in last_of_each(writes) {
            let (Some(write), Some(place)) = (writes.get(position), appended.get(position)) else {
                continue;
            };
            let new = (write.kind == Kind::Put).then(|| entry_of(place));
            changes.push(if write.space == Space::Plain {
                let hash = write.checks.key_hash_whole;
                let old = self.resolve(hash, write.key);
                self.forget(old);
                Change::Plain { hash, old, new }
            } else {
                let (space, key) = (write.space, write.key.into());
                Change::Keyed { space, key, new }
            });
        }
        self.index.publish(changes);
    }

    /// Fetches what looking up the keys of many writes will read, all at once.
    fn warm(&self, writes: &[Pending<'_>]) {
        const BLOCK: usize = 32;
        for block in writes.chunks(BLOCK) {
            let mut hashes = [0; BLOCK];
            for (hash, write) in hashes.iter_mut().zip(block) {
                *hash = write.checks.key_hash_whole;
            }
            self.index
                .warm(hashes.get(..block.len()).unwrap_or_default());
        }
    }

    /// A record that is replaced need not be in the cache any more.
    fn forget(&self, old: Option<(Candidate, u64)>) {
        if let Some((old, _)) = old
            && self.cache.is_on()
        {
            self.cache.forget((old.segment, old.word.offset()));
        }
    }

    pub(crate) fn make_durable(
        &self,
        sequence: u64,
        durability: Durability,
    ) -> Result<(), VaultError> {
        match durability {
            Durability::Buffered | Durability::Written => Ok(()),
            Durability::Grouped => self.commit.wait(sequence, || self.sync_log()),
            Durability::Synced => self.sync_log().map(|_| ()),
        }
    }

    /// Syncs the active segment; everything up to the returned sequence number is then durable,
    /// because a segment is synced before it is sealed.
    pub(crate) fn sync_log(&self) -> Result<u64, VaultError> {
        self.medium.check_writable()?;
        let (file, segment, end, sequence) = {
            let mut log = held(&self.log);
            log.flush(&self.medium)?;
            (
                Arc::clone(&log.file),
                log.segment,
                log.end,
                log.last_sequence,
            )
        };
        self.counters.syncs.add(1);
        let name = segment_name(segment);
        self.medium.sync_segment(&*file, &name)?;
        held(&self.log).note_synced(segment, end);
        self.commit.publish(sequence);
        Ok(sequence)
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let idle = {
            let log = held(&self.log);
            log.durable == log.end && log.is_trimmed() && log.manifest_now() == log.manifest
        };
        if idle || self.medium.check_writable().is_err() {
            return;
        }
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "vault dropped without being closed");
        }
    }
}

/// Positions of the writes that count: of several to one key the last one.
fn last_of_each(writes: &[Pending<'_>]) -> Vec<usize> {
    let identity = |position: usize| writes.get(position).map(|write| (write.space, write.key));
    let mut positions: Vec<usize> = (0..writes.len()).collect();
    positions.sort_unstable_by_key(|position| {
        let hash = writes.get(*position).map(|w| w.checks.key_hash_whole);
        (hash, identity(*position), *position)
    });
    let mut last = Vec::with_capacity(positions.len());
    let mut rest = positions.iter().peekable();
    while let Some(position) = rest.next() {
        if rest
            .peek()
            .is_none_or(|next| identity(**next) != identity(*position))
        {
            last.push(*position);
        }
    }
    last
}

/// The index entry of a record that was just written.
fn entry_of(place: &Appended) -> Entry {
    Entry {
        segment: place.segment,
        offset: place.offset,
        bytes: place.bytes,
        sequence: place.header.sequence,
        intact: true,
    }
}

// Records start at multiples of a unit, the first one right behind the segment head.
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(UNIT_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_may_be_shared_between_threads() {
        fn assert_shared<T: Send + Sync>() {}
        assert_shared::<Vault>();
        assert_shared::<Batch>();
        assert_shared::<VaultError>();
    }
}
