//! Quantiles: DDSketch, t-digest and KLL beside their peers.

use crate::{compare_by, float, near};
use criterion::Throughput;
use datasketches::tdigest::TDigestMut;
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use sketches::DdSketch;
use sketches::quantiles::{Kll, Quantiles, TDigest};
use sketches_ddsketch::{Config, DDSketch as PeerDdSketch};
use std::hint::black_box;

/// Compression of ours with the rank error of the peer's 200, which keeps up to twice that many
/// clusters.
const COMPRESSION: u32 = 300;

const RANKS: [f64; 9] = [0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999];

fn fill<Q: Quantiles>(mut sketch: Q, values: &[f64]) -> Q {
    values.iter().for_each(|value| sketch.insert(*value));
    sketch
}

fn peer_tdigest(values: &[f64]) -> Result<TDigestMut, BenchError> {
    let mut sketch = TDigestMut::new(200)?;
    values.iter().for_each(|value| sketch.update(*value));
    Ok(sketch)
}

fn peer_ddsketch(values: &[f64]) -> PeerDdSketch {
    let mut sketch = PeerDdSketch::new(Config::defaults());
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

fn peer_tdigest_crate(values: &[f64]) -> tdigest::TDigest {
    let mut sketch = tdigest::TDigest::new_with_size(200);
    values.iter().for_each(|value| sketch.push(*value));
    sketch.flush();
    sketch
}

/// A histogram of whole numbers: values are scaled to millionths, three digits kept.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn peer_histogram(values: &[f64]) -> Result<hdrhistogram::Histogram<u64>, BenchError> {
    let mut sketch = hdrhistogram::Histogram::new_with_bounds(1, 1_000_000_000, 2)?;
    for value in values {
        sketch.record((value * 1e6) as u64)?;
    }
    Ok(sketch)
}

pub(crate) fn quantiles(suite: &mut Suite) -> Result<(), BenchError> {
    let count = suite.size(10_000, 1_000_000);
    let mut seeded = SplitMix64::new(8);
    // Exponential, as waiting times are.
    let values: Vec<f64> = (0..count).map(|_| -(1.0 - seeded.unit()).ln()).collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let exact = sorted[(count - 1) * 99 / 100];
    let relative = fill(DdSketch::new(0.01)?, &values);
    near(
        "DDSketch p99",
        relative.quantile(0.99).ok_or("empty")?,
        exact,
        0.0101,
    )?;
    let digest = fill(TDigest::new(COMPRESSION)?, &values);
    near(
        "t-digest p99",
        digest.quantile(0.99).ok_or("empty")?,
        exact,
        0.02,
    )?;
    near(
        "datasketches p99",
        peer_tdigest(&values)?.quantile(0.99)?.ok_or("empty")?,
        exact,
        0.02,
    )?;
    let kll = fill(Kll::new(200)?, &values);
    near(
        "KLL p50",
        kll.quantile(0.5).ok_or("empty")?,
        sorted[count / 2],
        0.06,
    )?;
    let mut group = suite.criterion().benchmark_group("quantiles_insert");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("ddsketch", |b| {
        b.iter(|| fill(DdSketch::new(0.01).expect("checked"), black_box(&values)));
    });
    group.bench_function("ddsketch-slice", |b| {
        b.iter(|| {
            let mut sketch = DdSketch::new(0.01).expect("checked");
            sketch.insert_each(black_box(&values));
            sketch
        });
    });
    group.bench_function("tdigest", |b| {
        b.iter(|| {
            let mut sketch = fill(
                TDigest::new(COMPRESSION).expect("checked"),
                black_box(&values),
            );
            sketch.flush();
            sketch
        });
    });
    group.bench_function("kll", |b| {
        b.iter(|| fill(Kll::new(200).expect("checked"), black_box(&values)));
    });
    group.bench_function("datasketches-tdigest", |b| {
        b.iter(|| peer_tdigest(black_box(&values)).expect("checked"));
    });
    group.bench_function("sketches-ddsketch", |b| {
        b.iter(|| peer_ddsketch(black_box(&values)))
    });
    group.bench_function("tdigest-crate", |b| {
        b.iter(|| peer_tdigest_crate(black_box(&values)))
    });
    group.bench_function("hdrhistogram", |b| {
        b.iter(|| peer_histogram(black_box(&values)).expect("checked"));
    });
    group.finish();
    let comparison = |measure, ours, peer| Comparison {
        measure,
        group: "quantiles_insert",
        ours,
        peer,
        work: Work::Operations(count as u64),
        goal: None,
    };
    let (one, slice) = ("DDSketch 1 %, insert", "DDSketch 1 %, insert of a slice");
    let digest = "t-digest of the error of 200, insert";
    for (measure, ours, peer, nanoseconds, ratio) in [
        (one, "ddsketch", "sketches-ddsketch", 2.0, 0.204),
        (slice, "ddsketch-slice", "sketches-ddsketch", 2.0, 0.204),
        (digest, "tdigest", "datasketches-tdigest", 14.0, 0.326),
        (digest, "tdigest", "tdigest-crate", 14.0, 0.538),
    ] {
        compare_by(suite, comparison(measure, ours, peer), nanoseconds, ratio);
    }
    suite.compare(comparison(slice, "ddsketch-slice", "hdrhistogram"));
    suite.compare(comparison("KLL 200, insert", "kll", "datasketches-tdigest"));
    rank_errors(suite)
}

/// Mean distance of the rank of an answer from the rank asked for, over independent streams.
fn rank_errors(suite: &mut Suite) -> Result<(), BenchError> {
    let (trials, size) = (suite.size(2, 50), 100_000);
    let (mut digest, mut peer, mut kll) = (0.0, 0.0, 0.0);
    for trial in 0..trials {
        let mut seeded = SplitMix64::new(3000 + trial as u64);
        let values: Vec<f64> = (0..size).map(|_| -(1.0 - seeded.unit()).ln()).collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = |answer: f64| float(sorted.partition_point(|v| *v < answer)) / float(size);
        let ours = fill(TDigest::new(COMPRESSION)?, &values);
        let mut theirs = peer_tdigest(&values)?;
        let compactor = fill(Kll::new(200)?, &values);
        for q in RANKS {
            digest += (rank(ours.quantile(q).ok_or("empty")?) - q).abs();
            peer += (rank(theirs.quantile(q)?.ok_or("empty")?) - q).abs();
            kll += (rank(compactor.quantile(q).ok_or("empty")?) - q).abs();
        }
    }
    let percent = |sum: f64| 100.0 * sum / float(trials * RANKS.len());
    suite.record(
        Row::new(
            "t-digest of the error of 200, mean rank error",
            "%",
            percent(digest),
        )
        .against("datasketches-tdigest", percent(peer))
        .goal(Goal::RatioAtMost(1.0)),
    );
    suite.record(
        Row::new("KLL 200, mean rank error", "%", percent(kll))
            .against("datasketches-tdigest", percent(peer)),
    );
    Ok(())
}
