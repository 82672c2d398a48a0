//! t-digest and KLL: the rank of every answer is within the documented bound, on several streams.

mod support;

use sketches::quantiles::{Kll, Quantiles, TDigest};
use support::Random;

const QUANTILES: [f64; 13] = [
    0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0,
];

fn streams(n: u32) -> Vec<(&'static str, Vec<f64>)> {
    let mut random = Random(u64::from(n));
    let mut draw = |f: fn(&mut Random) -> f64| (0..n).map(|_| f(&mut random)).collect::<Vec<f64>>();
    vec![
        ("uniform", draw(Random::unit)),
        ("exponential", draw(|r| -(1.0 - r.unit()).ln())),
        ("pareto", draw(|r| (1.0 - r.unit()).powf(-2.0))),
        ("both signs", draw(|r| (r.unit() - 0.4).powi(3) * 1e6)),
        ("few values", draw(|r| r.below(40) as f64)),
        ("constant", draw(|_| 42.0)),
        (
            "crowded with outliers",
            draw(|r| {
                if r.below(1000) == 0 {
                    1e300
                } else {
                    1e6 + r.unit()
                }
            }),
        ),
        ("sorted", (0..n).map(f64::from).collect()),
        ("reversed", (0..n).rev().map(f64::from).collect()),
        (
            "from both ends",
            (0..n)
                .map(|i| f64::from(if i % 2 == 0 { i } else { 2 * n - i }))
                .collect(),
        ),
        (
            "blocks",
            (0..n)
                .map(|i| f64::from(i % 1000) * 1000.0 + f64::from(i / 1000))
                .collect(),
        ),
    ]
}

/// How far an answer is from the positions it could stand for.
#[expect(clippy::cast_possible_truncation, reason = "a position in the row")]
fn off(sorted: &[f64], q: f64, answer: f64) -> f64 {
    let position = (q * (sorted.len() - 1) as f64) as usize as f64;
    let first = sorted.partition_point(|value| *value < answer) as f64;
    let end = sorted.partition_point(|value| *value <= answer) as f64;
    // Between two numbers of the stream, the answer stands for both.
    let (first, last) = ((first).min(end - 1.0), (end - 1.0).max(first));
    (first - position).max(position - last).max(0.0)
}

fn check<Q: Quantiles>(name: &str, sketch: &Q, values: &[f64], bound: impl Fn(f64) -> f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sketch.count(), values.len() as u64);
    for q in QUANTILES {
        let answer = sketch.quantile(q).unwrap();
        let off = off(&sorted, q, answer) / values.len() as f64;
        assert!(off <= bound(q), "{name} {q}: {off} of {}", bound(q));
    }
    assert_eq!(sketch.quantile(0.0), sorted.first().copied());
    assert_eq!(sketch.quantile(1.0), sorted.last().copied());
}

/// The documented bound of the digest; twice that for streams of few different numbers.
fn digest_bound(name: &str, compression: u32, n: usize) -> impl Fn(f64) -> f64 {
    let (times, compression) = (
        if name == "few values" { 2.0 } else { 1.0 },
        f64::from(compression),
    );
    move |q| {
        let cluster = 7.0 * (q * (1.0 - q)).sqrt() / compression + 10.0 / compression.powi(2);
        times * cluster + 1.0 / n as f64
    }
}

#[test]
fn the_digest_is_within_its_bound_on_every_stream() {
    for n in [1, 2, 90, 1000, 40_000] {
        for (name, values) in streams(n) {
            for compression in [50, 200] {
                let mut sketch = TDigest::new(compression).unwrap();
                sketch.extend(values.iter().copied());
                check(
                    name,
                    &sketch,
                    &values,
                    digest_bound(name, compression, values.len()),
                );
                // Merged from unequal parts, in both orders.
                let mut parts: Vec<TDigest> = values
                    .chunks(values.len() / 7 + 1)
                    .map(|part| {
                        let mut sketch = TDigest::new(compression).unwrap();
                        sketch.extend(part.iter().copied());
                        sketch
                    })
                    .collect();
                for _ in 0..2 {
                    let mut merged = TDigest::new(compression).unwrap();
                    parts.iter().for_each(|part| merged.merge(part).unwrap());
                    check(
                        name,
                        &merged,
                        &values,
                        digest_bound(name, compression, values.len()),
                    );
                    parts.reverse();
                }
            }
        }
    }
}

