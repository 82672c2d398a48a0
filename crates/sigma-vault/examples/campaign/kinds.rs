//! The kinds of faults: each tries one seeded history and counts what it tried.

use std::sync::Arc;

use sigma_vault::io::{DiskError, Faults, SimulatedStorage};
use sigma_vault::{Vault, VaultError};

use crate::support::judge::{Wrap, choices, error_at, judge, kill_at, one_failure, run};
use crate::support::{History, Op, Rng, State, fast, keys, ops, ops_compacting, small, written};

/// What one kind did so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    /// Crashes or damages tried, each followed by a recovery and a judgement.
    pub(crate) tried: u64,
    /// Reads that were refused with an error, rightly: the stored value was damaged.
    pub(crate) refused: u64,
    pub(crate) findings: Vec<String>,
}

impl Tally {
    fn note(&mut self, outcome: Result<(), String>, at: impl FnOnce() -> String) {
        self.tried += 1;
        if let Err(what) = outcome {
            self.findings.push(format!("{}: {what}", at()));
        }
    }
}

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// True when every trial is a crash.
    pub(crate) crash: bool,
    pub(crate) try_seed: fn(u64, Wrap, &mut Tally),
}

pub(crate) const KINDS: [Kind; 9] = [
    Kind {
        name: "power-cut",
        what: "power lost at every call, 4 random outcomes of sectors and names each",
        crash: true,
        try_seed: power_cuts,
    },
    Kind {
        name: "survivors",
        what: "power lost at every call, all subsets and orders of the unsynced changes (bound 32)",
        crash: true,
        try_seed: survivors,
    },
    Kind {
        name: "short-cut",
        what: "power lost at every call of a disk that reads and writes in parts",
        crash: true,
        try_seed: short_cuts,
    },
    Kind {
        name: "recovery-cut",
        what: "power lost again at every call of the recovery",
        crash: true,
        try_seed: recovery_cuts,
    },
    Kind {
        name: "process-kill",
        what: "process lost at every call; what was written stays",
        crash: true,
        try_seed: process_kills,
    },
    Kind {
        name: "error",
        what: "ENOSPC and EIO at every call, more work, then power lost",
        crash: true,
        try_seed: errors,
    },
    Kind {
        name: "full-disk",
        what: "32 sizes of disk that fill up, then power lost",
        crash: true,
        try_seed: full_disks,
    },
    Kind {
        name: "bit-flip",
        what: "one bit of every byte of a closed store (8 seeds: every bit), both ways to open",
        crash: false,
        try_seed: bit_flips,
    },
    Kind {
        name: "misdirected",
        what: "every write lands in the wrong place of its file once",
        crash: false,
        try_seed: misdirected,
    },
];

/// Every other history compacts; snapshots of the index come by themselves.
fn history_of(seed: u64) -> Vec<Op> {
    let count = 20 + usize::try_from(seed % 60).unwrap_or(0);
    if seed.is_multiple_of(2) {
        ops(seed, count)
    } else {
        ops_compacting(seed, count)
    }
}

fn calls_of(seed: u64, wrap: Wrap, ops: &[Op], faults: Faults) -> u64 {
    let whole = SimulatedStorage::new(seed);
    whole.set_faults(faults);
    run(&whole, wrap, ops);
    whole.calls()
}

/// Runs a history on a disk whose power goes at `call`; the disk is still off.
fn until(seed: u64, call: u64, wrap: Wrap, ops: &[Op], short: bool) -> (SimulatedStorage, History) {
    let disk = SimulatedStorage::new(seed);
    let mut faults = kill_at(call);
    faults.short_transfers = short;
    disk.set_faults(faults);
    let history = run(&disk, wrap, ops);
    (disk, history)
}

fn cuts(seed: u64, wrap: Wrap, short: bool, outcomes: u64, tally: &mut Tally) {
    let ops = history_of(seed);
    let mut faults = Faults::default();
    faults.short_transfers = short;
    for call in 0..calls_of(seed, wrap, &ops, faults) {
        let (disk, history) = until(seed, call, wrap, &ops, short);
        for outcome in 0..outcomes {
            let copy = disk.branch(seed ^ (call << 24) ^ (outcome << 48));
            copy.power_cut();
            tally.note(judge(&copy, wrap, &history), || {
                format!("seed {seed}, power cut at call {call}, outcome {outcome}")
            });
        }
    }
}

fn power_cuts(seed: u64, wrap: Wrap, tally: &mut Tally) {
    cuts(seed, wrap, false, 4, tally);
}

fn short_cuts(seed: u64, wrap: Wrap, tally: &mut Tally) {
    cuts(seed, wrap, true, 1, tally);
}

fn survivors(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let ops = history_of(seed);
    let mut rng = Rng(!seed);
    for call in 0..calls_of(seed, wrap, &ops, Faults::default()) {
        let (disk, history) = until(seed, call, wrap, &ops, false);
        for kept in choices(disk.unsynced(), 32, &mut rng) {
            let copy = disk.branch(seed);
            copy.power_cut_keeping(&kept);
            tally.note(judge(&copy, wrap, &history), || {
                format!("seed {seed}, power cut at call {call}, changes {kept:?} survive")
            });
        }
    }
}

