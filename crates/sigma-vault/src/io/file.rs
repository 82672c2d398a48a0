//! A directory of a real (Unix) file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileMap, Locked, Storage, StorageFile, StorageLock, writeback};

/// [`Storage`] over a directory.
///
/// ```
/// use sigma_vault::io::{FileStorage, Storage};
///
/// let dir = tempfile::tempdir()?;
/// let storage = FileStorage::open(dir.path().join("vault"))?;
/// storage.create("a")?.write_at(0, b"bytes")?;
/// assert_eq!(storage.list()?, ["a"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FileStorage {
    dir: PathBuf,
    mapped: bool,
}

impl FileStorage {
    /// Opens `dir`, creating it and its parents where absent.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        if !dir.is_dir() {
            fs::create_dir_all(&dir)?;
            // The new directory's own entry must survive a power cut too.
            if let Some(parent) = dir.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { dir, mapped: true })
    }

    /// Reads by system calls instead of mapped memory: slower, but a sector that the disk cannot
    /// read is an error then, where it would end the process otherwise.
    #[must_use]
    pub fn without_mapping(mut self) -> Self {
        self.mapped = false;
        self
    }

    fn handle(&self, file: File) -> Arc<dyn StorageFile> {
        let mapped = self.mapped;
        Arc::new(Handle { file, mapped })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Storage for FileStorage {
    fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(name))?;
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))?;
        Ok(self.handle(file))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        fs::rename(self.path(source), self.path(target))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Locked> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(name))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(std::process::id().to_string().as_bytes())?;
                Ok(Locked::Here(Box::new(FileLock { _file: file })))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = match (&file).take(16).read_to_string(&mut text) {
                    Ok(_) => text.trim().parse().ok(),
                    Err(_) => None,
                };
                Ok(Locked::Elsewhere(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Arc<dyn Storage>> {
        fs::create_dir(dir)?;
        if let Some(parent) = dir.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        let (dir, mapped) = (dir.to_path_buf(), self.mapped);
        Ok(Arc::new(Self { dir, mapped }))
    }

    fn link(&self, name: &str, dir: &Path) -> io::Result<()> {
        fs::hard_link(self.path(name), dir.join(name))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        let none = rustix::rand::GetRandomFlags::empty();
        if rustix::rand::getrandom(&mut bytes, none) == Ok(bytes.len()) {
            return u64::from_le_bytes(bytes);
        }
        // RandomState is keyed from the operating system's random source, too.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}

#[derive(Debug)]
struct Handle {
    file: File,
    mapped: bool,
}

impl StorageFile for Handle {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.file.write_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let have = self.len()?;
        if bytes <= have {
            return Ok(());
        }
        let reserve = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, reserve, have, bytes - have) {
            Ok(()) => Ok(()),
            // The file system cannot reserve: the length at least need not change any more.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.file.set_len(bytes)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn map(&self, bytes: u64) -> Option<FileMap> {
        let map = || FileMap::new(&self.file, bytes).ok();
        self.mapped.then(map).flatten()
    }

    fn sync_soon(&self, offset: u64, bytes: u64) {
        writeback::begin(&self.file, offset, bytes);
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync: data and the length needed to read it, without time stamps.
        self.file.sync_data()
    }
}

/// The open file that carries the advisory lock; closing it releases the lock.
#[derive(Debug)]
struct FileLock {
    _file: File,
}

impl StorageLock for FileLock {}
