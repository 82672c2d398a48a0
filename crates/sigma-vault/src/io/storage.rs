//! The storage traits and the two loops that every caller of them needs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileMap;

/// A flat directory of files, as the vault needs it.
///
/// What a vault assumes of an implementation (and `docs/formats/sigma-vault.md` of a disk):
/// bytes written are readable at once through every handle; [`StorageFile::sync`] returns only
/// when the file's bytes and length survive a power cut; [`Storage::sync_dir`] returns only when
/// creations, renames and removals before it survive one; a rename is atomic; a write changes no
/// byte outside its range.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The directory's name, for messages.
    fn dir(&self) -> PathBuf;

    /// Creates an empty file, replacing one of the same name.
    ///
    /// # Errors
    /// Any error of the medium.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it does not exist, or any error of the medium.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives the file `source` the name `target`, replacing a file of that name, atomically.
    ///
    /// # Errors
    /// Any error of the medium.
    fn rename(&self, source: &str, target: &str) -> io::Result<()>;

    /// Removes a file; handles that are open stay readable.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it does not exist, or any error of the medium.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in no particular order.
    ///
    /// # Errors
    /// Any error of the medium.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals before this call durable.
    ///
    /// # Errors
    /// Any error of the medium.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock called `name`, without waiting.
    ///
    /// # Errors
    /// Any error of the medium; a lock that is held elsewhere is not an error but
    /// [`Locked::Elsewhere`].
    fn lock(&self, name: &str) -> io::Result<Locked>;

    /// A fresh random number nobody can predict (a seeded one in a simulation).
    fn random_u64(&self) -> u64;

    /// Creates the directory `dir`, durably, and gives access to it. For
    /// [`Vault::checkpoint`](crate::Vault::checkpoint), as the two following.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is something of that name,
    /// [`io::ErrorKind::Unsupported`] where the medium has no other directories (the default), or
    /// any error of the medium.
    fn create_dir(&self, dir: &Path) -> io::Result<Arc<dyn Storage>> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives the file `name` the same name in `dir`, too; durable with a sync of that directory.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] or [`io::ErrorKind::CrossesDevices`] where that cannot be
    /// (the default), upon which the file is copied, or any error of the medium.
    fn link(&self, name: &str, dir: &Path) -> io::Result<()> {
        let _ = (name, dir);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Any error of the medium.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One file of a [`Storage`]. All methods may be called from several threads at once.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer at the end of the file or when the medium
    /// chooses so, 0 only at or past the end.
    ///
    /// # Errors
    /// Any error of the medium.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes a prefix of `data` at `offset`, extending the file as needed, and returns its length
    /// in bytes (at least 1 unless `data` is empty).
    ///
    /// # Errors
    /// Any error of the medium; a part of `data` may have been written all the same.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Any error of the medium.
    fn len(&self) -> io::Result<u64>;

    /// True when the file holds no byte.
    ///
    /// # Errors
    /// Any error of the medium.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|bytes| bytes == 0)
    }

    /// Cuts the file, or extends it with zeros, to `bytes`.
    ///
    /// # Errors
    /// Any error of the medium.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Reserves space for the first `bytes` bytes, so that writes below find it: the file is
    /// extended with zeros where it is shorter, and never cut.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is no such space, or any error of the medium.
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if self.len()? < bytes {
            self.truncate(bytes)?;
        }
        Ok(())
    }

    /// Memory that shows the first `bytes` bytes of the file (also those that are written later),
    /// where the medium has such a thing; `None` makes the vault read by [`read_at`](Self::read_at).
    fn map(&self, bytes: u64) -> Option<FileMap> {
        let _ = bytes;
        None
    }

    /// Tells the medium that these bytes will be synced before long, so that it may begin to write
    /// them; returns at once and promises nothing. Default: does nothing.
    fn sync_soon(&self, offset: u64, bytes: u64) {
        let _ = (offset, bytes);
    }

    /// Makes the file's bytes and length durable; blocks for the medium.
    ///
    /// # Errors
    /// Any error of the medium. After one the durable state is unknown: never retry.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases it.
pub trait StorageLock: fmt::Debug + Send + Sync {}

/// The outcome of [`Storage::lock`].
#[derive(Debug)]
pub enum Locked {
    /// The lock is ours until the guard is dropped.
    Here(Box<dyn StorageLock>),
    /// Somebody else holds it; the process id is known where the holder left it.
    Elsewhere(Option<u32>),
}

/// Fills `buf` from `offset`; an end of file before that is [`io::ErrorKind::UnexpectedEof`].
pub(crate) fn read_exact_at(
    file: &dyn StorageFile,
    mut offset: u64,
    mut buf: &mut [u8],
) -> io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(offset, buf) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                let read = read.min(buf.len());
                buf = buf.split_at_mut(read).1;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `data` at `offset`.
pub(crate) fn write_all_at(
    file: &dyn StorageFile,
    mut offset: u64,
    mut data: &[u8],
) -> io::Result<()> {
    while !data.is_empty() {
        match file.write_at(offset, data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let written = written.min(data.len());
                data = data.split_at(written).1;
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
