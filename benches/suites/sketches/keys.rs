//! Keys of several kinds in structures of several sizes, hashing under a secret key, and memory times
//! square error of the HyperLogLogs.
//!
//! `probminhash` is given XXH3 of our crate as its hasher, since hashing is not what is compared.

use crate::{float, keys, near};
use criterion::Throughput;
use datasketches::hll::{HllSketch, HllType};
use hyperloglogplus::{HyperLogLog as _, HyperLogLogPlus};
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use probminhash::densminhash::OptDensMinHash;
use sketches::hash::{Keyed, SipKey, StableHasher};
use sketches::similarity::OnePermutation;
use sketches::{HyperLogLog, SplitBlockBloom};
use std::hash::{BuildHasherDefault, Hash, Hasher, RandomState};
use std::hint::black_box;

const PRECISION: u8 = 14;

pub(crate) fn kinds_of_keys(suite: &mut Suite) -> Result<(), BenchError> {
    let numbers = keys(suite.size(2_000, 1_000_000), 21);
    let ids: Vec<[u8; 16]> = numbers.iter().map(|number| id(*number)).collect();
    let texts: Vec<String> = numbers.iter().map(|number| text(*number)).collect();
    counts(suite, "u64", &numbers)?;
    counts(suite, "16-byte ids", &ids)?;
    counts(suite, "64-byte strings", &texts)?;
    // 20,000 keys take 26 KB, inside L2; a million take 1.3 MB.
    for size in [suite.size(1_000, 20_000), numbers.len()] {
        filters(suite, "u64", &numbers[..size])?;
        filters(suite, "16-byte ids", &ids[..size])?;
        filters(suite, "64-byte strings", &texts[..size])?;
    }
    optimal_densification(suite)?;
    memory_times_error(suite)
}

fn id(number: u64) -> [u8; 16] {
    let both = u128::from(number) << 64 | u128::from(!number);
    both.to_le_bytes()
}

fn text(number: u64) -> String {
    format!("{number:032x}{:032x}", number.rotate_left(17))
}

/// HyperLogLog with the stable hash and under a secret key, beside datasketches.
fn counts<K: Hash>(suite: &mut Suite, kind: &str, keys: &[K]) -> Result<(), BenchError> {
    let seeded = || {
        let mut sketch = HyperLogLog::new(PRECISION).expect("a legal precision");
        sketch.insert_each(black_box(keys));
        sketch
    };
    let secret = || {
        let build = |seed| HyperLogLog::with_seed(PRECISION, seed);
        let mut sketch = Keyed::new(SipKey::new([1, 2]), build).expect("a legal precision");
        sketch.extend(black_box(keys));
        sketch
    };
    let peer = || {
        let mut sketch = HllSketch::new(PRECISION, HllType::Hll8).expect("a legal precision");
        black_box(keys).iter().for_each(|key| sketch.update(key));
        sketch
    };
    let count = float(keys.len());
    near("seeded", seeded().estimate(), count, 0.05)?;
    near("secret", secret().sketch().estimate(), count, 0.05)?;
    near("datasketches", peer().estimate(), count, 0.05)?;
    let name = format!("hll_keys_{kind}");
    let mut group = suite.criterion().benchmark_group(&name);
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("seeded", |b| b.iter(seeded));
    group.bench_function("secret", |b| b.iter(secret));
    group.bench_function("datasketches", |b| b.iter(peer));
    group.finish();
    for (ours, peer, what) in [
        ("seeded", "datasketches", "insert"),
        ("secret", "seeded", "insert under a secret key"),
        ("secret", "datasketches", "insert under a secret key"),
    ] {
        suite.compare(Comparison {
            measure: &format!("HyperLogLog p14, {what}, {kind}"),
            group: &name,
            ours,
            peer,
            work: Work::Operations(keys.len() as u64),
            goal: (peer == "datasketches" && ours == "seeded").then_some(Goal::RatioAtMost(1.0)),
        });
    }
    Ok(())
}

