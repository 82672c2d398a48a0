//! Power cuts, kills and failing disks, cut in at every single I/O call and judged by a model.
//! The long form: `cargo run --release -p sigma-vault --example campaign -- --help`.

mod support;

use sigma_vault::io::{DiskError, Faults, SimulatedStorage};
use sigma_vault::{Durability, Vault};
use support::forgetful::{no_directory_syncs, no_file_syncs};
use support::judge::{Wrap, choices, error_at, honest, judge, kill_at, one_failure, run};
use support::{History, Op, Rng, fast, ops, ops_compacting, read_all, small, written};

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

/// Most reopenings above come from a snapshot, or they would test nothing of it.
#[test]
fn snapshots_are_written_and_used() {
    let mut used = 0;
    for seed in 0..40 {
        let disk = SimulatedStorage::new(seed);
        let vault = Vault::open_with(honest(disk.clone()), fast()).unwrap();
        for op in &ops_compacting(seed, 60) {
            op.run(&vault).unwrap();
        }
        assert!(vault.stats().index_snapshots > 0);
        disk.power_cut();
        drop(vault);
        let vault = Vault::open_with(honest(disk.clone()), fast()).unwrap();
        used += u32::from(vault.stats().recovery.from_snapshot);
    }
    assert!(used > 30, "{used} of 40");
}

/// However often it happens, and however little is written in between.
#[test]
fn crash_upon_crash_leaves_no_more_to_read_than_one() {
    let disk = SimulatedStorage::new(9);
    let (mut longest, mut used) = (0, 0);
    for round in 0..20_u64 {
        // Records of 128 bytes, which count as 128.
        let options = fast().index_snapshot_bytes_min(10_000);
        let vault = Vault::open_with(honest(disk.clone()), options).unwrap();
        let recovery = vault.stats().recovery;
        longest = longest.max(recovery.records);
        used += u32::from(recovery.from_snapshot);
        for number in 0..30 {
            let key = (round * 30 + number).to_le_bytes();
            vault.put(&key, &[7; 64], Durability::Synced).unwrap();
        }
        disk.power_cut();
        drop(vault);
    }
    assert!((60..=80).contains(&longest), "{longest} records");
    assert!(used > 15, "{used} of 20");
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

/// A killed process loses nothing that was answered as written, and then a power
/// cut loses nothing that the reopened vault has shown.
#[test]
fn process_kill_then_power_cut() {
    for seed in 200..260 {
        let ops = written(ops_compacting(seed, 40));
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

/// A killed process may lose what was buffered, from the end.
#[test]
fn process_kill_loses_no_more_than_the_buffer() {
    for seed in 260..320 {
        let disk = SimulatedStorage::new(seed);
        let vault = Vault::open_with(honest(disk.clone()), small()).unwrap();
        let mut history = History::default();
        for op in &ops_compacting(seed, 40) {
            op.run(&vault).unwrap();
            history.add(op, true);
        }
        disk.process_kill();
        drop(vault);
        judge(&disk, honest, &history).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
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
            for op in &written(ops(seed, 30)) {
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

/// Tests of the test: a vault whose file or directory syncs are lost must be found out.
#[test]
fn the_simulation_catches_forgotten_syncs() {
    for wrap in [no_file_syncs as Wrap, no_directory_syncs] {
        let caught = (0..5)
            .filter(|seed| every_cut(*seed, 40, wrap).is_err())
            .count();
        assert_eq!(caught, 5);
    }
}

/// The systematic cuts are as sharp as the random ones: they find the same planted bugs.
#[test]
fn chosen_survivors_find_forgotten_syncs_and_nothing_else() {
    let every_choice = |seed, wrap: Wrap| {
        let ops = ops_compacting(seed, 12);
        let whole = SimulatedStorage::new(seed);
        run(&whole, wrap, &ops);
        (0..whole.calls()).try_for_each(|call| {
            let disk = SimulatedStorage::new(seed);
            disk.set_faults(kill_at(call));
            let history = run(&disk, wrap, &ops);
            choices(disk.unsynced(), 16, &mut Rng(seed)).try_for_each(|survivors| {
                let copy = disk.branch(seed);
                copy.power_cut_keeping(&survivors);
                judge(&copy, wrap, &history)
                    .map_err(|what| format!("seed {seed}, call {call}, {survivors:?}: {what}"))
            })
        })
    };
    for seed in 600..604 {
        every_choice(seed, honest).unwrap();
        assert!(every_choice(seed, no_file_syncs).is_err());
        assert!(every_choice(seed, no_directory_syncs).is_err());
    }
}
