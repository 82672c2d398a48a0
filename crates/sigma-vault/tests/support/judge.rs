//! Runs histories on a simulated disk and judges what is left of them.

use std::sync::Arc;

use sigma_vault::io::{DiskError, Faults, SimulatedStorage, Storage};
use sigma_vault::{Durability, Vault, VaultError};

use super::{History, Op, Rng, State, fast, read_all, small};

/// How the vault sees the disk; tests of the test put a liar in between.
pub type Wrap = fn(SimulatedStorage) -> Arc<dyn Storage>;

pub fn honest(disk: SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(disk)
}

pub fn kill_at(call: u64) -> Faults {
    let mut faults = Faults::default();
    faults.kill_at_call = Some(call);
    faults
}

pub fn error_at(call: u64, error: DiskError) -> Faults {
    let mut faults = Faults::default();
    faults.error_at_call = Some((call, error));
    faults
}

/// Opens a vault and runs the operations until the power goes; closes it if it never does.
pub fn run(disk: &SimulatedStorage, wrap: Wrap, ops: &[Op]) -> History {
    let mut history = History::default();
    let Ok(vault) = Vault::open_with(wrap(disk.clone()), fast()) else {
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
pub fn judge(disk: &SimulatedStorage, wrap: Wrap, history: &History) -> Result<(), String> {
    agree(disk)?;
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

/// A vault opened from its snapshot is the one that reading everything finds.
pub fn agree(disk: &SimulatedStorage) -> Result<(), String> {
    let open = |options| {
        let copy = Arc::new(disk.fork(1));
        Vault::open_with(copy, options).map_err(|error| format!("opening a copy failed: {error}"))
    };
    let (read, snapshot) = (open(small())?, open(fast())?);
    let found = |vault: &Vault| read_all(vault).map_err(|error| format!("a copy: {error}"));
    let (read_state, snapshot_state) = (found(&read)?, found(&snapshot)?);
    if read_state != snapshot_state {
        return Err(format!(
            "the snapshot shows {:?}, the segments {:?}",
            summary(&snapshot_state),
            summary(&read_state)
        ));
    }
    let sizes = |vault: &Vault| {
        let stats = vault.stats();
        (
            stats.keys,
            stats.live_bytes,
            stats.disk_bytes,
            stats.segments,
        )
    };
    if sizes(&read) != sizes(&snapshot) {
        return Err(format!("sizes {:?}, {:?}", sizes(&snapshot), sizes(&read)));
    }
    // Sizes by segment, too: compaction copies what it believes to be live, or refuses.
    let report = snapshot.compact().map_err(|error| error.to_string())?;
    if report.segments_damaged > 0 || found(&snapshot)? != read_state {
        return Err(format!("compacting after the snapshot: {report:?}"));
    }
    Ok(())
}

pub fn summary(state: &State) -> Vec<(String, usize)> {
    state
        .iter()
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.len()))
        .collect()
}

/// Runs a history whose faults are set, error after error, then cuts the power and judges.
pub fn one_failure(disk: &SimulatedStorage, ops: &[Op]) -> Result<(), String> {
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

/// Which of `changes` unsynced changes survive, and in which order: every subset and every order
/// of all where that is at most `bound` of each, otherwise `bound` random ones.
pub fn choices(changes: usize, bound: usize, rng: &mut Rng) -> impl Iterator<Item = Vec<usize>> {
    let mut all = Vec::new();
    if changes < 16 && 1 << changes <= bound {
        all.extend((0..1_usize << changes).map(|mask| {
            (0..changes)
                .filter(|number| mask >> number & 1 == 1)
                .collect::<Vec<_>>()
        }));
    } else {
        all.extend((0..bound).map(|_| (0..changes).filter(|_| rng.below(2) == 0).collect()));
    }
    if changes < 6 && (1..=changes).product::<usize>() <= bound {
        orders(&mut (0..changes).collect(), changes, &mut all);
    } else {
        all.extend((0..bound).map(|_| shuffled(changes, rng)));
    }
    all.into_iter()
}

/// Heap's algorithm (1963).
fn orders(numbers: &mut Vec<usize>, count: usize, all: &mut Vec<Vec<usize>>) {
    if count <= 1 {
        all.push(numbers.clone());
        return;
    }
    for position in 0..count {
        orders(numbers, count - 1, all);
        let other = if count.is_multiple_of(2) { position } else { 0 };
        numbers.swap(other, count - 1);
    }
}

fn shuffled(count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    for position in (1..count).rev() {
        let other = usize::try_from(rng.below(position as u64 + 1)).unwrap_or(0);
        numbers.swap(position, other);
    }
    numbers
}
