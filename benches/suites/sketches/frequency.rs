//! How often, and which most often: Count-Min, Count-Sketch and the top-k counters beside
//! datasketches.

use crate::{compare_by, float};
use criterion::Throughput;
use datasketches::countmin::CountMinSketch;
use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use sketches::frequency::{AtomicCountMin, CountMinBuilder, CountSketch, Update};
use sketches::top_k::FrequentItems;
use sketches::{CountMin, SpaceSaving};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

const DEPTH: usize = 5;
const WIDTH: usize = 10_000;
/// Counters of each top-k structure: what fits 26 KB of ours, and the peer's next power of two that
/// finds as many of the hundred.
const FREQUENT_ITEMS: usize = 1140;
const SPACE_SAVING: usize = 480;
const PEER_MAP: usize = 4096;

fn stream(count: usize, seed: u64) -> Vec<u64> {
    let mut seeded = SplitMix64::new(seed);
    (0..count).map(|_| seeded.zipf(100_000) as u64).collect()
}

fn count_min(update: Update, stream: &[u64]) -> Result<CountMin, BenchError> {
    let mut sketch = CountMinBuilder::with_size(DEPTH, WIDTH)
        .update(update)
        .build()?;
    sketch.insert_each(stream);
    Ok(sketch)
}

fn count_sketch(stream: &[u64]) -> Result<CountSketch, BenchError> {
    let mut sketch = CountSketch::with_size(DEPTH, WIDTH)?;
    stream.iter().for_each(|key| sketch.add(key, 1));
    Ok(sketch)
}

fn peer_count_min(stream: &[u64]) -> Result<CountMinSketch<u64>, BenchError> {
    let mut sketch = CountMinSketch::new(5, 10_000)?;
    stream.iter().for_each(|key| sketch.update(key));
    Ok(sketch)
}

pub(crate) fn frequency(suite: &mut Suite) -> Result<(), BenchError> {
    let count = suite.size(10_000, 1_000_000);
    let stream = stream(count, 4);
    let (ours, theirs) = (count_min(Update::Plain, &stream)?, peer_count_min(&stream)?);
    let exact = stream.iter().filter(|key| **key == 0).count() as u64;
    if ours.estimate(&0_u64) < exact || theirs.estimate(0_u64) < exact {
        return Err("a Count-Min estimate is below the true count".into());
    }
    let mut group = suite.criterion().benchmark_group("count_min_update");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("plain", |b| {
        b.iter(|| count_min(Update::Plain, black_box(&stream)).expect("checked"));
    });
    group.bench_function("conservative", |b| {
        b.iter(|| count_min(Update::Conservative, black_box(&stream)).expect("checked"));
    });
    group.bench_function("count-sketch", |b| {
        b.iter(|| count_sketch(black_box(&stream)).expect("checked"));
    });
    group.bench_function("atomic", |b| {
        b.iter(|| {
            let sketch = AtomicCountMin::with_size(DEPTH, WIDTH).expect("checked");
            black_box(&stream).iter().for_each(|key| sketch.add(key, 1));
            sketch
        });
    });
    group.bench_function("datasketches", |b| {
        b.iter(|| peer_count_min(black_box(&stream)).expect("checked"));
    });
    group.finish();
    let comparison = |measure, ours| Comparison {
        measure,
        group: "count_min_update",
        ours,
        peer: "datasketches",
        work: Work::Operations(count as u64),
        goal: None,
    };
    compare_by(
        suite,
        comparison("Count-Min 5 x 10000, update", "plain"),
        4.0,
        0.229,
    );
    compare_by(
        suite,
        comparison("Count-Min 5 x 10000, conservative update", "conservative"),
        10.0,
        0.571,
    );
    for (measure, ours) in [
        ("Count-Min 5 x 10000, atomic update", "atomic"),
        ("Count-Sketch 5 x 10000, update", "count-sketch"),
    ] {
        suite.compare(comparison(measure, ours));
    }
    frequency_errors(suite, &stream)?;
    two_threads(suite, &stream)
}

/// Mean error of an estimate, and bytes.
fn frequency_errors(suite: &mut Suite, stream: &[u64]) -> Result<(), BenchError> {
    let mut exact: HashMap<u64, u64> = HashMap::new();
    stream
        .iter()
        .for_each(|key| *exact.entry(*key).or_default() += 1);
    let plain = count_min(Update::Plain, stream)?;
    let conservative = count_min(Update::Conservative, stream)?;
    let signed = count_sketch(stream)?;
    let (mut plain_sum, mut conservative_sum, mut signed_sum) = (0, 0, 0);
    for (key, count) in &exact {
        plain_sum += plain.estimate(key) - count;
        conservative_sum += conservative.estimate(key) - count;
        signed_sum += signed.estimate(key).abs_diff(count.cast_signed());
    }
    let mean = |sum: u64| sum as f64 / float(exact.len());
    suite.record(
        Row::new(
            "Count-Min 5 x 10000, mean error, conservative",
            "count",
            mean(conservative_sum),
        )
        .against("plain", mean(plain_sum))
        .goal(Goal::RatioAtMost(0.56)),
    );
    suite.record(
        Row::new(
            "Count-Sketch 5 x 10000, mean error",
            "count",
            mean(signed_sum),
        )
        .against("plain Count-Min", mean(plain_sum)),
    );
    suite.record(
        Row::new(
            "Count-Min 5 x 10000, memory",
            "KiB",
            float(plain.memory_bytes()) / 1024.0,
        )
        .goal(Goal::OursAtMost(195.5)),
    );
    Ok(())
}

