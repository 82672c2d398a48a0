//! Power cuts, kills and failing disks, cut in at every single I/O call and judged by a model.

mod support;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sigma_vault::io::{DiskError, Faults, Locked, SimulatedStorage, Storage, StorageFile};
use sigma_vault::{Durability, Vault, VaultError};
use support::{History, Op, State, ops, ops_compacting, read_all, small};

/// How the vault sees the disk; tests of the test put a liar in between.
type Wrap = fn(SimulatedStorage) -> Arc<dyn Storage>;

fn honest(disk: SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(disk)
}

fn kill_at(call: u64) -> Faults {
    let mut faults = Faults::default();
    faults.kill_at_call = Some(call);
    faults
}

fn error_at(call: u64, error: DiskError) -> Faults {
    let mut faults = Faults::default();
    faults.error_at_call = Some((call, error));
    faults
}

/// Opens a vault and runs the operations until the power goes; closes it if it never does.
fn run(disk: &SimulatedStorage, wrap: Wrap, ops: &[Op]) -> History {
    let mut history = History::default();
    let Ok(vault) = Vault::open_with(wrap(disk.clone()), small()) else {
        return history;
    };
    for op in ops {
        let result = op.run(&vault);
        history.add(op, result.is_ok());
        if !disk.is_powered() {
            return history;
        }
    }
    if vault.close().is_ok() {
        history.all_durable();
    }
    history
}

/// Reopens after a crash and compares with the model; then checks that the vault still works.
fn judge(disk: &SimulatedStorage, wrap: Wrap, history: &History) -> Result<(), String> {
    let vault = Vault::open_with(wrap(disk.clone()), small())
        .map_err(|error| format!("reopening failed: {error}"))?;
    let found = read_all(&vault).map_err(|error| format!("reading failed: {error}"))?;
    if !history.explains(&found) {
        return Err(format!(
            "no prefix of the history explains {:?}",
            summary(&found)
        ));
    }
    let stats = vault.stats();
    if stats.recovery.damage_count > 0 {
        return Err(format!("a crash was taken for rot: {:?}", stats.recovery));
    }
    let report = vault
        .verify()
        .map_err(|error| format!("verifying failed: {error}"))?;
    if !report.is_sound() {
        return Err(format!("verify found {:?}", report.damage));
    }
    vault
        .put(b"key-0", b"after the crash", Durability::Synced)
        .map_err(|error| format!("writing failed: {error}"))?;
    drop(vault);
    disk.power_cut();
    let vault = Vault::open_with(wrap(disk.clone()), small())
        .map_err(|error| format!("reopening again failed: {error}"))?;
    let mut expected = found;
    expected.insert(b"key-0".to_vec(), b"after the crash".to_vec());
    let found = read_all(&vault).map_err(|error| format!("reading again failed: {error}"))?;
    if found != expected {
        return Err(format!(
            "a write after recovery was lost: {:?}",
            summary(&found)
        ));
    }
    Ok(())
}

fn summary(state: &State) -> Vec<(String, usize)> {
    state
        .iter()
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.len()))
        .collect()
}

/// Cuts the power at every call of one history; returns how many cuts were tried.
fn every_cut(seed: u64, count: usize, wrap: Wrap) -> Result<u64, String> {
    every_cut_of(seed, &ops(seed, count), wrap)
}

fn every_cut_of(seed: u64, ops: &[Op], wrap: Wrap) -> Result<u64, String> {
    let whole = SimulatedStorage::new(seed);
    run(&whole, wrap, ops);
    for call in 0..whole.calls() {
        let disk = SimulatedStorage::new(seed.wrapping_mul(1_000_003).wrapping_add(call));
        disk.set_faults(kill_at(call));
        let history = run(&disk, wrap, ops);
        disk.power_cut();
        judge(&disk, wrap, &history)
            .map_err(|what| format!("seed {seed}, power cut at call {call}: {what}"))?;
    }
    Ok(whole.calls())
}

#[test]
fn power_cut_at_every_call() {
    let mut cuts = 0;
    for seed in 0..40 {
        cuts += every_cut(seed, 40, honest).unwrap();
    }
    assert!(cuts > 3000, "{cuts} cuts");
}

#[test]
fn power_cut_at_every_call_of_a_history_with_compactions() {
    let mut cuts = 0;
    for seed in 500..530 {
        cuts += every_cut_of(seed, &ops_compacting(seed, 60), honest).unwrap();
    }
    assert!(cuts > 4000, "{cuts} cuts");
}

/// The long form: `SOAK_SEEDS=10000 cargo test --release --test crash -- --ignored --nocapture`.
#[test]
#[ignore = "runs for as long as it is told to"]
fn soak() {
    let seeds = std::env::var("SOAK_SEEDS").map_or(1000, |text| text.parse().unwrap());
    let mut cuts = 0;
    for seed in 0..seeds {
        let (seed, count) = (1_000_000 + seed, 20 + usize::try_from(seed % 60).unwrap());
        let ops = if seed % 2 == 0 {
            ops(seed, count)
        } else {
            ops_compacting(seed, count)
        };
        cuts += every_cut_of(seed, &ops, honest).unwrap();
    }
    println!("{cuts} power cuts in {seeds} histories, nothing lost");
}

