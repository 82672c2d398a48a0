//! Loads without syncs, point reads, and mixes of both.

use std::cell::RefCell;
use std::path::Path;

use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Goal, Row, Suite};

use crate::slices::{Plan, rows, run as run_slices};
use crate::stores::{Entry, Promise, Store, entry, key, open_all};

/// Keys looked up in one call: a read transaction's worth.
const LOOKUPS: usize = 64;

pub(crate) fn run(suite: &mut Suite) -> Result<(), BenchError> {
    for (name, bytes, keys, ratio) in [
        ("100 B", 100, suite.size(300, 1_000_000), 3.0),
        ("1 KB", 1024, suite.size(300, 200_000), 2.5),
        ("16 KB", 16 << 10, suite.size(50, 16_000), 1.0),
    ] {
        let dir = tempfile::tempdir()?;
        let stores = open_all(dir.path(), Promise::Written)?;
        load(suite, name, &stores, keys, bytes)?;
        let judged = ["lmdb"];
        let outcomes = lookups(suite, &stores, keys, true)?;
        let measure = format!("get hit {name}, 2 threads, ours verified");
        rows(suite, &measure, &outcomes, &judged, Some(ratio));
        if bytes == 100 {
            let outcomes = lookups(suite, &stores, keys, false)?;
            rows(
                suite,
                "get absent, 2 threads",
                &outcomes,
                &judged,
                Some(8.0),
            );
        }
        if bytes == 1024 {
            for (name, writes, judged, ratio) in [("B", 5, "lmdb", 2.5), ("A", 50, "fjall", 1.5)] {
                let outcomes = mix(suite, &stores, keys, writes)?;
                let measure = format!("YCSB-{name} 1 KB, 2 threads");
                rows(suite, &measure, &outcomes, &[judged], Some(ratio));
            }
        }
        drop(stores);
        if bytes > 100 {
            buffered_load(suite, name, keys, bytes)?;
        }
    }
    Ok(())
}

/// Puts in order of their numbers, one call each for the stores that take it without syncs,
/// batches of 1000 for those that would take minutes.
fn load(
    suite: &mut Suite,
    name: &str,
    stores: &[Box<dyn Store>],
    keys: usize,
    bytes: usize,
) -> Result<(), BenchError> {
    const BLOCK: usize = 1000;
    let (fast, slow): (Vec<_>, Vec<_>) = stores
        .iter()
        .partition(|store| ["sigma-vault", "fjall"].contains(&store.name()));
    let mut times = vec![0.0; fast.len()];
    for start in (0..keys).step_by(BLOCK) {
        let numbers = start..(start + BLOCK).min(keys);
        let block: Vec<Entry> = numbers.map(|n| entry(n as u64, bytes)).collect();
        for (store, time) in fast.iter().zip(&mut times) {
            let clock = std::time::Instant::now();
            for one in block.chunks(1) {
                store.put(one)?;
            }
            *time += clock.elapsed().as_secs_f64();
        }
        for store in &slow {
            store.put(&block)?;
        }
    }
    if let ([ours, fjall], true) = (&times[..], bytes > 100) {
        load_row(
            suite,
            &format!("load {name}, written"),
            keys,
            *ours,
            *fjall,
            bytes,
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn load_row(suite: &mut Suite, measure: &str, keys: usize, ours: f64, fjall: f64, bytes: usize) {
    let ratio = if bytes > 4096 { 1.2 } else { 2.0 };
    suite.record(
        Row::new(measure, "op/s", keys as f64 / ours)
            .against("fjall", keys as f64 / fjall)
            .goal(Goal::RatioAtLeast(ratio)),
    );
}

/// The load again, with what may be lost with the process.
fn buffered_load(
    suite: &mut Suite,
    name: &str,
    keys: usize,
    bytes: usize,
) -> Result<(), BenchError> {
    let dir = tempfile::tempdir()?;
    let stores: [Box<dyn Store>; 2] = [
        Box::new(crate::stores::Ours::open(dir.path(), Promise::Buffered)?),
        Box::new(crate::peers::FjallStore::open(
            dir.path(),
            Promise::Buffered,
        )?),
    ];
    let mut times = [0.0; 2];
    for number in 0..keys {
        let one = [entry(number as u64, bytes)];
        for (store, time) in stores.iter().zip(&mut times) {
            let clock = std::time::Instant::now();
            store.put(&one)?;
            *time += clock.elapsed().as_secs_f64();
        }
    }
    let measure = format!("load {name}, buffered");
    load_row(suite, &measure, keys, times[0], times[1], bytes);
    drop(stores);
    disk_share(suite, name, dir.path(), keys * (bytes + 16))
}

fn lookups(
    suite: &Suite,
    stores: &[Box<dyn Store>],
    keys: usize,
    present: bool,
) -> Result<Vec<crate::slices::Outcome>, BenchError> {
    let base = if present { 0 } else { 1 << 40 };
    let plan = Plan {
        threads: 2,
        rounds: suite.size(1, 5),
        calls: suite.size(2, 1000),
        operations: LOOKUPS,
    };
    run_slices(stores, plan, &|store, thread, call| {
        let mut seeded = SplitMix64::new((thread * 1_000_000 + call) as u64);
        let chosen: [[u8; 16]; LOOKUPS] =
            std::array::from_fn(|_| key(base + seeded.below(keys) as u64));
        let mut hits = 0;
        store.get(&chosen, &mut |found| {
            hits += usize::from(std::hint::black_box(found).is_some());
        })?;
        if hits != if present { LOOKUPS } else { 0 } {
            return Err(format!("{}: {hits} of {LOOKUPS} found", store.name()).into());
        }
        Ok(())
    })
}

/// `writes` percent overwrites of keys drawn by Zipf's law, the rest reads of such.
fn mix(
    suite: &Suite,
    stores: &[Box<dyn Store>],
    keys: usize,
    writes: usize,
) -> Result<Vec<crate::slices::Outcome>, BenchError> {
    thread_local! {
        static ENTRY: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
    }
    let plan = Plan {
        threads: 2,
        rounds: suite.size(1, 5),
        calls: suite.size(10, 10_000),
        operations: 1,
    };
    run_slices(stores, plan, &|store, thread, call| {
        let mut seeded = SplitMix64::new((thread * 10_000_000 + call) as u64);
        // Neighbours in popularity are no neighbours in the store.
        let rank = seeded.zipf(keys);
        let chosen = key((rank.wrapping_mul(7_368_787) % keys) as u64);
        if seeded.below(100) < writes {
            return ENTRY.with_borrow_mut(|one| {
                one.resize(1, entry(0, 1024));
                one[0].0.clear();
                one[0].0.extend_from_slice(&chosen);
                store.put(one)
            });
        }
        let mut hits = 0;
        store.get(&[chosen], &mut |found| {
            hits += usize::from(std::hint::black_box(found).is_some());
        })?;
        if hits == 0 {
            return Err(format!("{}: a key was not found", store.name()).into());
        }
        Ok(())
    })
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn disk_share(suite: &mut Suite, name: &str, dir: &Path, user: usize) -> Result<(), BenchError> {
    let share = |store: &str| -> Result<f64, BenchError> {
        Ok(crate::space::folder_bytes(&dir.join(store))? / user as f64)
    };
    suite.record(
        Row::new(
            &format!("disk per user byte, {name}"),
            "B/B",
            share("vault")?,
        )
        .against("fjall", share("fjall")?)
        .goal(Goal::OursAtMost(0.75)),
    );
    Ok(())
}