/// Updates per second of two threads over one, each thread with a stream of its own: as slices, which
/// threads count apart and add, and key by key, where they wait for each other's cache lines.
fn two_threads(suite: &mut Suite, stream: &[u64]) -> Result<(), BenchError> {
    let slices = rates(suite, stream, |sketch, keys| sketch.insert_each(keys))?;
    let each = rates(suite, stream, |sketch, keys| {
        keys.iter().for_each(|key| sketch.add(key, 1));
    })?;
    let row = |measure, [one, two]: [f64; 2]| {
        Row::new(measure, "M/s", two / 1e6).against("one thread", one / 1e6)
    };
    suite
        .record(row("Count-Min atomic, slices, two threads", slices).goal(Goal::RatioAtLeast(1.7)));
    suite.record(row("Count-Min atomic, key by key, two threads", each));
    Ok(())
}

/// Best updates per second of one and of two threads.
fn rates(
    suite: &Suite,
    stream: &[u64],
    fill: impl Fn(&AtomicCountMin, &[u64]) + Sync,
) -> Result<[f64; 2], BenchError> {
    let run = |threads: usize| -> Result<f64, BenchError> {
        let sketch = AtomicCountMin::with_size(DEPTH, WIDTH)?;
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (sketch, fill) = (&sketch, &fill);
                scope.spawn(move || {
                    let (before, after) = stream.split_at(thread * stream.len() / 2);
                    fill(sketch, after);
                    fill(sketch, before);
                });
            }
        });
        Ok(float(threads * stream.len()) / start.elapsed().as_secs_f64())
    };
    let mut best = [0.0_f64; 2];
    for _ in 0..suite.size(1, 15) {
        for (best, threads) in best.iter_mut().zip([1, 2]) {
            *best = best.max(run(threads)?);
        }
    }
    Ok(best)
}

pub(crate) fn top_k(suite: &mut Suite) -> Result<(), BenchError> {
    let count = suite.size(10_000, 1_000_000);
    let stream = stream(count, 5);
    let fill_frequent = || -> Result<FrequentItems<u64>, BenchError> {
        let mut sketch = FrequentItems::new(FREQUENT_ITEMS)?;
        sketch.insert_each(&stream);
        Ok(sketch)
    };
    let fill_one_by_one = || -> Result<FrequentItems<u64>, BenchError> {
        let mut sketch = FrequentItems::new(FREQUENT_ITEMS)?;
        stream.iter().for_each(|key| sketch.insert(*key));
        Ok(sketch)
    };
    let fill_saving = || -> Result<SpaceSaving<u64>, BenchError> {
        let mut sketch = SpaceSaving::new(SPACE_SAVING)?;
        stream.iter().for_each(|key| sketch.insert(*key));
        Ok(sketch)
    };
    let fill_peer = || -> Result<FrequentItemsSketch<u64>, BenchError> {
        let mut sketch = FrequentItemsSketch::new(PEER_MAP)?;
        stream.iter().for_each(|key| sketch.update(*key));
        Ok(sketch)
    };
    let exact = stream.iter().filter(|key| **key == 0).count() as u64;
    let (frequent, saving, peer) = (fill_frequent()?, fill_saving()?, fill_peer()?);
    for first in [frequent.top(1), fill_one_by_one()?.top(1), saving.top(1)] {
        let first = first.into_iter().next().ok_or("no heavy item")?;
        if first.item != 0 || first.count < exact || first.count - first.error > exact {
            let (item, count, error) = (first.item, first.count, first.error);
            return Err(format!("heaviest key {item} has {count} +- {error}").into());
        }
    }
    if peer.upper_bound(&0) < exact {
        return Err("datasketches: upper bound below the true count".into());
    }
    let mut group = suite.criterion().benchmark_group("top_k_update");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("frequent-items", |b| {
        b.iter(|| fill_frequent().expect("checked"))
    });
    group.bench_function("frequent-items, one by one", |b| {
        b.iter(|| fill_one_by_one().expect("checked"))
    });
    group.bench_function("space-saving", |b| {
        b.iter(|| fill_saving().expect("checked"))
    });
    group.bench_function("datasketches", |b| b.iter(|| fill_peer().expect("checked")));
    group.finish();
    for (measure, ours) in [
        ("top-100, frequent items in 26 KB, slice", "frequent-items"),
        (
            "top-100, frequent items in 26 KB, one by one",
            "frequent-items, one by one",
        ),
        ("top-100, Space-Saving in 26 KB, one by one", "space-saving"),
    ] {
        let comparison = Comparison {
            measure,
            group: "top_k_update",
            ours,
            peer: "datasketches",
            work: Work::Operations(count as u64),
            goal: None,
        };
        compare_by(suite, comparison, 8.0, 0.597);
    }
    let rows = peer.frequent_items(ErrorType::NoFalseNegatives);
    let theirs = rows
        .iter()
        .take(100)
        .filter(|row| *row.item() < 100)
        .count();
    let kib = |bytes: usize| float(bytes) / 1024.0;
    let found = |items: Vec<sketches::Heavy<u64>>| items.iter().filter(|h| h.item < 100).count();
    for (name, found, bytes) in [
        (
            "frequent items",
            found(frequent.top(100)),
            frequent.memory_bytes(),
        ),
        (
            "Space-Saving",
            found(saving.top(100)),
            saving.memory_bytes(),
        ),
    ] {
        let what = format!("top-100, {name}, found of the true hundred");
        suite.record(
            Row::new(&what, "keys", float(found))
                .against("datasketches", float(theirs))
                .goal(Goal::OursAtLeast(98.0)),
        );
        suite.record(
            Row::new(&format!("top-100, {name}, memory"), "KiB", kib(bytes))
                .goal(Goal::OursAtMost(26.0)),
        );
    }
    Ok(())
}
