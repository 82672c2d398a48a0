//! Checkpoints: what they hold, what happens when making one is cut short, and that the vault they
//! are made of does not suffer.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sigma_vault::io::{DiskError, FileStorage, SimulatedStorage, Storage};
use sigma_vault::{Batch, Durability, Options, Rsu, Vault, VaultError};
use support::judge::{error_at, kill_at};
use support::{Op, State, fast, ops_compacting, read_all, small};

const SYNCED: Durability = Durability::Synced;

fn open(disk: &SimulatedStorage, options: Options) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), options).unwrap()
}

fn run(vault: &Vault, ops: &[Op]) {
    for op in ops {
        op.run(vault).unwrap();
    }
}

#[test]
fn a_checkpoint_holds_what_was_written_before_it_and_nothing_later() {
    for seed in 0..20 {
        let disk = SimulatedStorage::new(seed);
        let vault = open(&disk, fast());
        let ops = ops_compacting(seed, 60);
        let (before, after) = ops.split_at(40);
        run(&vault, before);
        vault
            .put_rsu(b"unit", &Rsu::new(vec![1, 2, 3]), Durability::Buffered)
            .unwrap();
        let state = read_all(&vault).unwrap();
        let report = vault.checkpoint("copy").unwrap();
        assert_eq!(report.segments_copied, 1);
        assert!(report.bytes >= report.copied_bytes);
        run(&vault, after);
        vault.compact().unwrap();
        let later = read_all(&vault).unwrap();
        drop(vault);
        disk.power_cut();
        let copy = disk.directory(Path::new("copy"));
        for options in [small(), fast()] {
            let copied = open(&copy, options);
            assert_eq!(read_all(&copied).unwrap(), state, "seed {seed}");
            assert!(copied.get_rsu(b"unit").unwrap().is_some());
            assert!(copied.verify().unwrap().is_sound());
            assert_eq!(copied.stats().recovery.damage_count, 0);
            copied.close().unwrap();
        }
        // Each goes its own way, files that they share or not.
        let copied = open(&copy, fast());
        run(&copied, after);
        copied.compact().unwrap();
        let vault = open(&disk, fast());
        assert_eq!(read_all(&vault).unwrap(), later, "seed {seed}");
        assert!(vault.verify().unwrap().is_sound());
        assert!(copied.verify().unwrap().is_sound());
    }
}

#[test]
fn an_existing_target_is_refused_and_left_alone() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk, small());
    vault.put(b"key", b"1", SYNCED).unwrap();
    vault.checkpoint("copy").unwrap();
    vault.put(b"key", b"2", SYNCED).unwrap();
    let error = vault.checkpoint("copy").unwrap_err();
    assert!(matches!(&error, VaultError::Exists { path } if path == Path::new("copy")));
    let copied = open(&disk.directory(Path::new("copy")), small());
    assert_eq!(copied.get(b"key").unwrap().as_deref(), Some(&b"1"[..]));
}

/// The state of a vault in the middle of a history, ready to be copied.
fn prepared(seed: u64) -> (SimulatedStorage, Vault, State) {
    let disk = SimulatedStorage::new(seed);
    let vault = open(&disk, fast());
    run(&vault, &ops_compacting(seed, 40));
    vault.sync().unwrap();
    let state = read_all(&vault).unwrap();
    (disk, vault, state)
}

#[test]
fn power_cut_at_every_call_of_a_checkpoint() {
    let (mut whole, mut unfinished) = (0, 0);
    for seed in 0..6 {
        let (disk, vault, _) = prepared(seed);
        let first = disk.calls();
        vault.checkpoint("copy").unwrap();
        let last = disk.calls();
        for call in first..=last + 2 {
            let (disk, vault, state) = prepared(seed);
            disk.set_faults(kill_at(call));
            let made = vault.checkpoint("copy").is_ok();
            drop(vault);
            disk.power_cut();
            let vault = open(&disk, small());
            assert_eq!(read_all(&vault).unwrap(), state, "seed {seed}, call {call}");
            assert_eq!(vault.stats().recovery.damage_count, 0);
            let copy = disk.directory(Path::new("copy"));
            let empty = copy.list().unwrap().is_empty();
            match Vault::open_with(Arc::new(copy), small()) {
                Ok(copied) if !empty => {
                    assert_eq!(
                        read_all(&copied).unwrap(),
                        state,
                        "seed {seed}, call {call}"
                    );
                    assert_eq!(copied.stats().recovery.damage_count, 0);
                    assert!(copied.verify().unwrap().is_sound());
                    whole += 1;
                }
                Err(VaultError::Unfinished { .. }) if !made => unfinished += 1,
                Ok(_) if !made => {}
                other => panic!("seed {seed}, call {call}, made {made}: {other:?}"),
            }
        }
    }
    assert!(whole >= 15 && unfinished > 40, "{whole}, {unfinished}");
}

