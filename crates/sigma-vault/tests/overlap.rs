//! Writes that go on while a sync is under way: it makes durable what was written before it began,
//! and nobody is told more. Histories of several threads, each on keys of its own, over a simulated
//! disk whose syncs let the others go on between their beginning and their end.

mod support;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sigma_vault::io::{Faults, Locked, SimulatedStorage, Storage, StorageFile};
use sigma_vault::{Batch, Durability, Vault};
use support::judge::{Wrap, honest};
use support::{Rng, small};

const THREADS: u64 = 3;
const KEYS: u64 = 4;
const STEPS: u64 = 20;

fn key(thread: u64, number: u64) -> Vec<u8> {
    format!("thread-{thread}-key-{number}").into_bytes()
}

/// What a step writes: its number, under one key or as a batch under all of the thread's.
fn step(vault: &Vault, thread: u64, step: u64, rng: &mut Rng) -> Result<Durability, Durability> {
    let durability = match rng.below(5) {
        0 => Durability::Buffered,
        1 => Durability::Written,
        2 => Durability::Synced,
        _ => Durability::Grouped,
    };
    let length = usize::try_from(rng.below(400)).unwrap();
    let mut value = step.to_le_bytes().to_vec();
    value.resize(8 + length, 7);
    let written = if step.is_multiple_of(4) {
        let mut batch = Batch::new();
        for number in 0..KEYS {
            batch.put(&key(thread, number), &value);
        }
        vault.write(batch, durability)
    } else {
        vault.put(&key(thread, step % KEYS), &value, durability)
    };
    written.map(|()| durability).map_err(|_| durability)
}

/// The step that each of a thread's keys holds after the first `steps` steps.
fn state_after(steps: u64) -> Vec<Option<u64>> {
    let last = |number| {
        let wrote = |step: &u64| step.is_multiple_of(4) || step % KEYS == number;
        (0..steps).rev().find(wrote)
    };
    (0..KEYS).map(last).collect()
}

/// Runs a thread's history until it is refused; how many steps must survive, and how many were begun.
fn run(vault: &Vault, thread: u64, seed: u64) -> (u64, u64) {
    let mut rng = Rng(seed * 100 + thread);
    let mut durable = 0;
    for number in 0..STEPS {
        match step(vault, thread, number, &mut rng) {
            Ok(Durability::Grouped | Durability::Synced) => durable = number + 1,
            Ok(_) => {}
            Err(_) => return (durable, number + 1),
        }
    }
    (durable, STEPS)
}

/// One run with a power cut at call `cut`; what is found must be, for every thread, its history up to
/// some step, with all that it was told is durable.
fn one_cut(seed: u64, cut: u64, wrap: Wrap) -> Result<(), String> {
    let disk = SimulatedStorage::new(seed);
    let vault = Vault::open_with(wrap(disk.clone()), small()).unwrap();
    let mut faults = Faults::default();
    faults.overlapping_syncs = true;
    faults.kill_at_call = Some(disk.calls() + cut);
    disk.set_faults(faults);
    let told: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let vault = &vault;
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run(vault, thread, seed)))
            .collect();
        let told = threads.into_iter().map(|thread| thread.join().unwrap());
        told.collect()
    });
    disk.power_cut();
    drop(vault);
    let vault =
        Vault::open_with(honest(disk.clone()), small()).map_err(|error| error.to_string())?;
    if vault.stats().recovery.damage_count > 0 {
        return Err(format!("taken for rot: {:?}", vault.stats().recovery));
    }
    for (thread, (durable, begun)) in (0..THREADS).zip(told) {
        let found: Vec<Option<u64>> = (0..KEYS)
            .map(|number| {
                let value = vault.get(&key(thread, number)).unwrap();
                value.map(|value| u64::from_le_bytes(*value.first_chunk().unwrap()))
            })
            .collect();
        if !(durable..=begun).any(|steps| state_after(steps) == found) {
            return Err(format!(
                "thread {thread}: {found:?} after {durable} durable of {begun} steps"
            ));
        }
    }
    Ok(())
}

#[test]
fn what_is_written_during_a_sync_is_not_taken_for_durable() {
    for seed in 0..50 {
        let cut = Rng(seed).below(160);
        one_cut(seed, cut, honest).unwrap_or_else(|what| panic!("seed {seed}, cut {cut}: {what}"));
    }
}

/// The test of the test: a disk that forgets what came during a sync is found out.
#[test]
fn a_disk_that_forgets_what_came_during_a_sync_is_caught() {
    let caught = (0..3000).any(|seed| {
        let cut = Rng(seed).below(160);
        one_cut(seed, cut, forgetting).is_err()
    });
    assert!(caught);
}

fn forgetting(disk: SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(Forgetting(disk))
}

/// The planted bug: what is to be synced is marked by writes, and the mark is cleared when a sync ends
/// and not when it begins.
#[derive(Debug)]
struct Forgetting(SimulatedStorage);

#[derive(Debug)]
struct ForgettingFile {
    file: Arc<dyn StorageFile>,
    dirty: AtomicBool,
}

impl ForgettingFile {
    fn over(file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let dirty = AtomicBool::new(true);
        Arc::new(Self { file, dirty })
    }
}

impl StorageFile for ForgettingFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.dirty.store(true, Ordering::SeqCst);
        self.file.write_at(offset, data)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.dirty.store(true, Ordering::SeqCst);
        self.file.truncate(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.dirty.load(Ordering::SeqCst) {
            // A call all the same, so that cuts fall on it.
            return self.file.len().map(|_| ());
        }
        self.file.sync()?;
        self.dirty.store(false, Ordering::SeqCst);
        Ok(())
    }
}

impl Storage for Forgetting {
    fn dir(&self) -> PathBuf {
        self.0.dir()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.create(name).map(ForgettingFile::over)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name).map(ForgettingFile::over)
    }
    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        self.0.rename(source, target)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Locked> {
        self.0.lock(name)
    }
    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }
}
