//! The [`Storage`] face of the simulated disk, and the controls for tests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Change, Disk, DiskError, Faults, NameChange, Node, Verdict};
use super::rng::Rng;
use crate::io::memory::{copy_out, in_dir, to_usize};
use crate::io::{Locked, Storage, StorageFile, StorageLock};

/// How often a sync that may overlap lets others go on: on a busy machine each time takes milliseconds.
const SYNC_YIELDS: usize = 3;

/// A disk in memory that can lose power, fill up, fail and rot, all from one seed.
///
/// Clones share the disk. After a power cut (or [`process_kill`](Self::process_kill)) handles
/// from before it fail, locks are free, and the vault may be opened again.
///
/// ```
/// use std::sync::Arc;
/// use sigma_vault::{Durability, Options, Vault, io::SimulatedStorage};
///
/// let disk = SimulatedStorage::new(7);
/// let vault = Vault::open_with(Arc::new(disk.clone()), Options::new())?;
/// vault.put(b"kept", b"1", Durability::Synced)?;
/// vault.put(b"perhaps", b"2", Durability::Buffered)?;
/// disk.power_cut();
/// let vault = Vault::open_with(Arc::new(disk), Options::new())?;
/// assert_eq!(vault.get(b"kept")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedStorage {
    disk: Arc<Mutex<Disk>>,
    /// What the names of this directory's files begin with; empty for the first one.
    prefix: String,
}

impl SimulatedStorage {
    /// An empty disk whose every choice follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::over(Disk::new(seed), String::new())
    }

    fn over(disk: Disk, prefix: String) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
            prefix,
        }
    }

    /// The directory `dir` of the same disk, as [`Storage::create_dir`] makes it.
    #[must_use]
    pub fn directory(&self, dir: &Path) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            prefix: format!("{}/", dir.display()),
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.disk().faults = faults;
    }

    /// The number of I/O calls so far.
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// False between a kill by [`Faults::kill_at_call`] and the next restart.
    pub fn is_powered(&self) -> bool {
        self.disk().powered
    }

    /// True once [`Faults::misdirect_at_call`] has hit a write.
    pub fn misdirected(&self) -> bool {
        self.disk().misdirected
    }

    /// Loses a random, possible part of what was not synced, clears the faults and restarts.
    pub fn power_cut(&self) {
        self.disk().power_cut();
    }

    /// The number of changes (creations, renames and removals first, then writes and truncations
    /// file by file) that a power cut may lose.
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced()
    }

    /// As [`power_cut`](Self::power_cut), with the outcome chosen: of the
    /// [`unsynced`](Self::unsynced) changes those numbered in `survivors`, from 0, take effect in
    /// the order given; numbers that are not there are ignored.
    pub fn power_cut_keeping(&self, survivors: &[usize]) {
        self.disk().power_cut_keeping(survivors);
    }

    /// A copy of the whole disk as it is, unsynced changes included; what a power cut of the copy
    /// leaves follows from `seed`. Open handles stay with the original.
    pub fn branch(&self, seed: u64) -> Self {
        let mut disk = self.disk().clone();
        disk.rng = Rng(seed);
        Self::over(disk, self.prefix.clone())
    }

    /// Keeps every write, drops locks and handles, clears the faults: a killed process.
    pub fn process_kill(&self) {
        self.disk().restart();
    }

    /// The names and lengths in bytes of all files.
    pub fn files(&self) -> Vec<(String, u64)> {
        let disk = self.disk();
        let length = |node| {
            disk.nodes
                .get(node)
                .map_or(0, |node| node.visible.len() as u64)
        };
        disk.names
            .iter()
            .filter_map(|(name, node)| Some((in_dir(name, &self.prefix)?.to_owned(), length(node))))
            .collect()
    }

    /// Changes a file's stored bytes behind the vault's back (rot): durable and visible alike.
    /// Returns false where there is no such file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut disk = self.disk();
        let Some(id) = disk.names.get(&self.full(name)).copied() else {
            return false;
        };
        let Some(node) = disk.nodes.get_mut(&id) else {
            return false;
        };
        change(&mut node.visible);
        node.durable = node.visible.clone();
        node.pending.clear();
        true
    }

    /// Removes a file behind the vault's back. Returns false where there is no such file.
    pub fn lose_file(&self, name: &str) -> bool {
        let mut disk = self.disk();
        disk.durable_names.remove(&self.full(name));
        disk.names.remove(&self.full(name)).is_some()
    }

    /// A copy of the whole disk, all of it durable, restarted, with its own seed.
    pub fn fork(&self, seed: u64) -> Self {
        let source = self.disk();
        let mut disk = Disk::new(seed);
        for (id, node) in &source.nodes {
            let bytes = node.visible.clone();
            let node = Node {
                durable: bytes.clone(),
                visible: bytes,
                ..Node::default()
            };
            disk.nodes.insert(*id, node);
        }
        disk.next_node = source.next_node;
        disk.names = source.names.clone();
        disk.durable_names = source.names.clone();
        Self::over(disk, self.prefix.clone())
    }

    fn file(&self, disk: &Disk, node: u64) -> Arc<dyn StorageFile> {
        Arc::new(SimulatedFile {
            disk: Arc::clone(&self.disk),
            node,
            boot: disk.boot,
        })
    }
}