#[test]
fn kll_is_within_its_bound_on_every_stream() {
    let (mut asked, mut beyond) = (0, 0);
    for n in [1, 2, 150, 1000, 40_000] {
        for (_, values) in streams(n) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for k in [20, 200] {
                let build = |part: &[f64]| {
                    let mut sketch = Kll::new(k).unwrap();
                    sketch.extend(part.iter().copied());
                    sketch
                };
                let mut merged = Kll::new(k).unwrap();
                values
                    .chunks(values.len() / 7 + 1)
                    .for_each(|part| merged.merge(&build(part)).unwrap());
                for sketch in [build(&values), merged] {
                    assert_eq!(sketch.count(), values.len() as u64);
                    let exact = values.len() < k as usize;
                    let bound = if exact { 0.0 } else { sketch.rank_error() };
                    for q in QUANTILES {
                        let answer = sketch.quantile(q).unwrap();
                        assert!(sorted.binary_search_by(|v| v.total_cmp(&answer)).is_ok());
                        let off = off(&sorted, q, answer) / values.len() as f64;
                        assert!(!exact || off == 0.0);
                        asked += 1;
                        beyond += u32::from(off > bound);
                    }
                    assert_eq!(sketch.quantile(0.0), sorted.first().copied());
                    assert_eq!(sketch.quantile(1.0), sorted.last().copied());
                    let bytes = sketch.memory_bytes();
                    assert!(bytes < 2000 + 80 * k as usize, "{n} {k}: {bytes}");
                }
            }
        }
    }
    assert!(
        f64::from(beyond) <= 0.01 * f64::from(asked),
        "{beyond} of {asked}"
    );
}

#[test]
fn merging_is_commutative() {
    for (name, values) in streams(5000) {
        let (left, right) = values.split_at(1300);
        let digest = |part: &[f64]| {
            let mut sketch = TDigest::new(100).unwrap();
            sketch.extend(part.iter().copied());
            sketch
        };
        let (mut a, mut b) = (digest(left), digest(right));
        a.merge(&digest(right)).unwrap();
        b.merge(&digest(left)).unwrap();
        assert_eq!(a.to_bytes(), b.to_bytes(), "{name}");
        let kll = |part: &[f64]| {
            let mut sketch = Kll::new(50).unwrap();
            sketch.extend(part.iter().copied());
            sketch
        };
        let (mut a, mut b) = (kll(left), kll(right));
        a.merge(&kll(right)).unwrap();
        b.merge(&kll(left)).unwrap();
        assert_eq!(a.to_bytes(), b.to_bytes(), "{name}");
    }
}

#[test]
fn bytes_come_back_and_the_sketch_goes_on() {
    for (_, values) in streams(3000) {
        let mut digest = TDigest::new(60).unwrap();
        digest.extend(values.iter().copied());
        digest.flush();
        let mut again = TDigest::from_bytes(&digest.to_bytes()).unwrap();
        assert_eq!(again, digest);
        let mut kll = Kll::new(30).unwrap();
        kll.extend(values.iter().copied());
        let mut other = Kll::from_bytes(&kll.to_bytes()).unwrap();
        for value in &values {
            digest.insert(*value);
            again.insert(*value);
            kll.insert(*value);
            other.insert(*value);
        }
        assert_eq!(digest.to_bytes(), again.to_bytes());
        assert_eq!(kll.to_bytes(), other.to_bytes());
    }
}

#[test]
fn odd_numbers_and_odd_questions() {
    let mut digest = TDigest::new(20).unwrap();
    let mut kll = Kll::new(8).unwrap();
    assert!(digest.is_empty() && kll.is_empty());
    assert_eq!((digest.quantile(0.5), kll.quantile(0.5)), (None, None));
    assert_eq!((digest.min(), kll.max()), (None, None));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        digest.insert(value);
        kll.insert(value);
    }
    assert_eq!((digest.count(), kll.count()), (0, 0));
    assert_eq!((digest.ignored(), kll.ignored()), (3, 3));
    for value in [f64::MAX, f64::MIN, -0.0, 0.0, 5e-324] {
        digest.insert(value);
        kll.insert(value);
    }
    for q in [0.0, 0.3, 0.5, 0.9, 1.0] {
        assert!(digest.quantile(q).unwrap().is_finite() && kll.quantile(q).unwrap().is_finite());
    }
    for q in [-0.1, 1.1, f64::NAN] {
        assert_eq!((digest.quantile(q), kll.quantile(q)), (None, None));
    }
    assert!(TDigest::from_bytes(&digest.to_bytes()).is_ok());
    digest.clear();
    kll.clear();
    assert!(digest.is_empty() && kll.is_empty());
}

#[test]
fn parameters_outside_their_range_are_refused() {
    for compression in [0, 19, 10_001] {
        assert_eq!(
            TDigest::new(compression).unwrap_err().to_string(),
            format!("t-digest: compression is {compression}, allowed: 20 to 10000")
        );
    }
    for k in [0, 7, 65_536] {
        let message = format!("kll: k is {k}, allowed: 8 to 65535");
        assert_eq!(Kll::new(k).unwrap_err().to_string(), message);
    }
    let message = "t-digest: compression differs, 20 here and 30 there";
    let error = TDigest::new(20)
        .unwrap()
        .merge(&TDigest::new(30).unwrap())
        .unwrap_err();
    assert_eq!(error.to_string(), message);
    let error = Kll::new(20)
        .unwrap()
        .merge(&Kll::new(30).unwrap())
        .unwrap_err();
    assert_eq!(error.to_string(), "kll: k differs, 20 here and 30 there");
}
