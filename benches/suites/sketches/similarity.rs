//! How alike two sets are, and which sets are alike: signatures and an index beside their peers.

use crate::{float, keys};
use criterion::Throughput;
use gaoya::minhash::{MinHashIndex, MinHasher as _, MinHasher32};
use minhash_rs::prelude::{MinHash as DenseMinHash, MinHasher as _};
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use probabilistic_collections::similarity::MinHash as PeerMinHash;
use sketches::similarity::{Banding, OnePermutation};
use sketches::{LshIndex, MinHash, Signature};
use std::hint::black_box;
use std::time::Instant;

const PERMUTATIONS: usize = 128;

pub(crate) fn similarity(suite: &mut Suite) -> Result<(), BenchError> {
    signatures(suite)?;
    one_permutation_error(suite)?;
    index(suite)
}

fn sign(keys: &[u64]) -> Result<Signature, BenchError> {
    let mut minhash = MinHash::new(PERMUTATIONS, 1)?;
    minhash.insert_each(keys);
    Ok(minhash.into_signature())
}

fn sign_once(keys: &[u64], bins: usize) -> Result<Signature, BenchError> {
    let mut set = OnePermutation::new(bins, 1)?;
    set.insert_each(keys);
    Ok(set.into_signature())
}

fn signatures(suite: &mut Suite) -> Result<(), BenchError> {
    let (a, b) = (keys(1000, 6), keys(1000, 7));
    // Half of `c` is `a`: the true similarity is 500 / 1500.
    let c: Vec<u64> = a[..500].iter().chain(&b[..500]).copied().collect();
    let dense =
        |keys: &[u64]| -> DenseMinHash<u32, PERMUTATIONS> { keys.iter().copied().collect() };
    for (name, estimate) in [
        ("MinHash", sign(&a)?.jaccard(&sign(&c)?)?),
        (
            "one permutation",
            sign_once(&a, PERMUTATIONS)?.jaccard(&sign_once(&c, PERMUTATIONS)?)?,
        ),
        ("minhash-rs", dense(&a).estimate_jaccard_index(&dense(&c))),
    ] {
        if (estimate - 1.0 / 3.0).abs() > 0.13 {
            return Err(format!("{name}: {estimate} instead of 0.333, three errors away").into());
        }
    }
    // Many sets, since one in twenty of this size leaves a bin empty, which costs another round.
    let sets: Vec<Vec<u64>> = (0..20).map(|set| keys(1000, 600 + set)).collect();
    let peer = PeerMinHash::<_, u64>::new(PERMUTATIONS);
    let gaoya = MinHasher32::new(PERMUTATIONS);
    let mut group = suite.criterion().benchmark_group("minhash_sign");
    group.throughput(Throughput::Elements(20 * 1000));
    group.bench_function("sketches", |b| {
        b.iter(|| each_set(&sets, |set| sign(set).expect("checked")));
    });
    group.bench_function("sketches-one-permutation", |b| {
        b.iter(|| each_set(&sets, |set| sign_once(set, PERMUTATIONS).expect("checked")));
    });
    group.bench_function("probabilistic-collections", |b| {
        b.iter(|| each_set(&sets, |set| peer.get_min_hashes(set.iter().copied())));
    });
    group.bench_function("minhash-rs", |b| b.iter(|| each_set(&sets, dense)));
    group.bench_function("gaoya", |b| {
        b.iter(|| each_set(&sets, |set| gaoya.create_signature(set.iter())));
    });
    group.finish();
    // The ratios are those of the goals in nanoseconds to the peers where both were set.
    for (name, ours, [goal, minhash_rs, gaoya]) in [
        ("MinHash", "sketches", [6.5, 0.12, 0.084]),
        (
            "one-permutation MinHash",
            "sketches-one-permutation",
            [1.0, 0.0185, 0.013],
        ),
    ] {
        for (peer, goal) in [
            ("minhash-rs", Goal::OursAtMost(goal)),
            ("minhash-rs", Goal::RatioAtMost(minhash_rs)),
            ("gaoya", Goal::RatioAtMost(gaoya)),
            ("probabilistic-collections", Goal::OursAtMost(goal)),
        ] {
            suite.compare(Comparison {
                measure: &format!("{name} 128 of 1000, per element"),
                group: "minhash_sign",
                ours,
                peer,
                work: Work::Operations(20 * 1000),
                goal: Some(goal),
            });
        }
    }
    Ok(())
}

fn each_set<T>(sets: &[Vec<u64>], sign: impl Fn(&[u64]) -> T) {
    for set in sets {
        black_box(sign(black_box(set)));
    }
}