impl Storage for SimulatedStorage {
    fn dir(&self) -> PathBuf {
        Path::new("simulated:").join(&self.prefix)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let node = disk.next_node;
        disk.next_node += 1;
        disk.nodes.insert(node, Node::default());
        disk.rename_to(NameChange::Link {
            name: self.full(name),
            node,
        });
        Ok(self.file(&disk, node))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let node = disk.names.get(&self.full(name)).copied();
        let node = node.ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(&disk, node))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let (source, target) = (self.full(source), self.full(target));
        let node = *disk.names.get(&source).ok_or(io::ErrorKind::NotFound)?;
        disk.rename_to(NameChange::Rename {
            source,
            target,
            node,
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let name = self.full(name);
        if !disk.names.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.rename_to(NameChange::Unlink { name });
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let here = disk
            .names
            .keys()
            .filter_map(|name| in_dir(name, &self.prefix));
        Ok(here.map(str::to_owned).collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        disk.sync_names(&self.prefix);
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Locked> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        if !disk.locks.insert(self.full(name)) {
            return Ok(Locked::Elsewhere(None));
        }
        let lock = SimulatedLock {
            disk: Arc::clone(&self.disk),
            name: self.full(name),
            boot,
        };
        Ok(Locked::Here(Box::new(lock)))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Arc<dyn Storage>> {
        let made = self.directory(dir);
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        if disk.names.contains_key(&made.prefix) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // The directory itself is an entry whose name ends with a slash.
        let node = disk.next_node;
        disk.next_node += 1;
        disk.nodes.insert(node, Node::default());
        let name = made.prefix.clone();
        disk.rename_to(NameChange::Link { name, node });
        disk.enter_whole(boot)?;
        disk.sync_names("");
        drop(disk);
        Ok(Arc::new(made))
    }

    fn link(&self, name: &str, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        let node = disk.names.get(&self.full(name)).copied();
        let node = node.ok_or(io::ErrorKind::NotFound)?;
        let name = self.directory(dir).full(name);
        disk.rename_to(NameChange::Link { name, node });
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let name = self.directory(dir).prefix;
        let mut disk = self.disk();
        let boot = disk.boot;
        disk.enter_whole(boot)?;
        if disk
            .names
            .keys()
            .any(|other| in_dir(other, &name).is_some())
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        disk.rename_to(NameChange::Unlink { name });
        Ok(())
    }

    fn random_u64(&self) -> u64 {
        self.disk().rng.next()
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: Arc<Mutex<Disk>>,
    name: String,
    boot: u64,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.boot == self.boot {
            disk.locks.remove(&self.name);
        }
    }
}

impl StorageLock for SimulatedLock {}

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    node: u64,
    boot: u64,
}

impl SimulatedFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageFile for SimulatedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.disk();
        disk.enter_whole(self.boot)?;
        let mut wanted = buf.len();
        if let Some((name, start, end)) = &disk.faults.unreadable
            && disk.names.get(name) == Some(&self.node)
            && offset < *end
            && offset + wanted as u64 > *start
        {
            return Err(DiskError::Failed.to_io());
        }
        if disk.faults.short_transfers && wanted > 1 {
            wanted = 1 + to_usize(disk.rng.below(wanted as u64));
        }
        let node = disk.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        Ok(copy_out(
            &node.visible,
            offset,
            buf.get_mut(..wanted).unwrap_or_default(),
        ))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk();
        let mut verdict = disk.enter(self.boot)?;
        let mut wanted = data.len();
        if disk.faults.short_transfers && wanted > 1 {
            wanted = 1 + to_usize(disk.rng.below(wanted as u64));
        }
        if let Some(capacity) = disk.faults.capacity_bytes {
            let length = disk
                .nodes
                .get(&self.node)
                .map_or(0, |node| node.visible.len() as u64);
            let growth = (offset + wanted as u64).saturating_sub(length);
            let excess = (disk.used_bytes() + growth).saturating_sub(capacity);
            if excess > 0 {
                verdict = Verdict::Fail(DiskError::Full);
                wanted = wanted.saturating_sub(to_usize(excess));
            }
        }
        if verdict != Verdict::Proceed {
            // Anything from no byte to every byte lands before the failure.
            wanted = match disk.rng.below(4) {
                0 => 0,
                1 => wanted,
                _ => to_usize(disk.rng.below(wanted as u64 + 1)),
            };
        }
        let landed = data.get(..wanted).unwrap_or_default().to_vec();
        let offset = disk.landing(self.node, offset, wanted as u64);
        disk.change(
            self.node,
            Change::Write {
                offset,
                data: landed,
            },
        );
        match verdict {
            Verdict::Proceed => Ok(wanted),
            Verdict::Fail(error) => Err(error.to_io()),
            Verdict::Die => Err(Disk::power_is_off()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.enter_whole(self.boot)?;
        let node = disk.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        Ok(node.visible.len() as u64)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.enter_whole(self.boot)?;
        disk.change(self.node, Change::Truncate { bytes });
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.enter_whole(self.boot)?;
        let node = disk.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        let growth = bytes.saturating_sub(node.visible.len() as u64);
        if let Some(capacity) = disk.faults.capacity_bytes
            && disk.used_bytes() + growth > capacity
        {
            return Err(DiskError::Full.to_io());
        }
        if growth > 0 {
            disk.change(self.node, Change::Truncate { bytes });
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let verdict = disk.enter_whole(self.boot);
        // A sync that the process did not live to see is not a failed one.
        let alive = disk.powered && disk.boot == self.boot;
        let node = disk
            .nodes
            .get_mut(&self.node)
            .ok_or(io::ErrorKind::NotFound)?;
        if verdict.is_err() {
            node.sync_failed |= alive;
            return verdict;
        }
        let changes = node.changes();
        if disk.faults.overlapping_syncs {
            drop(disk);
            for _ in 0..SYNC_YIELDS {
                std::thread::yield_now();
            }
            disk = self.disk();
            if !disk.powered || disk.boot != self.boot {
                return Err(Disk::power_is_off());
            }
        }
        let node = disk
            .nodes
            .get_mut(&self.node)
            .ok_or(io::ErrorKind::NotFound)?;
        if !node.sync_failed {
            node.settle(changes);
        }
        Ok(())
    }
}
