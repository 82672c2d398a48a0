//! Opening: lock, manifest, recovery of every segment, index.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::cache::Cache;
use crate::checkpoint::refuse_unfinished;
use crate::compress::Codec;
use crate::error::VaultError;
use crate::index::{FileTable, Index, SNAPSHOT_NAME, SegmentFile};
use crate::io::{Locked, Storage, StorageFile};
use crate::log::{
    COPY_BIT, Commit, Kind, Ledger, Log, Loss, MANIFEST_NAME, Manifest, ManifestRead, Mark,
    Recovered, SEGMENT_HEADER_BYTES, ScanError, SegmentHead, create_segment, parse_segment_name,
    read_manifest, read_segment_head, recover_active, recover_sealed, segment_name,
};
use crate::losses::{Damage, DamageKind, Losses};
use crate::medium::Medium;
use crate::open_fast::Fast;
use crate::open_replay::Replay;
use crate::options::Options;
use crate::rsu::{HotCounts, RsuIndex};
use crate::seal::{EncryptionKey, SealHead};
use crate::snapshot::first_due;
use crate::stats::{Counters, RecoveryReport};
use crate::vault::Vault;

/// An open file and its length in bytes.
pub(crate) type FileBytes = (Arc<dyn StorageFile>, u64);

const LOCK_NAME: &str = "LOCK";

pub(crate) fn open(storage: Arc<dyn Storage>, mut options: Options) -> Result<Vault, VaultError> {
    let medium = Medium::new(storage);
    let lock = match medium.storage.lock(LOCK_NAME) {
        Ok(Locked::Here(lock)) => lock,
        Ok(Locked::Elsewhere(holder)) => {
            return Err(VaultError::InUse {
                dir: medium.dir(),
                holder,
            });
        }
        Err(source) => return Err(medium.failed("lock", LOCK_NAME, 0, source)),
    };
    let mut opening = Opening::new(&medium, &options);
    let manifest = opening.manifest()?;
    opening.unseal(&manifest)?;
    // What it was needed for is derived.
    options.forget_key();
    let skip = options.checks_at_open() || opening.report.manifest_rebuilt;
    let fast = if skip { None } else { opening.fast(&manifest)? };
    let behind_bytes;
    let (log, index, files, report, tail, unsound, losses) = match fast {
        Some(fast) => {
            let Fast {
                log,
                index,
                files,
                report,
                tail,
                tail_bytes,
            } = fast;
            behind_bytes = tail_bytes;
            let none = (HashSet::new(), Losses::default());
            (log, index, Arc::new(files), report, tail, none.0, none.1)
        }
        None => {
            let log = opening.segments(manifest)?;
            let mut losses = opening.losses;
            let log = log.with_ledgers(opening.ledgers);
            let files = Arc::new(opening.files);
            let vault_id = log.manifest.vault_id;
            let index = Index::new(vault_id, &files);
            let replay = opening.replay;
            let unsound = replay.finish(&medium, vault_id, &mut losses, &index)?;
            let tail = Vec::new();
            behind_bytes = log.manifest.marks.iter().map(|mark| mark.bytes).sum();
            (log, index, files, opening.report, tail, unsound, losses)
        }
    };
    let rsu = RsuIndex::new(options.similarity_threshold())?;
    let codec = Codec::new(&options);
    let vault = Vault {
        vault_id: log.manifest.vault_id,
        log: Mutex::new(log),
        commit: Commit::default(),
        index,
        files: RwLock::new(files),
        unsound,
        any_losses: !losses.is_empty(),
        losses: RwLock::new(losses),
        codec,
        cache: Cache::new(options.cache_bytes()),
        rsu: RwLock::new(rsu),
        hot: Mutex::new(HotCounts::new(options.hot_units())?),
        counters: Counters::default(),
        snapshot_due: AtomicU64::new(first_due(&options, report.records, behind_bytes)),
        compaction: Mutex::new(HashSet::new()),
        recovery: report,
        options,
        _lock: lock,
        medium,
    };
    vault.replay(tail)?;
    vault.rebuild_rsu_index()?;
    Ok(vault)
}

