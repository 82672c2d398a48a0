//! How many different keys: HyperLogLog, UltraLogLog and ExaLogLog beside their peers.
//!
//! The crates `ultraloglog` and `exaloglog` are given hashes of our hash function, made inside the
//! measured loop, since hashing is not what is compared.

use crate::{compare_by, float, keys, near};
use criterion::Throughput;
use datasketches::hll::{HllSketch, HllType};
use hyperloglogplus::{HyperLogLog as _, HyperLogLogPlus};
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use sketches::distinct::{AtomicHyperLogLog, LogLogSketch, Shape};
use sketches::hash::hash_of;
use sketches::{ExaLogLog, HyperLogLog, UltraLogLog};
use std::hash::RandomState;
use std::hint::black_box;

const PRECISION: u8 = 14;

pub(crate) fn distinct(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = keys(suite.size(10_000, 1_000_000), 1);
    hll_insert(suite, &keys)?;
    hll_few(suite)?;
    hll_atomic(suite)?;
    loglog(suite, &keys)?;
    // Half a milliard keys.
    if !suite.is_short() {
        memory_times_error(suite)?;
    }
    distinct_error(suite)
}

fn hll(keys: &[u64]) -> HyperLogLog {
    let mut sketch = HyperLogLog::new(PRECISION).expect("a legal precision");
    sketch.insert_each(keys);
    sketch
}

fn apache(keys: &[u64]) -> HllSketch {
    let mut sketch = HllSketch::new(PRECISION, HllType::Hll8).expect("a legal precision");
    keys.iter().for_each(|key| sketch.update(key));
    sketch
}

fn plus(keys: &[u64]) -> HyperLogLogPlus<u64, RandomState> {
    let mut sketch =
        HyperLogLogPlus::new(PRECISION, RandomState::new()).expect("a legal precision");
    keys.iter().for_each(|key| sketch.insert(key));
    sketch
}

fn compare(suite: &mut Suite, measure: &str, names: [&str; 3], count: usize, goal: Option<Goal>) {
    let [group, ours, peer] = names;
    suite.compare(Comparison {
        measure,
        group,
        ours,
        peer,
        work: Work::Operations(count as u64),
        goal,
    });
}

fn hll_insert(suite: &mut Suite, keys: &[u64]) -> Result<(), BenchError> {
    let count = keys.len();
    near("sketches hll", hll(keys).estimate(), float(count), 0.05)?;
    near("hyperloglogplus", plus(keys).count(), float(count), 0.05)?;
    near(
        "datasketches hll",
        apache(keys).estimate(),
        float(count),
        0.05,
    )?;
    let mut filled = hll(keys);
    let mut group = suite.criterion().benchmark_group("hll_insert");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("new and slice", |b| b.iter(|| hll(keys)));
    group.bench_function("new and one by one", |b| {
        b.iter(|| {
            let mut sketch = HyperLogLog::new(PRECISION).expect("a legal precision");
            keys.iter().for_each(|key| sketch.insert(key));
            sketch
        });
    });
    group.bench_function("filled and slice", |b| b.iter(|| filled.insert_each(keys)));
    group.bench_function("hyperloglogplus", |b| b.iter(|| plus(keys)));
    group.bench_function("datasketches", |b| b.iter(|| apache(keys)));
    group.finish();
    let bytes = hll(keys).memory_bytes();
    for ours in ["new and slice", "new and one by one", "filled and slice"] {
        for (peer, ratio) in [("hyperloglogplus", 0.406), ("datasketches", 0.283)] {
            let comparison = Comparison {
                measure: &format!("HyperLogLog p14, insert u64, {ours}, {bytes} bytes"),
                group: "hll_insert",
                ours,
                peer,
                work: Work::Operations(count as u64),
                goal: None,
            };
            compare_by(suite, comparison, 1.3, ratio);
        }
    }
    let encoded = float(hll(keys).to_bytes().len());
    suite.record(
        Row::new("HyperLogLog p14, encoded", "byte", encoded)
            .against("datasketches HLL_8", float(apache(keys).serialize().len())),
    );
    Ok(())
}