fn recovery_cuts(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let ops = history_of(seed);
    let calls = calls_of(seed, wrap, &ops, Faults::default());
    for first in (seed % 7..calls).step_by(7) {
        let (disk, history) = until(seed, first, wrap, &ops, false);
        disk.power_cut();
        for second in 0.. {
            let copy = disk.branch(seed ^ (second << 32));
            copy.set_faults(kill_at(copy.calls() + second));
            let options = if second % 2 == 0 { small() } else { fast() };
            drop(Vault::open_with(wrap(copy.clone()), options));
            if copy.is_powered() {
                break;
            }
            copy.power_cut();
            tally.note(judge(&copy, wrap, &history), || {
                format!("seed {seed}, power cuts at call {first} and call {second} of recovery")
            });
        }
    }
}

fn process_kills(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let ops = written(history_of(seed));
    for call in 0..calls_of(seed, wrap, &ops, Faults::default()) {
        let (disk, mut history) = until(seed, call, wrap, &ops, false);
        history.written_is_durable();
        disk.process_kill();
        tally.note(judge(&disk, wrap, &history), || {
            format!("seed {seed}, process killed at call {call}")
        });
    }
}

fn errors(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let ops = history_of(seed);
    for call in 0..calls_of(seed, wrap, &ops, Faults::default()) {
        for error in [DiskError::Full, DiskError::Failed] {
            let disk = SimulatedStorage::new(seed);
            disk.set_faults(error_at(call, error));
            tally.note(one_failure(&disk, &ops), || {
                format!("seed {seed}, {error:?} at call {call}")
            });
        }
    }
}

fn full_disks(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let ops = history_of(seed);
    let mut rng = Rng(seed);
    for _ in 0..32 {
        let capacity_bytes = 200 + rng.below(30_000);
        let disk = SimulatedStorage::new(seed);
        let mut faults = Faults::default();
        faults.capacity_bytes = Some(capacity_bytes);
        disk.set_faults(faults);
        let history = run(&disk, wrap, &ops);
        disk.power_cut();
        tally.note(judge(&disk, wrap, &history), || {
            format!("seed {seed}, disk of {capacity_bytes} bytes")
        });
    }
}

/// Reads every key: no answer may be wrong; returns how many were refused.
fn refusals(vault: &Vault, expected: &State, either: &[Vec<u8>]) -> Result<u64, String> {
    let mut refused = 0;
    for key in keys() {
        match vault.get(&key) {
            Ok(found) if found.as_ref() == expected.get(&key) || either.contains(&key) => {}
            Ok(found) => {
                let (found, true_value) = (found.map(|v| v.len()), expected.get(&key));
                return Err(format!(
                    "silent wrong value: key {:?} reads as {found:?} bytes, is {:?}",
                    String::from_utf8_lossy(&key),
                    true_value.map(Vec::len)
                ));
            }
            Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => refused += 1,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(refused)
}

/// Opens a damaged disk and reads everything; returns refusals and whether damage was reported.
fn damaged(
    disk: &SimulatedStorage,
    check: bool,
    expected: &State,
    either: &[Vec<u8>],
) -> Result<(u64, bool), String> {
    let options = if check { small() } else { fast() };
    let vault = Vault::open_with(Arc::new(disk.fork(1)), options)
        .map_err(|error| format!("opening was blocked: {error}"))?;
    let refused = refusals(&vault, expected, either)?;
    let reported = vault.stats().recovery.damage_count > 0
        || (!check && !vault.verify().map_err(|e| e.to_string())?.is_sound());
    Ok((refused, reported))
}

fn bit_flips(seed: u64, wrap: Wrap, tally: &mut Tally) {
    let store = seed / 8;
    let disk = SimulatedStorage::new(store);
    let history = run(&disk, wrap, &history_of(store));
    let expected = history.state();
    for (name, bytes) in disk.files() {
        for position in 0..usize::try_from(bytes).unwrap_or(0) {
            let copy = disk.fork(store);
            let bit = (position as u64 + seed) % 8;
            copy.damage(&name, |bytes| bytes[position] ^= 1 << bit);
            for check in [true, false] {
                let outcome = damaged(&copy, check, &expected, &[]);
                let outcome = outcome.and_then(|(refused, reported)| {
                    tally.refused += refused;
                    match (refused, reported) {
                        (2.., _) => Err(format!("{refused} keys refused for one bit")),
                        (_, false) if name != "INDEX" => Err("not reported".to_owned()),
                        _ => Ok(()),
                    }
                });
                tally.note(outcome, || {
                    format!("seed {seed}, {name}, byte {position}, bit {bit}, check {check}")
                });
            }
        }
    }
}

fn misdirected(seed: u64, wrap: Wrap, tally: &mut Tally) {
    // Histories without compaction: it would refuse to go on, and later steps with it.
    let ops = ops(seed, 20 + usize::try_from(seed % 40).unwrap_or(0));
    for call in 0..calls_of(seed, wrap, &ops, Faults::default()) {
        let disk = SimulatedStorage::new(seed);
        let mut faults = Faults::default();
        faults.misdirect_at_call = Some(call);
        disk.set_faults(faults);
        let history = run(&disk, wrap, &ops);
        if !disk.misdirected() {
            continue;
        }
        let expected = history.state();
        let either: Vec<_> = history.failed().map(|(key, _)| key.clone()).collect();
        for check in [true, false] {
            let outcome = damaged(&disk, check, &expected, &either);
            let outcome = outcome.and_then(|(refused, reported)| {
                tally.refused += refused;
                if refused > 0 && !reported {
                    return Err(format!("{refused} keys refused, no damage reported"));
                }
                Ok(())
            });
            tally.note(outcome, || {
                format!("seed {seed}, write of call {call} misdirected, check {check}")
            });
        }
    }
}