/// A segment number above all of these.
fn next_number(marks: &[Mark]) -> u64 {
    let numbers = marks.iter().map(|mark| mark.segment & !COPY_BIT);
    numbers.max().unwrap_or(0).saturating_add(1)
}

pub(crate) struct Opening<'a> {
    pub(crate) medium: &'a Medium,
    /// The size at which segments are sealed.
    segment_bytes: u64,
    pub(crate) key: Option<EncryptionKey>,
    pub(crate) names: Vec<String>,
    files: FileTable,
    replay: Replay,
    losses: Losses,
    report: RecoveryReport,
    ledgers: HashMap<u64, Ledger>,
    /// The highest sequence number that may have been used.
    sequence_floor: u64,
}

impl<'a> Opening<'a> {
    fn new(medium: &'a Medium, options: &Options) -> Self {
        Self {
            medium,
            segment_bytes: options.segment_bytes_target(),
            key: options.key().cloned(),
            names: Vec::new(),
            files: FileTable::default(),
            replay: Replay::default(),
            losses: Losses::default(),
            report: RecoveryReport::default(),
            ledgers: HashMap::new(),
            sequence_floor: 0,
        }
    }

    fn on_disk(&self) -> Vec<u64> {
        let mut segments: Vec<u64> = self
            .names
            .iter()
            .filter_map(|name| parse_segment_name(name))
            .collect();
        segments.sort_unstable();
        segments
    }

    /// The manifest in force: read, rebuilt from the segments, or that of a new vault.
    fn manifest(&mut self) -> Result<Manifest, VaultError> {
        let medium = self.medium;
        self.names = medium
            .storage
            .list()
            .map_err(|source| medium.failed("list", "", 0, source))?;
        refuse_unfinished(medium, &self.names)?;
        match read_manifest(medium, &self.names)? {
            ManifestRead::Read(manifest) if !self.outdated(&manifest)? => {
                self.remove_strays(&manifest)?;
                Ok(manifest)
            }
            ManifestRead::Read(_) | ManifestRead::Damaged => self.rebuild(true),
            ManifestRead::Absent => self.rebuild(false),
        }
    }