/// A sketch of a hundred keys, from `new` until it is dropped.
fn hll_few(suite: &mut Suite) -> Result<(), BenchError> {
    const FEW: usize = 100;
    let few = keys(FEW, 7);
    near("few keys", hll(&few).estimate(), float(FEW), 0.0)?;
    let mut group = suite.criterion().benchmark_group("hll_few");
    group.throughput(Throughput::Elements(FEW as u64));
    group.bench_function("slice", |b| b.iter(|| hll(black_box(&few))));
    group.bench_function("one by one", |b| {
        b.iter(|| {
            let mut sketch = HyperLogLog::new(PRECISION).expect("a legal precision");
            black_box(&few).iter().for_each(|key| sketch.insert(key));
            sketch
        });
    });
    group.bench_function("datasketches", |b| b.iter(|| apache(black_box(&few))));
    group.finish();
    for ours in ["slice", "one by one"] {
        let measure = format!("HyperLogLog p14, 100 keys from new, {ours}");
        let goal = Some(Goal::OursAtMost(8.0));
        compare(
            suite,
            &measure,
            ["hll_few", ours, "datasketches"],
            FEW,
            goal,
        );
    }
    Ok(())
}

fn hll_atomic(suite: &mut Suite) -> Result<(), BenchError> {
    // Long enough for the start of a thread not to matter.
    let keys = &keys(suite.size(10_000, 4_000_000), 3);
    let count = keys.len();
    let mut group = suite.criterion().benchmark_group("hll_atomic");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("one thread", |b| {
        b.iter(|| {
            let sketch = AtomicHyperLogLog::new(PRECISION).expect("a legal precision");
            sketch.insert_each(keys);
            sketch
        });
    });
    group.bench_function("two threads", |b| {
        b.iter(|| {
            let sketch = AtomicHyperLogLog::new(PRECISION).expect("a legal precision");
            std::thread::scope(|scope| {
                for part in keys.chunks(count.div_ceil(2)) {
                    let sketch = &sketch;
                    scope.spawn(move || sketch.insert_each(part));
                }
            });
            sketch
        });
    });
    let filled = AtomicHyperLogLog::new(PRECISION)?;
    filled.insert_each(keys);
    group.bench_function("filled, key by key, one thread", |b| {
        b.iter(|| keys.iter().for_each(|key| filled.insert(key)));
    });
    group.bench_function("filled, key by key, two threads", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for part in keys.chunks(count.div_ceil(2)) {
                    let filled = &filled;
                    scope.spawn(move || part.iter().for_each(|key| filled.insert(key)));
                }
            });
        });
    });
    group.bench_function("plain", |b| b.iter(|| hll(keys)));
    group.finish();
    let at = "hll_atomic";
    compare(
        suite,
        "atomic HyperLogLog p14",
        [at, "one thread", "plain"],
        count,
        None,
    );
    let goal = Some(Goal::RatioAtMost(0.59));
    let names = [at, "two threads", "one thread"];
    let measure = "atomic HyperLogLog p14, slices, two threads";
    compare(suite, measure, names, count, goal);
    let names = [
        at,
        "filled, key by key, two threads",
        "filled, key by key, one thread",
    ];
    let measure = "atomic HyperLogLog p14, filled, key by key, two threads";
    compare(suite, measure, names, count, goal);
    Ok(())
}

/// Exa at p10 and Ultra at p12 have nearly the same error.
fn loglog(suite: &mut Suite, keys: &[u64]) -> Result<(), BenchError> {
    let count = keys.len();
    let exa = filled::<sketches::distinct::Exa>(10, keys);
    let ultra = filled::<sketches::distinct::Ultra>(12, keys);
    let mut theirs = exaloglog::ExaLogLog::new_dense(10);
    keys.iter().for_each(|key| theirs.add_hash(hash_of(key, 0)));
    near("exaloglog", exa.estimate(), float(count), 0.05)?;
    near("ultraloglog", ultra.estimate(), float(count), 0.06)?;
    near("crate exaloglog", theirs.estimate_ml(), float(count), 0.05)?;
    let mut group = suite.criterion().benchmark_group("loglog");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("exa", |b| {
        b.iter(|| filled::<sketches::distinct::Exa>(10, keys))
    });
    group.bench_function("exa, one by one", |b| {
        b.iter(|| {
            let mut sketch = ExaLogLog::new(10).expect("a legal precision");
            keys.iter().for_each(|key| sketch.insert(key));
            sketch
        });
    });
    group.bench_function("ultra", |b| {
        b.iter(|| filled::<sketches::distinct::Ultra>(12, keys))
    });
    group.bench_function("exaloglog", |b| {
        b.iter(|| {
            let mut sketch = exaloglog::ExaLogLog::new_dense(10);
            keys.iter().for_each(|key| sketch.add_hash(hash_of(key, 0)));
            sketch
        });
    });
    group.bench_function("ultraloglog", |b| {
        b.iter(|| {
            let mut sketch = ultraloglog::UltraLogLog::new(12).expect("a legal precision");
            keys.iter().for_each(|key| {
                sketch.add(hash_of(key, 0));
            });
            sketch
        });
    });
    group.finish();
    let mut group = suite.criterion().benchmark_group("loglog_estimate");
    group.bench_function("exa", |b| b.iter(|| black_box(&exa).estimate()));
    group.bench_function("exaloglog", |b| b.iter(|| black_box(&theirs).estimate_ml()));
    group.finish();
    for (measure, ours, peer) in [
        (
            "ExaLogLog p10, 3584 bytes, new and slice",
            "exa",
            "exaloglog",
        ),
        (
            "ExaLogLog p10, 3584 bytes, new and one by one",
            "exa, one by one",
            "exaloglog",
        ),
        (
            "UltraLogLog p12, 4096 bytes, new and slice",
            "ultra",
            "ultraloglog",
        ),
    ] {
        let goal = Some(Goal::OursAtMost(4.0));
        compare(suite, measure, ["loglog", ours, peer], count, goal);
    }
    let goal = Some(Goal::OursAtMost(20_000.0));
    let names = ["loglog_estimate", "exa", "exaloglog"];
    compare(suite, "ExaLogLog p10, most likely estimate", names, 1, goal);
    Ok(())
}