#[test]
fn power_cut_during_recovery_from_a_power_cut() {
    for seed in 100..130 {
        let ops = ops_compacting(seed, 30);
        let whole = SimulatedStorage::new(seed);
        run(&whole, honest, &ops);
        let first = whole.calls() * 2 / 3 + seed % 7;
        for second in 0..40 {
            let disk = SimulatedStorage::new(seed * 1000 + second);
            disk.set_faults(kill_at(first));
            let history = run(&disk, honest, &ops);
            disk.power_cut();
            disk.set_faults(kill_at(disk.calls() + second));
            drop(Vault::open_with(honest(disk.clone()), small()));
            disk.power_cut();
            judge(&disk, honest, &history).unwrap_or_else(|what| {
                panic!("seed {seed}, cuts at calls {first} and {second} of recovery: {what}")
            });
        }
    }
}

/// A killed process loses nothing that was answered, whatever the durability, and then a power
/// cut loses nothing that the reopened vault has shown.
#[test]
fn process_kill_then_power_cut() {
    for seed in 200..260 {
        let ops = ops_compacting(seed, 40);
        let disk = SimulatedStorage::new(seed);
        let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
        let mut history = History::default();
        for op in &ops {
            op.run(&vault).unwrap();
            history.add(op, true);
        }
        disk.process_kill();
        drop(vault);
        let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
        assert_eq!(read_all(&vault).unwrap(), history.state(), "seed {seed}");
        disk.power_cut();
        drop(vault);
        let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
        assert_eq!(read_all(&vault).unwrap(), history.state(), "seed {seed}");
    }
}

/// One call fails, the history goes on; what is shown and what survives stay explainable.
#[test]
fn one_failing_call_at_every_place() {
    for seed in 300..310 {
        let ops = if seed < 306 {
            ops(seed, 30)
        } else {
            ops_compacting(seed, 50)
        };
        let whole = SimulatedStorage::new(seed);
        run(&whole, honest, &ops);
        for call in 0..whole.calls() {
            for error in [DiskError::Full, DiskError::Failed] {
                let disk = SimulatedStorage::new(seed * 1000 + call);
                disk.set_faults(error_at(call, error));
                one_failure(&disk, &ops)
                    .unwrap_or_else(|what| panic!("seed {seed}, {error:?} at call {call}: {what}"));
            }
        }
    }
}

/// An error while reopening is an error, not damage: nothing is cut or written off for it.
#[test]
fn one_failing_call_while_reopening_costs_nothing() {
    for seed in 350..362 {
        let disk = SimulatedStorage::new(seed);
        let history = {
            let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
            let mut history = History::default();
            for op in &ops(seed, 30) {
                op.run(&vault).unwrap();
                history.add(op, true);
            }
            disk.process_kill();
            history
        };
        let expected = history.state();
        let mut failures = 0;
        for ahead in 0..60 {
            let copy = disk.fork(seed);
            copy.set_faults(error_at(copy.calls() + ahead, DiskError::Failed));
            failures += u32::from(Vault::open_with(honest(copy.clone()), small()).is_err());
            copy.power_cut();
            let vault = Vault::open_with(honest(copy), small()).unwrap();
            assert_eq!(
                read_all(&vault).unwrap(),
                expected,
                "seed {seed}, call {ahead}"
            );
            assert_eq!(vault.stats().recovery.damage_count, 0);
        }
        assert!(failures > 10, "{failures}");
    }
}

fn one_failure(disk: &SimulatedStorage, ops: &[Op]) -> Result<(), String> {
    let mut history = History::default();
    if let Ok(vault) = Vault::open_with(honest(disk.clone()), small()) {
        let mut poisoned = false;
        for op in ops {
            let result = op.run(&vault);
            history.add(op, result.is_ok());
            let refused = matches!(result, Err(VaultError::Poisoned { .. }));
            if poisoned && !refused && !matches!(op, Op::Delete(..)) {
                return Err("a poisoned vault accepted a write".to_owned());
            }
            poisoned |= refused;
        }
        let found = read_all(&vault).or_else(|_| read_all(&vault));
        let found = found.map_err(|error| format!("reading failed: {error}"))?;
        if !history.shows(&found) {
            return Err(format!("shows {:?}", summary(&found)));
        }
    }
    disk.power_cut();
    judge(disk, honest, &history)
}

#[test]
fn short_reads_and_writes_change_nothing() {
    for seed in 400..410 {
        let disk = SimulatedStorage::new(seed);
        let mut faults = Faults::default();
        faults.short_transfers = true;
        disk.set_faults(faults.clone());
        let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
        let mut history = History::default();
        for op in &ops(seed, 40) {
            op.run(&vault).unwrap();
            history.add(op, true);
        }
        assert_eq!(read_all(&vault).unwrap(), history.state());
        vault.close().unwrap();
        disk.process_kill();
        disk.set_faults(faults);
        let vault = Vault::open_with(honest(disk), small()).unwrap();
        assert_eq!(read_all(&vault).unwrap(), history.state());
        assert!(vault.verify().unwrap().is_sound());
    }
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

/// Tests of the test: a vault whose file or directory syncs are lost must be found out.
#[test]
fn the_simulation_catches_forgotten_file_syncs() {
    let wrap: Wrap = |disk| {
        Arc::new(Forgetful {
            disk,
            files: true,
            names: false,
        })
    };
    let caught = (0..5)
        .filter(|seed| every_cut(*seed, 40, wrap).is_err())
        .count();
    assert_eq!(caught, 5);
}

#[test]
fn the_simulation_catches_forgotten_directory_syncs() {
    let wrap: Wrap = |disk| {
        Arc::new(Forgetful {
            disk,
            files: false,
            names: true,
        })
    };
    let caught = (0..5)
        .filter(|seed| every_cut(*seed, 40, wrap).is_err())
        .count();
    assert_eq!(caught, 5);
}
