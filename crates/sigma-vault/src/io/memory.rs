//! Files in memory: no faults, nothing survives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Locked, Storage, StorageFile, StorageLock};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// [`Storage`] in memory; clones share the same files. Its random numbers are counted, so that a
/// test finds the same bytes every time: do not keep secrets in it.
///
/// ```
/// use std::sync::Arc;
/// use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
///
/// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
/// vault.put(b"key", b"value", Durability::Synced)?;
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    locks: Arc<Mutex<BTreeSet<String>>>,
    /// How many "random" numbers were drawn.
    drawn: Arc<AtomicU64>,
    /// What the names of this directory's files begin with; empty for the first one.
    prefix: String,
}

impl MemoryStorage {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory `dir` of the same memory, as [`Storage::create_dir`] makes it.
    #[must_use]
    pub fn directory(&self, dir: &Path) -> Self {
        Self {
            prefix: format!("{}/", dir.display()),
            ..self.clone()
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A copy of one file's bytes, or `None` where there is no such file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let files = held(&self.files);
        files.get(&self.full(name)).map(|bytes| held(bytes).clone())
    }

    /// Creates or replaces one file.
    pub fn set_contents(&self, name: &str, bytes: Vec<u8>) {
        held(&self.files).insert(self.full(name), Arc::new(Mutex::new(bytes)));
    }
}

/// Locks, whatever another thread's panic left: no invariant spans two statements here.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for MemoryStorage {
    fn dir(&self) -> PathBuf {
        Path::new("memory:").join(&self.prefix)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let bytes = Bytes::default();
        held(&self.files).insert(self.full(name), Arc::clone(&bytes));
        Ok(Arc::new(MemoryFile(bytes)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        match held(&self.files).get(&self.full(name)) {
            Some(bytes) => Ok(Arc::new(MemoryFile(Arc::clone(bytes)))),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        let mut files = held(&self.files);
        let bytes = files.remove(&self.full(source));
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        files.insert(self.full(target), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        held(&self.files)
            .remove(&self.full(name))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let files = held(&self.files);
        let here = files.keys().filter_map(|name| in_dir(name, &self.prefix));
        Ok(here.map(str::to_owned).collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Locked> {
        if !held(&self.locks).insert(self.full(name)) {
            return Ok(Locked::Elsewhere(Some(std::process::id())));
        }
        Ok(Locked::Here(Box::new(MemoryLock {
            locks: Arc::clone(&self.locks),
            name: self.full(name),
        })))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Arc<dyn Storage>> {
        let made = self.directory(dir);
        let mut files = held(&self.files);
        // The directory itself is an entry whose name ends with a slash.
        if files.contains_key(&made.prefix) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(made.prefix.clone(), Bytes::default());
        drop(files);
        Ok(Arc::new(made))
    }

    fn link(&self, name: &str, dir: &Path) -> io::Result<()> {
        let mut files = held(&self.files);
        let bytes = files.get(&self.full(name)).map(Arc::clone);
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        files.insert(self.directory(dir).full(name), bytes);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let removed = held(&self.files).remove(&self.directory(dir).prefix);
        removed.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn random_u64(&self) -> u64 {
        // A vault in memory is never mistaken for another one; what is drawn must differ only
        // from what was drawn before.
        0x5eed_0000_0000_0001 + self.drawn.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct MemoryLock {
    locks: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        held(&self.locks).remove(&self.name);
    }
}

impl StorageLock for MemoryLock {}

#[derive(Debug)]
struct MemoryFile(Bytes);

impl StorageFile for MemoryFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(copy_out(&held(&self.0), offset, buf))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        copy_in(&mut held(&self.0), offset, data);
        Ok(data.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.0).len() as u64)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        held(&self.0).resize(to_usize(bytes), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The name within the directory of this prefix, of a file that lies in it.
pub(super) fn in_dir<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let name = name.strip_prefix(prefix)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Copies what `bytes` holds at `offset` into `buf` and returns how much that was.
pub(super) fn copy_out(bytes: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let from = bytes.get(to_usize(offset)..).unwrap_or_default();
    let count = from.len().min(buf.len());
    if let (Some(target), Some(source)) = (buf.get_mut(..count), from.get(..count)) {
        target.copy_from_slice(source);
    }
    count
}

/// Writes `data` into `bytes` at `offset`, filling a hole with zeros.
pub(super) fn copy_in(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = to_usize(offset);
    let end = start + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(target) = bytes.get_mut(start..end) {
        target.copy_from_slice(data);
    }
}

/// Offsets of files in memory fit the address space.
pub(super) fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