/// Root mean square error over that of independent permutations, for sets of 60.
fn one_permutation_error(suite: &mut Suite) -> Result<(), BenchError> {
    let (trials, size, shared) = (suite.size(20, 5000), 60, 40);
    let exact = float(shared) / float(2 * size - shared);
    let (mut once, mut classic) = (0.0, 0.0);
    for trial in 0..trials {
        let all = keys(2 * size - shared, 5000 + trial as u64);
        let (a, b) = (&all[..size], &all[size - shared..]);
        let estimate = sign_once(a, PERMUTATIONS)?.jaccard(&sign_once(b, PERMUTATIONS)?)?;
        once += (estimate - exact).powi(2);
        classic += (sign(a)?.jaccard(&sign(b)?)? - exact).powi(2);
    }
    let ideal = (exact * (1.0 - exact) / float(PERMUTATIONS)).sqrt();
    let share = |sum: f64| (sum / float(trials)).sqrt() / ideal;
    suite.record(
        Row::new(
            "one-permutation MinHash 128 of 60, RMS error over ideal",
            "x",
            share(once),
        )
        .against("128 permutations", share(classic))
        .goal(Goal::OursAtMost(1.1)),
    );
    Ok(())
}

/// Documents of 50 shingles in families of ten; members of a family share 45.
fn documents(count: usize) -> Vec<Vec<u64>> {
    let mut family = SplitMix64::new(0);
    let mut own = SplitMix64::new(99);
    let mut shared = Vec::new();
    (0..count)
        .map(|at| {
            if at % 10 == 0 {
                shared = (0..46).map(|_| family.bits()).collect();
            }
            shared
                .iter()
                .copied()
                .chain((0..4).map(|_| own.bits()))
                .collect()
        })
        .collect()
}

/// Insert, query and memory of an index, each timed once over all documents: an index of this size
/// is too slow to build for a sampled benchmark.
fn index(suite: &mut Suite) -> Result<(), BenchError> {
    let threshold = 0.8;
    let documents = documents(suite.size(1000, 100_000));
    let banding = Banding::for_threshold(threshold, PERMUTATIONS)?;
    let signatures: Vec<Signature> = documents
        .iter()
        .map(|document| sign(document))
        .collect::<Result<_, _>>()?;
    let micros = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / float(documents.len());

    let mut ours = LshIndex::with_seed(threshold, PERMUTATIONS, 1)?;
    let copies = signatures.clone();
    let start = Instant::now();
    for (id, signature) in (0_u64..).zip(copies) {
        ours.insert(id, signature)?;
    }
    let our_insert = micros(start);
    let start = Instant::now();
    let mut found = 0;
    for signature in &signatures {
        found += ours.query(black_box(signature))?.len();
    }
    let our_query = micros(start);
    // Every pair of a family has a similarity of 46 / 54 = 0.852.
    let recall = float(found) / float(10 * documents.len());

    let mut peer: MinHashIndex<u32, u64> =
        MinHashIndex::new(banding.bands(), banding.rows(), threshold);
    let copies: Vec<Vec<u32>> = signatures.iter().map(|s| s.minima().to_vec()).collect();
    let start = Instant::now();
    for (id, signature) in (0_u64..).zip(copies.clone()) {
        peer.insert(id, signature);
    }
    let peer_insert = micros(start);
    let start = Instant::now();
    let mut peer_found = 0;
    for signature in &copies {
        peer_found += peer.query_owned(black_box(signature)).len();
    }
    let peer_query = micros(start);
    let peer_recall = float(peer_found) / float(10 * documents.len());

    let measure = |what: &str| format!("LSH of {} documents, {what}", documents.len());
    for row in [
        Row::new(&measure("insert"), "us", our_insert)
            .against("gaoya", peer_insert)
            .goal(Goal::OursAtMost(3.0)),
        Row::new(&measure("query"), "us", our_query)
            .against("gaoya", peer_query)
            .goal(Goal::OursAtMost(5.0)),
        // 5 us was set where gaoya took 15.5.
        Row::new(&measure("query"), "us", our_query)
            .against("gaoya", peer_query)
            .goal(Goal::RatioAtMost(0.32)),
        Row::new(&measure("memory"), "MB", float(ours.memory_bytes()) / 1e6)
            .goal(Goal::OursAtMost(83.0)),
        Row::new(&measure("found of all pairs at 0.852"), "share", recall)
            .against("gaoya", peer_recall),
    ] {
        suite.record(row);
    }
    Ok(())
}
