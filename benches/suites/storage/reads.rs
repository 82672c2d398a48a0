//! Loads without syncs, point reads, and mixes of both.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Goal, Row, Suite};

use crate::slices::{Plan, quantiles, rows, run as run_slices};
use crate::stores::{Entry, Promise, Store, entry, key, open_all};

/// Keys looked up in one call: a read transaction's worth.
const LOOKUPS: usize = 64;

pub(crate) fn small(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(300, 1_000_000);
    let (_dir, stores) = hits(suite, "100 B", 100, keys, 3.0)?;
    let plan = Lookups {
        present: false,
        together: false,
        threads: 2,
    };
    let outcomes = lookups(suite, &stores, keys, plan)?;
    let measure = "get absent, 2 threads";
    rows(suite, measure, &outcomes, &["lmdb"], Some(8.0));
    Ok(())
}

pub(crate) fn middle(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(300, 200_000);
    let (_dir, stores) = hits(suite, "1 KB", 1024, keys, 2.5)?;
    for (name, writes, judged, ratio) in [("B", 5, "lmdb", 2.5), ("A", 50, "fjall", 1.5)] {
        let outcomes = mix(suite, &stores, keys, writes)?;
        let measure = format!("YCSB-{name} 1 KB, 2 threads");
        rows(suite, &measure, &outcomes, &[judged], Some(ratio));
        quantiles(suite, &measure, &outcomes, judged, None);
    }
    Ok(())
}

pub(crate) fn large(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(50, 16_000);
    hits(suite, "16 KB", 16 << 10, keys, 1.0).map(|_| ())
}

pub(crate) fn loads(suite: &mut Suite) -> Result<(), BenchError> {
    for (name, bytes, keys) in [
        ("1 KB", 1024, suite.size(300, 200_000)),
        ("16 KB", 16 << 10, suite.size(50, 16_000)),
    ] {
        for promise in [Promise::Written, Promise::Buffered] {
            load_of(suite, name, keys, bytes, promise)?;
        }
    }
    Ok(())
}

type Stores = Vec<Box<dyn Store>>;

/// Loads all stores and reads them at random: by threads, and ours by one call for many keys.
fn hits(
    suite: &mut Suite,
    name: &str,
    bytes: usize,
    keys: usize,
    ratio: f64,
) -> Result<(tempfile::TempDir, Stores), BenchError> {
    let dir = tempfile::tempdir()?;
    let stores = open_all(dir.path(), Promise::Written)?;
    load(&stores, keys, bytes)?;
    let judged = ["lmdb"];
    for threads in [1, 2, 8] {
        let plan = Lookups {
            present: true,
            together: false,
            threads,
        };
        let outcomes = lookups(suite, &stores, keys, plan)?;
        let s = if threads == 1 { "" } else { "s" };
        let measure = format!("get hit {name}, {threads} thread{s}, ours verified");
        let goal = (threads == 2).then_some(ratio);
        rows(suite, &measure, &outcomes, &judged, goal);
        if threads == 2 {
            let measure = format!("{measure}, {LOOKUPS} gets");
            quantiles(suite, &measure, &outcomes, "lmdb", None);
        }
    }
    let plan = Lookups {
        present: true,
        together: true,
        threads: 2,
    };
    let outcomes = lookups(suite, &stores, keys, plan)?;
    let measure = format!("get hit {name}, 2 threads, ours by get_many of {LOOKUPS}");
    rows(suite, &measure, &outcomes, &judged, Some(ratio));
    Ok((dir, stores))
}

/// Puts in order of their numbers, one call each for the stores that take it without syncs,
/// batches of 1000 for those that would take minutes.
fn load(stores: &[Box<dyn Store>], keys: usize, bytes: usize) -> Result<(), BenchError> {
    const BLOCK: usize = 1000;
    for start in (0..keys).step_by(BLOCK) {
        let numbers = start..(start + BLOCK).min(keys);
        let block: Vec<Entry> = numbers.map(|n| entry(n as u64, bytes)).collect();
        for store in stores {
            let one_by_one = ["sigma-vault", "fjall"].contains(&store.name());
            for some in block.chunks(if one_by_one { 1 } else { BLOCK }) {
                store.put(some)?;
            }
        }
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

/// A load without syncs, ours and fjall's taking turns, and what it takes on disk.
fn load_of(
    suite: &mut Suite,
    name: &str,
    keys: usize,
    bytes: usize,
    promise: Promise,
) -> Result<(), BenchError> {
    const BLOCK: usize = 500;
    let dir = tempfile::tempdir()?;
    let stores: [Box<dyn Store>; 2] = [
        Box::new(crate::stores::Ours::open(dir.path(), promise)?),
        Box::new(crate::peers::FjallStore::open(dir.path(), promise)?),
    ];
    let mut times = [0.0; 2];
    settle(dir.path())?;
    for start in (0..keys).step_by(BLOCK) {
        let numbers = start..(start + BLOCK).min(keys);
        let block: Vec<Entry> = numbers.map(|n| entry(n as u64, bytes)).collect();
        for (store, time) in stores.iter().zip(&mut times) {
            let clock = std::time::Instant::now();
            for one in block.chunks(1) {
                store.put(one)?;
            }
            *time += clock.elapsed().as_secs_f64();
        }
    }
    let promised = match promise {
        Promise::Buffered => "buffered",
        Promise::Written => "written",
        Promise::Durable => "durable",
    };
    let measure = format!("load {name}, {promised}");
    load_row(suite, &measure, keys, times[0], times[1], bytes);
    drop(stores);
    if promise == Promise::Buffered {
        disk_share(suite, name, dir.path(), keys * (bytes + 16))?;
    }
    Ok(())
}

/// Waits until the device has written what others left to it: a load is as fast as the device where
/// it brings more than that has taken yet.
fn settle(dir: &Path) -> Result<(), BenchError> {
    let status = Command::new("sync").arg("-f").arg(dir).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("sync -f {}: {status}", dir.display()).into())
    }
}

/// How keys are looked up: ones that are there or not, many in one call or one by one.
#[derive(Clone, Copy)]
struct Lookups {
    present: bool,
    together: bool,
    threads: usize,
}

fn lookups(
    suite: &Suite,
    stores: &[Box<dyn Store>],
    keys: usize,
    how: Lookups,
) -> Result<Vec<crate::slices::Outcome>, BenchError> {
    let Lookups {
        present,
        together,
        threads,
    } = how;
    let base = if present { 0 } else { 1 << 40 };
    let calls = if keys < 100_000 { 400 } else { 1200 };
    let plan = Plan {
        threads,
        rounds: suite.size(1, 5),
        calls: suite.size(8, calls) / threads,
        operations: LOOKUPS,
    };
    run_slices(stores, plan, &|store, thread, call| {
        let mut seeded = SplitMix64::new((thread * 1_000_000 + call) as u64);
        let chosen: [[u8; 16]; LOOKUPS] =
            std::array::from_fn(|_| key(base + seeded.below(keys) as u64));
        let mut hits = 0;
        let mut seen = |found: Option<&[u8]>| {
            hits += usize::from(std::hint::black_box(found).is_some());
        };
        if together {
            store.get_together(&chosen, &mut seen)?;
        } else {
            store.get(&chosen, &mut seen)?;
        }
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