    /// True when a segment holds records that the manifest does not know of: a segment gets its
    /// first record only once the manifest names it, so the manifest is an old one. Segments that
    /// compaction writes are the exception: without a manifest they never came into force.
    fn outdated(&self, manifest: &Manifest) -> Result<bool, VaultError> {
        for segment in self.on_disk() {
            if segment < manifest.next_segment || segment & COPY_BIT != 0 {
                continue;
            }
            let file = self.open_file(segment)?;
            let Some((file, bytes)) = file else { continue };
            let head = read_segment_head(self.medium, segment, &*file)?;
            let ours = head.is_none_or(|head| head.vault_id == manifest.vault_id);
            if ours && bytes > SEGMENT_HEADER_BYTES {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes segments that never came into force (they hold no record, or copies of records)
    /// and those that compaction replaced (the manifest's numbers have gone past them).
    fn remove_strays(&self, manifest: &Manifest) -> Result<(), VaultError> {
        for segment in self.on_disk() {
            if manifest.marks.iter().any(|mark| mark.segment == segment) {
                continue;
            }
            let Some((file, bytes)) = self.open_file(segment)? else {
                continue;
            };
            let head = read_segment_head(self.medium, segment, &*file)?;
            let ours = head.is_none_or(|head| head.vault_id == manifest.vault_id);
            let replaced = segment & COPY_BIT != 0 || segment < manifest.next_segment;
            if bytes <= SEGMENT_HEADER_BYTES || ours && replaced {
                // Best effort; it is looked at again at the next opening.
                let _ = self.medium.storage.remove(&segment_name(segment));
            }
        }
        Ok(())
    }

    fn rebuild(&mut self, damaged: bool) -> Result<Manifest, VaultError> {
        let medium = self.medium;
        // Segment numbers may be given again, so what it tells of them holds no more.
        if self.names.iter().any(|name| name == SNAPSHOT_NAME) {
            let removed = medium.storage.remove(SNAPSHOT_NAME);
            removed.map_err(|source| medium.failed("remove", SNAPSHOT_NAME, 0, source))?;
        }
        let mut vault_id = None;
        let mut seal = SealHead::default();
        let mut marks = Vec::new();
        let mut used = false;
        for segment in self.on_disk() {
            let Some((file, bytes)) = self.open_file(segment)? else {
                continue;
            };
            let head = read_segment_head(medium, segment, &*file)?;
            vault_id = vault_id.or(head.map(|head| head.vault_id));
            let sealed = head.map(|head| head.seal).filter(SealHead::is_some);
            seal = sealed.unwrap_or(seal);
            used |= bytes > SEGMENT_HEADER_BYTES;
            marks.push(Mark {
                segment,
                bytes,
                ..Mark::default()
            });
        }
        if !used {
            // No crash damages it: what it named was cut.
            if damaged {
                self.report_manifest(damaged)?;
            }
            return self.create(&marks);
        }
        let Some(vault_id) = vault_id else {
            let reason = "the manifest and all segment heads are damaged";
            return Err(VaultError::Corrupt {
                file: medium.path(MANIFEST_NAME),
                offset: 0,
                reason,
            });
        };
        self.report_manifest(damaged)?;
        let next_segment = next_number(&marks);
        // Copies first: the active segment is the last one that is none.
        marks.sort_by_key(|mark| (mark.segment & COPY_BIT == 0, mark.segment));
        match marks.last_mut() {
            // How much of it was durable is known from its records only.
            Some(active) if active.segment & COPY_BIT == 0 => active.bytes = 0,
            // It is missing, which is reported.
            _ => marks.push(Mark {
                segment: next_segment - 1,
                ..Mark::default()
            }),
        }
        Ok(Manifest {
            vault_id,
            next_segment,
            seal,
            marks,
        })
    }

    /// Reports a manifest that is damaged, an old one, or missing.
    fn report_manifest(&mut self, damaged: bool) -> Result<(), VaultError> {
        let bytes = if damaged {
            self.length_of(MANIFEST_NAME)?
        } else {
            0
        };
        self.report.add_damage(Damage {
            kind: DamageKind::Manifest,
            file: self.medium.path(MANIFEST_NAME),
            offset: 0,
            bytes,
            key: None,
        });
        self.report.manifest_rebuilt = true;
        Ok(())
    }

    /// A new vault: the first segment, then the manifest that brings it into force.
    fn create(&mut self, unused: &[Mark]) -> Result<Manifest, VaultError> {
        let segment = next_number(unused);
        let vault_id = self.medium.storage.random_u64();
        let seal = self.seal_new(vault_id)?;
        create_segment(
            self.medium,
            SegmentHead {
                vault_id,
                segment,
                base_sequence: 0,
                seal,
            },
        )?;
        let mark = Mark {
            segment,
            bytes: SEGMENT_HEADER_BYTES,
            ..Mark::default()
        };
        let manifest = Manifest {
            vault_id,
            next_segment: segment + 1,
            seal,
            marks: vec![mark],
        };
        manifest.commit(self.medium)?;
        self.remove_strays(&manifest)?;
        Ok(manifest)
    }

    fn length_of(&self, name: &str) -> Result<u64, VaultError> {
        match self.medium.storage.open(name).and_then(|file| file.len()) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(self.medium.failed("read", name, 0, source)),
        }
    }

    fn open_file(&self, segment: u64) -> Result<Option<FileBytes>, VaultError> {
        let name = segment_name(segment);
        let opened = self.medium.storage.open(&name).and_then(|file| {
            let bytes = file.len()?;
            Ok((file, bytes))
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.medium.failed("open", &name, 0, source)),
        }
    }

    /// Recovers every segment in order and sets up the log behind the last one.
    fn segments(&mut self, mut manifest: Manifest) -> Result<Log, VaultError> {
        let marks = manifest.marks.clone();
        let Some((active, sealed)) = marks.split_last() else {
            unreachable!("a manifest names at least one segment");
        };
        for (position, mark) in sealed.iter().enumerate() {
            let Some((file, bytes)) = self.sound_file(&manifest, *mark)? else {
                continue;
            };
            let recovered = recover_sealed(&*file, manifest.vault_id, *mark, bytes)
                .map_err(|error| self.scan_error(mark.segment, error))?;
            if mark.last_sequence == 0
                && let Some(rebuilt) = manifest.marks.get_mut(position)
            {
                // So that the segment, should it be lost later, is known to be as young as it is.
                *rebuilt = recovered.mark;
            }
            self.take(mark.segment, recovered);
            self.files
                .insert(SegmentFile::sealed(mark.segment, file, bytes));
        }
        let Some((file, bytes)) = self.sound_file(&manifest, *active)? else {
            return self.replace_active(manifest);
        };
        let recovered = recover_active(&*file, manifest.vault_id, *active, bytes)
            .map_err(|error| self.scan_error(active.segment, error))?;
        let (mark, must_roll) = (recovered.mark, recovered.tail_lost);
        self.report.torn_tail_bytes = recovered.torn.bytes;
        self.report.torn_tail_records = recovered.torn.records;
        if !must_roll && (bytes > mark.bytes || mark.bytes > active.bytes) {
            self.settle(&*file, mark, bytes)?;
        }
        self.take(active.segment, recovered);
        if let Some(last) = manifest.marks.last_mut() {
            *last = mark;
        }
        let old = Manifest {
            marks,
            ..manifest.clone()
        };
        if !must_roll && (manifest != old || self.report.manifest_rebuilt) {
            self.note(&manifest)?;
        }
        let floor = self.sequence_floor;
        let log = Log::new(manifest, file, mark, floor, must_roll);
        if must_roll {
            let file = Arc::clone(&log.file);
            let sealed = SegmentFile::sealed(log.segment, file, bytes);
            self.files.insert(sealed);
        } else {
            self.insert_active(&log);
        }
        Ok(log)
    }

    fn insert_active(&mut self, log: &Log) {
        let file = self.shown(log);
        self.files.insert(file);
    }

    /// The active segment, for readers.
    pub(crate) fn shown(&self, log: &Log) -> SegmentFile {
        let (file, tail) = (Arc::clone(&log.file), Arc::clone(&log.tail));
        let bytes_max = self.segment_bytes.max(log.end);
        SegmentFile::active(log.segment, file, bytes_max, tail)
    }

    /// A segment's file if it is there and its head is sound.
    pub(crate) fn sound_segment(&self, segment: u64, vault_id: u64) -> Option<FileBytes> {
        let (file, bytes) = self.open_file(segment).ok()??;
        let head = read_segment_head(self.medium, segment, &*file).ok()??;
        (head.vault_id == vault_id).then_some((file, bytes))
    }

    /// Cuts a torn tail and makes what is kept durable, so that it can be called so from now on.
    pub(crate) fn settle(
        &self,
        file: &dyn StorageFile,
        mark: Mark,
        bytes: u64,
    ) -> Result<(), VaultError> {
        let name = segment_name(mark.segment);
        if bytes > mark.bytes {
            let cut = file.truncate(mark.bytes);
            cut.map_err(|source| self.medium.failed("truncate", &name, 0, source))?;
        }
        file.sync()
            .map_err(|source| self.medium.failed("sync", &name, 0, source))
    }

    /// Writes the manifest. On a full disk the old one serves as well: it knows less, not other.
    pub(crate) fn note(&self, manifest: &Manifest) -> Result<(), VaultError> {
        match manifest.commit(self.medium) {
            Err(VaultError::OutOfSpace { .. }) => Ok(()),
            other => other,
        }
    }

    /// Opens a segment and checks its head; reports a missing one.
    fn sound_file(
        &mut self,
        manifest: &Manifest,
        mark: Mark,
    ) -> Result<Option<FileBytes>, VaultError> {
        let file = self.medium.path(&segment_name(mark.segment));
        let Some((handle, bytes)) = self.open_file(mark.segment)? else {
            self.losses
                .add_unknown(mark.last_sequence.saturating_add(1), file.clone(), 0);
            self.sequence_floor = self.sequence_floor.max(mark.last_sequence);
            let (kind, bytes) = (DamageKind::SegmentMissing, mark.bytes);
            self.report.add_damage(Damage {
                kind,
                file,
                offset: 0,
                bytes,
                key: None,
            });
            return Ok(None);
        };
        let head = read_segment_head(self.medium, mark.segment, &*handle)?;
        if head.is_none_or(|head| head.vault_id != manifest.vault_id) {
            let (kind, bytes) = (DamageKind::SegmentHead, SEGMENT_HEADER_BYTES);
            self.report.add_damage(Damage {
                kind,
                file,
                offset: 0,
                bytes,
                key: None,
            });
        }
        Ok(Some((handle, bytes)))
    }

    /// The active segment is gone: what it held is unknown, and a new one takes its place.
    fn replace_active(&mut self, mut manifest: Manifest) -> Result<Log, VaultError> {
        let segment = manifest.next_segment;
        let floor = self.sequence_floor;
        let head = SegmentHead {
            vault_id: manifest.vault_id,
            segment,
            base_sequence: floor,
            seal: manifest.seal,
        };
        let file = create_segment(self.medium, head)?;
        let bytes = SEGMENT_HEADER_BYTES;
        let mark = Mark {
            segment,
            bytes,
            last_sequence: floor,
            ..Mark::default()
        };
        manifest.next_segment += 1;
        manifest.marks.push(mark);
        manifest.commit(self.medium)?;
        let log = Log::new(manifest, file, mark, floor, false);
        self.insert_active(&log);
        Ok(log)
    }

    fn take(&mut self, segment: u64, recovered: Recovered) {
        let path = self.medium.path(&segment_name(segment));
        self.sequence_floor = self.sequence_floor.max(recovered.sequence_floor);
        for lost in &recovered.lost {
            let kind = match lost.loss {
                Loss::OfHash { key_hash, sequence } => {
                    self.losses
                        .add_hash(key_hash, sequence, path.clone(), lost.start);
                    DamageKind::Record
                }
                Loss::Unknown { below } => {
                    self.losses.add_unknown(below, path.clone(), lost.start);
                    DamageKind::Records
                }
            };
            let (offset, bytes) = (lost.start, lost.end - lost.start);
            let file = path.clone();
            self.report.add_damage(Damage {
                kind,
                file,
                offset,
                bytes,
                key: None,
            });
        }
        let oldest = recovered.records.iter().map(|found| found.header.sequence);
        let removals = recovered.records.iter();
        let removals = removals.filter(|found| found.header.kind == Kind::Delete);
        let mut ledger = Ledger {
            // What was lost may have been older than what is left.
            base_sequence: match oldest.min() {
                _ if !recovered.lost.is_empty() => 0,
                Some(first) => first.saturating_sub(1),
                None => recovered.sequence_floor,
            },
            tombstone_bytes: removals.map(|found| found.header.record_bytes()).sum(),
            expires_first_s: 0,
        };
        for found in &recovered.records {
            ledger.note_expiry(found.header.expires_s);
        }
        self.ledgers.insert(segment, ledger);
        for found in recovered.records {
            if found.intact {
                self.report.records += 1;
            } else {
                self.report.add_damage(found.damage(path.clone()));
            }
            self.replay.add(segment, found);
        }
    }

    pub(crate) fn scan_error(&self, segment: u64, error: ScanError) -> VaultError {
        let name = segment_name(segment);
        match error {
            ScanError::Io(source) => self.medium.failed("read", &name, 0, source),
            ScanError::Unknown { what, found } => VaultError::UnsupportedVersion {
                file: self.medium.path(&name),
                what,
                found,
            },
        }
    }
}