/// Split-block filters of 1 %, beside fastbloom: build, then ask for the keys that are there.
fn filters<K: Hash>(suite: &mut Suite, kind: &str, keys: &[K]) -> Result<(), BenchError> {
    let count = keys.len() as u64;
    let ours = || {
        let mut filter = SplitBlockBloom::with_rate(count, 0.01).expect("a legal rate");
        filter.insert_each(black_box(keys));
        filter
    };
    let peer = || {
        let mut filter = fastbloom::BloomFilter::with_false_pos(0.01).expected_items(keys.len());
        black_box(keys).iter().for_each(|key| {
            filter.insert(key);
        });
        filter
    };
    let (filled, theirs) = (ours(), peer());
    let mut found = Vec::new();
    filled.contains_each(keys, &mut found);
    if !found.iter().all(|found| *found) || !keys.iter().all(|key| theirs.contains(key)) {
        return Err("a filter forgot a key".into());
    }
    let name = format!("bloom_keys_{kind}_{count}");
    let mut group = suite.criterion().benchmark_group(&name);
    group.throughput(Throughput::Elements(count));
    group.bench_function("build", |b| b.iter(ours));
    group.bench_function("fastbloom build", |b| b.iter(peer));
    group.bench_function("present", |b| {
        b.iter(|| filled.contains_each(black_box(keys), &mut found));
    });
    group.bench_function("fastbloom present", |b| {
        b.iter(|| keys.iter().filter(|key| theirs.contains(*key)).count());
    });
    group.finish();
    for (ours, peer) in [
        ("build", "fastbloom build"),
        ("present", "fastbloom present"),
    ] {
        suite.compare(Comparison {
            measure: &format!("split-block Bloom 1 % of {count}, {ours}, {kind}"),
            group: &name,
            ours,
            peer,
            work: Work::Operations(count),
            goal: Some(Goal::RatioAtMost(0.4)),
        });
    }
    Ok(())
}

/// Our hash as a hasher that builds itself.
struct Stable(StableHasher);

impl Default for Stable {
    fn default() -> Self {
        Self(StableHasher::new(1))
    }
}

impl Hasher for Stable {
    fn finish(&self) -> u64 {
        self.0.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
    fn write_u64(&mut self, value: u64) {
        self.0.write_u64(value);
    }
}

/// One-permutation MinHash beside the optimal densification of probminhash.
fn optimal_densification(suite: &mut Suite) -> Result<(), BenchError> {
    const BINS: usize = 128;
    let all = keys(1_500, 23);
    let (a, b) = (&all[..1_000], &all[500..]);
    let ours = |keys: &[u64]| {
        let mut set = OnePermutation::new(BINS, 1).expect("a legal number of bins");
        set.insert_each(keys);
        set.into_signature()
    };
    let peer = |keys: &[u64]| {
        let mut set = OptDensMinHash::<f64, u64, Stable>::new(BINS, BuildHasherDefault::default());
        set.sketch_slice(keys).expect("a set that is not empty");
        set.get_hsketch_u64()
    };
    let (left, right) = (peer(a), peer(b));
    let agree = left.iter().zip(&right).filter(|(a, b)| a == b).count();
    for (name, estimate) in [
        ("one permutation", ours(a).jaccard(&ours(b))?),
        ("probminhash", float(agree) / float(BINS)),
    ] {
        // A third of all elements are in both; three standard errors.
        if (estimate - 1.0 / 3.0).abs() > 0.13 {
            return Err(format!("{name}: {estimate} instead of 0.333").into());
        }
    }
    let mut group = suite.criterion().benchmark_group("optimal_densification");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("ours", |b| b.iter(|| ours(black_box(a))));
    group.bench_function("probminhash", |b| b.iter(|| peer(black_box(a))));
    group.finish();
    suite.compare(Comparison {
        measure: "one-permutation MinHash 128 of 1000, per element, densified",
        group: "optimal_densification",
        ours: "ours",
        peer: "probminhash",
        work: Work::Operations(1_000),
        goal: Some(Goal::RatioAtMost(1.0)),
    });
    Ok(())
}

/// Bits of memory times the mean square of the relative error, all in one stream: the peers keep a
/// history that merging loses, which ours does without.
fn memory_times_error(suite: &mut Suite) -> Result<(), BenchError> {
    let (trials, count) = (suite.size(3, 200), suite.size(20_000, 100_000));
    let mut squares = [0.0; 3];
    let mut bytes = [0; 3];
    for trial in 0..trials {
        let keys = keys(count, 9_000 + trial as u64);
        let mut ours = HyperLogLog::new(PRECISION)?;
        ours.insert_each(&keys);
        let mut apache = HllSketch::new(PRECISION, HllType::Hll8)?;
        let mut plus: HyperLogLogPlus<u64, RandomState> =
            HyperLogLogPlus::new(PRECISION, RandomState::new())?;
        for key in &keys {
            apache.update(key);
            plus.insert(key);
        }
        let estimates = [ours.estimate(), apache.estimate(), plus.count()];
        for (sum, estimate) in squares.iter_mut().zip(estimates) {
            *sum += (estimate / float(count) - 1.0).powi(2);
        }
        // The third peer packs ranks into words of 32 bits, five in each.
        bytes = [
            ours.memory_bytes(),
            apache.estimated_size(),
            4 * (1_usize << PRECISION).div_ceil(5),
        ];
    }
    let product = |at: usize| 8.0 * float(bytes[at]) * squares[at] / float(trials);
    for (at, peer) in [(1, "datasketches HLL_8, history"), (2, "hyperloglogplus")] {
        suite.record(
            Row::new(
                "HyperLogLog p14 in one stream, memory x error^2",
                "bit",
                product(0),
            )
            .against(peer, product(at)),
        );
    }
    Ok(())
}
