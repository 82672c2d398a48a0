//! A disk that does not do what it says: the planted bug that a campaign has to catch.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sigma_vault::io::{Locked, SimulatedStorage, Storage, StorageFile};

/// Syncs of files are answered and not done.
pub fn no_file_syncs(disk: SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(Forgetful {
        disk,
        files: true,
        names: false,
    })
}

/// Syncs of the directory are answered and not done.
pub fn no_directory_syncs(disk: SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(Forgetful {
        disk,
        files: false,
        names: true,
    })
}

/// A disk whose syncs do nothing: the planted bug.
#[derive(Debug)]
struct Forgetful {
    disk: SimulatedStorage,
    files: bool,
    names: bool,
}

#[derive(Debug)]
struct ForgetfulFile(Arc<dyn StorageFile>);

impl StorageFile for ForgetfulFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.0.write_at(offset, data)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        // A call all the same, so that cuts fall on it.
        self.0.len().map(|_| ())
    }
}

impl Forgetful {
    fn wrap(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        if self.files {
            Arc::new(ForgetfulFile(file))
        } else {
            file
        }
    }
}

impl Storage for Forgetful {
    fn dir(&self) -> PathBuf {
        self.disk.dir()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.create(name).map(|file| self.wrap(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(name).map(|file| self.wrap(file))
    }
    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        self.disk.rename(source, target)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        if self.names {
            self.disk.list().map(|_| ())
        } else {
            self.disk.sync_dir()
        }
    }
    fn lock(&self, name: &str) -> io::Result<Locked> {
        self.disk.lock(name)
    }
    fn random_u64(&self) -> u64 {
        self.disk.random_u64()
    }
}
