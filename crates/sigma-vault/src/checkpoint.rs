//! A consistent copy of the whole vault in another directory, made while writes go on.
//!
//! Sealed segments never change, so a hard link is a copy; only the active one is copied, up to
//! where the log ended under its lock. The copy is marked as unfinished, durably, before anything
//! else is put into it, and the mark is taken away last: a directory that a crash left half done
//! is refused by name instead of being taken for a damaged vault.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::VaultError;
use crate::index::Files;
use crate::io::{StorageFile, read_exact_at, write_all_at};
use crate::log::{Manifest, Mark, segment_name};
use crate::medium::Medium;
use crate::vault::{Vault, held, shared};

/// In a directory whose checkpoint is not whole.
pub(crate) const UNFINISHED_NAME: &str = "UNFINISHED";
/// How much is copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// What [`Vault::checkpoint`] made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Segments that both directories share.
    pub segments_linked: u64,
    /// Segments copied: the active one, and all where the medium has no links.
    pub segments_copied: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Bytes of all segments.
    pub bytes: u64,
}

impl Vault {
    /// Makes a vault in `dir`, which must not exist, that holds everything written so far,
    /// durably. Reads and writes go on meanwhile, and do not show in it; compaction waits.
    ///
    /// Cost: one hard link per sealed segment, a copy of the active one (at most
    /// [`segment_bytes`](crate::Options::segment_bytes)), three syncs of the new directory. On the
    /// same file system it takes up no other space until the originals are compacted; over file
    /// systems everything is copied. Opening it the first time reads every segment.
    ///
    /// Rot in a shared segment is in both: a checkpoint is no backup against a failing disk until
    /// it is copied off it.
    ///
    /// ```
    /// use sigma_vault::{Durability, Options, Vault};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let vault = Vault::open(dir.path().join("vault"), Options::new())?;
    /// vault.put(b"key", b"then", Durability::Buffered)?;
    /// vault.checkpoint(dir.path().join("then"))?;
    /// vault.put(b"key", b"now", Durability::Buffered)?;
    /// let then = Vault::open(dir.path().join("then"), Options::new())?;
    /// assert_eq!(then.get(b"key")?.as_deref(), Some(&b"then"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`VaultError::Exists`] when there is something at `dir`; [`VaultError::OutOfSpace`] or
    /// [`VaultError::Io`], after which what was made is removed again as far as the medium lets
    /// it; [`VaultError::Poisoned`] after an earlier sync of this vault failed. This vault is as
    /// usable afterwards as before. A crash may leave a directory that does not open
    /// ([`VaultError::Unfinished`]) and can be deleted.
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<CheckpointReport, VaultError> {
        let dir = dir.as_ref();
        // No segment that the manifest names goes away meanwhile.
        let _still = held(&self.compaction);
        self.medium.check_writable()?;
        let target = self.medium.storage.create_dir(dir).map_err(|source| {
            let path = dir.to_path_buf();
            match source.kind() {
                io::ErrorKind::AlreadyExists => VaultError::Exists { path },
                _ => VaultError::Io {
                    operation: "create directory",
                    file: path,
                    source,
                },
            }
        })?;
        let target = Medium::new(target);
        let made = self.fill_checkpoint(dir, &target);
        if made.is_err() {
            self.abandon(dir, &target);
        }
        made
    }

    fn fill_checkpoint(&self, dir: &Path, target: &Medium) -> Result<CheckpointReport, VaultError> {
        let storage = &target.storage;
        let wrap = |operation, name| move |source| target.failed(operation, name, 0, source);
        storage
            .create(UNFINISHED_NAME)
            .and_then(|_| storage.sync_dir())
            .map_err(wrap("create", UNFINISHED_NAME))?;
        let (manifest, files) = self.frozen()?;
        let mut report = CheckpointReport::default();
        for (position, mark) in manifest.marks.iter().enumerate() {
            let is_active = position + 1 == manifest.marks.len();
            self.place_segment(dir, target, &files, *mark, is_active, &mut report)?;
        }
        manifest.commit(target)?;
        storage
            .remove(UNFINISHED_NAME)
            .and_then(|()| storage.sync_dir())
            .map_err(wrap("remove", UNFINISHED_NAME))?;
        Ok(report)
    }