fn filled<S: Shape>(precision: u8, keys: &[u64]) -> LogLogSketch<S> {
    let mut sketch = LogLogSketch::new(precision).expect("a legal precision");
    sketch.insert_each(keys);
    sketch
}

/// Bits of memory times the mean square of the relative error, of sketches merged from two halves of
/// a stream of random hashes. The mean square of 2,000 trials has a standard deviation of 3 %.
fn memory_times_error(suite: &mut Suite) -> Result<(), BenchError> {
    const PRECISION: u8 = 8;
    let (trials, half) = (suite.size(3, 2_000), suite.size(1_000, 125_000));
    let (mut exa, mut ultra, mut theirs) = (0.0, 0.0, 0.0);
    let mut random = SplitMix64::new(42);
    let mut parts = [ExaLogLog::new(PRECISION)?, ExaLogLog::new(PRECISION)?];
    let mut ultras = [UltraLogLog::new(PRECISION)?, UltraLogLog::new(PRECISION)?];
    for _ in 0..trials {
        let mut peer = [(); 2].map(|()| exaloglog::ExaLogLog::new_dense(u32::from(PRECISION)));
        for ((part, ultra), peer) in parts.iter_mut().zip(&mut ultras).zip(&mut peer) {
            part.clear();
            ultra.clear();
            let hashes: Vec<u64> = (0..half).map(|_| random.bits()).collect();
            part.insert_hashes(&hashes);
            ultra.insert_hashes(&hashes);
            hashes.iter().for_each(|hash| peer.add_hash(*hash));
        }
        let [left, right] = &mut parts;
        left.merge(right)?;
        let [ultra_left, ultra_right] = &mut ultras;
        ultra_left.merge(ultra_right)?;
        let [peer_left, peer_right] = &mut peer;
        peer_left
            .merge(peer_right)
            .map_err(|_| "the peer does not merge")?;
        let square = |estimate: f64| (estimate / float(2 * half) - 1.0).powi(2);
        exa += square(left.estimate());
        ultra += square(ultra_left.estimate());
        theirs += square(peer_left.estimate_ml());
    }
    let product = |bytes: usize, sum: f64| 8.0 * float(bytes) * sum / float(trials);
    let peer_bytes = exaloglog::ExaLogLog::new_dense(u32::from(PRECISION)).register_bytes();
    let peer = product(peer_bytes, theirs);
    let name = "ExaLogLog p8 merged, memory x error^2";
    suite.record(
        Row::new(name, "bit", product(parts[0].register_bytes(), exa))
            .against("exaloglog", peer)
            .goal(Goal::OursAtMost(3.8)),
    );
    let name = "UltraLogLog p8 merged, memory x error^2";
    suite.record(
        Row::new(name, "bit", product(ultras[0].register_bytes(), ultra))
            .against("exaloglog", peer),
    );
    Ok(())
}

/// Relative error over many independent sets, at a size where all registers are in use.
fn distinct_error(suite: &mut Suite) -> Result<(), BenchError> {
    let (trials, size) = (suite.size(3, 200), 100_000);
    let (mut ours, mut theirs) = (0.0, 0.0);
    for trial in 0..trials {
        let keys = keys(size, 1000 + trial as u64);
        ours += (hll(&keys).estimate() / float(size) - 1.0).powi(2);
        theirs += (apache(&keys).estimate() / float(size) - 1.0).powi(2);
    }
    let rms = |sum: f64| 100.0 * (sum / float(trials)).sqrt();
    suite.record(
        Row::new("HyperLogLog p14, RMS error at 100,000", "%", rms(ours))
            .against("datasketches", rms(theirs))
            .goal(Goal::OursAtMost(0.85)),
    );
    Ok(())
}