#[test]
fn an_error_at_every_call_of_a_checkpoint() {
    for seed in 0..4 {
        let (disk, vault, _) = prepared(seed);
        let first = disk.calls();
        vault.checkpoint("copy").unwrap();
        let last = disk.calls();
        for call in first..last {
            for error in [DiskError::Full, DiskError::Failed] {
                let (disk, vault, state) = prepared(seed);
                disk.set_faults(error_at(call, error));
                let result = vault.checkpoint("copy");
                // The vault itself is as good as before.
                vault.put(b"key-0", b"after", SYNCED).unwrap();
                let copy = disk.directory(Path::new("copy"));
                match result {
                    Ok(_) => {
                        let copied = open(&copy, small());
                        assert_eq!(read_all(&copied).unwrap(), state, "call {call}");
                    }
                    Err(VaultError::OutOfSpace { .. } | VaultError::Io { .. }) => {
                        // What was made is gone, or says what it is.
                        let again = vault.checkpoint("copy");
                        if let Err(error) = again {
                            assert!(matches!(error, VaultError::Exists { .. }), "{error}");
                            let left = Vault::open_with(Arc::new(copy), small());
                            let empty = left.as_ref().is_ok_and(|v| v.stats().keys == 0);
                            assert!(
                                empty || matches!(left, Err(VaultError::Unfinished { .. })),
                                "seed {seed}, call {call}"
                            );
                        }
                    }
                    Err(other) => panic!("seed {seed}, call {call}: {other}"),
                }
            }
        }
    }
}

/// Every batch writes all keys with one number, so a copy that is not of one moment shows two.
#[test]
fn a_checkpoint_under_writers_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let options = || small().check_at_open(false).segment_bytes(32 << 10);
    let vault = Vault::open(dir.path().join("vault"), options()).unwrap();
    let stop = AtomicBool::new(false);
    let write = |number: u64| {
        let mut batch = Batch::new();
        for key in 0..8_u8 {
            batch.put(&[key], &number.to_le_bytes().repeat(20));
        }
        vault.write(batch, Durability::Buffered).unwrap();
    };
    write(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1;
            while !stop.load(Ordering::Relaxed) {
                write(number);
                number += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                vault.compact().unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut last = 0;
        for round in 0..10 {
            let copy = dir.path().join(format!("copy-{round}"));
            let report = vault.checkpoint(&copy).unwrap();
            let copied = Vault::open(&copy, options()).unwrap();
            let found: Vec<_> = (0..8_u8).map(|key| copied.get(&[key]).unwrap()).collect();
            assert!(
                found
                    .iter()
                    .all(|value| *value == found[0] && value.is_some())
            );
            let number = found[0].as_ref().unwrap().first_chunk::<8>().unwrap();
            let number = u64::from_le_bytes(*number);
            assert!(number >= last, "{number} after {last}");
            assert_eq!(report.segments_copied, 1);
            last = number;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A medium without links copies everything.
#[test]
fn without_links_segments_are_copied() {
    #[derive(Debug)]
    struct NoLinks(FileStorage);
    impl Storage for NoLinks {
        fn dir(&self) -> std::path::PathBuf {
            self.0.dir()
        }
        fn create(&self, name: &str) -> std::io::Result<Arc<dyn sigma_vault::io::StorageFile>> {
            self.0.create(name)
        }
        fn open(&self, name: &str) -> std::io::Result<Arc<dyn sigma_vault::io::StorageFile>> {
            self.0.open(name)
        }
        fn rename(&self, source: &str, target: &str) -> std::io::Result<()> {
            self.0.rename(source, target)
        }
        fn remove(&self, name: &str) -> std::io::Result<()> {
            self.0.remove(name)
        }
        fn list(&self) -> std::io::Result<Vec<String>> {
            self.0.list()
        }
        fn sync_dir(&self) -> std::io::Result<()> {
            self.0.sync_dir()
        }
        fn lock(&self, name: &str) -> std::io::Result<sigma_vault::io::Locked> {
            self.0.lock(name)
        }
        fn random_u64(&self) -> u64 {
            self.0.random_u64()
        }
        fn create_dir(&self, dir: &Path) -> std::io::Result<Arc<dyn Storage>> {
            self.0.create_dir(dir)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let storage = NoLinks(FileStorage::open(dir.path().join("vault")).unwrap());
    let vault = Vault::open_with(Arc::new(storage), small()).unwrap();
    for number in 0..40_u8 {
        vault
            .put(&[number], &[number; 900], Durability::Buffered)
            .unwrap();
    }
    let report = vault.checkpoint(dir.path().join("copy")).unwrap();
    assert_eq!(report.segments_linked, 0);
    assert!(report.segments_copied > 5 && report.copied_bytes == report.bytes);
    let copied = Vault::open(dir.path().join("copy"), small()).unwrap();
    assert_eq!(copied.iter().map(Result::unwrap).count(), 40);
}