    /// The manifest as it would be if the vault were closed now, and the files it names. Whatever
    /// was gathered in memory is in the active one's file.
    fn frozen(&self) -> Result<(Manifest, Files), VaultError> {
        let mut log = held(&self.log);
        log.flush(&self.medium)?;
        let mut manifest = log.manifest.clone();
        if let Some(active) = manifest.marks.last_mut()
            && !log.must_roll
        {
            *active = log.end_mark();
        }
        Ok((manifest, Arc::clone(&shared(&self.files))))
    }

    /// Links a sealed segment into the target, or copies it.
    fn place_segment(
        &self,
        dir: &Path,
        target: &Medium,
        files: &Files,
        mark: Mark,
        is_active: bool,
        report: &mut CheckpointReport,
    ) -> Result<(), VaultError> {
        // One that is missing is missing in the copy, too, and reported there.
        let Some(source) = files.get(mark.segment) else {
            return Ok(());
        };
        let name = segment_name(mark.segment);
        if !is_active {
            match self.medium.storage.link(&name, dir) {
                Ok(()) => {
                    report.segments_linked += 1;
                    report.bytes += mark.bytes;
                    return Ok(());
                }
                Err(error) if cannot_link(error.kind()) => {}
                Err(source) => return Err(target.failed("link", &name, 0, source)),
            }
        }
        let bytes = self.copied_bytes(&*source.file, mark)?;
        self.copy_segment(&*source.file, target, mark.segment, bytes)?;
        report.segments_copied += 1;
        report.copied_bytes += bytes;
        report.bytes += bytes;
        Ok(())
    }

    /// How much of a segment's file belongs to it: space may be reserved behind its end, and one
    /// whose end was lost is shorter than its mark.
    fn copied_bytes(&self, source: &dyn StorageFile, mark: Mark) -> Result<u64, VaultError> {
        let name = segment_name(mark.segment);
        let length = source
            .len()
            .map_err(|source| self.medium.failed("read", &name, 0, source))?;
        Ok(length.min(mark.bytes))
    }

    fn copy_segment(
        &self,
        source: &dyn StorageFile,
        target: &Medium,
        segment: u64,
        bytes: u64,
    ) -> Result<(), VaultError> {
        let name = segment_name(segment);
        let failed = |source| target.failed("write", &name, bytes, source);
        let file = target.storage.create(&name).map_err(failed)?;
        let mut window = vec![0; usize::try_from(COPY_BYTES.min(bytes)).unwrap_or(0)];
        let mut offset = 0;
        while offset < bytes {
            let count = usize::try_from((bytes - offset).min(COPY_BYTES)).unwrap_or(0);
            let Some(part) = window.get_mut(..count) else {
                break;
            };
            read_exact_at(source, offset, part)
                .map_err(|source| self.medium.failed("read", &name, 0, source))?;
            write_all_at(&*file, offset, part).map_err(failed)?;
            offset += count as u64;
        }
        file.sync().map_err(failed)
    }

    /// Removes what was made of a checkpoint, the mark last.
    fn abandon(&self, dir: &Path, target: &Medium) {
        let storage = &target.storage;
        let mut names = storage.list().unwrap_or_default();
        names.sort_by_key(|name| name == UNFINISHED_NAME);
        for name in names {
            if storage.remove(&name).is_err() {
                break;
            }
        }
        if let Err(error) = self.medium.storage.remove_dir(dir) {
            tracing::warn!(dir = %dir.display(), %error, "unfinished checkpoint is left");
        }
    }
}

/// Whether the medium cannot link there at all, so that the bytes have to be copied.
fn cannot_link(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(
        kind,
        CrossesDevices | PermissionDenied | TooManyLinks | Unsupported
    )
}

/// Refuses a directory that holds half a checkpoint.
pub(crate) fn refuse_unfinished(medium: &Medium, names: &[String]) -> Result<(), VaultError> {
    if names.iter().any(|name| name == UNFINISHED_NAME) {
        let dir = medium.dir();
        return Err(VaultError::Unfinished { dir });
    }
    Ok(())
}
