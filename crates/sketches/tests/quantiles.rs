//! DdSketch: every quantile within the relative error, on several distributions.

mod support;

use sketches::{DdSketch, quantiles::Quantiles};
use support::Random;

const QUANTILES: [f64; 13] = [
    0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0,
];

fn distributions() -> Vec<(&'static str, Vec<f64>)> {
    let mut random = Random(1);
    let n = 20_000;
    let mut draw = |f: fn(&mut Random) -> f64| (0..n).map(|_| f(&mut random)).collect::<Vec<f64>>();
    vec![
        ("uniform", draw(|r| 1.0 + 999.0 * r.unit())),
        ("exponential", draw(|r| -(1.0 - r.unit()).ln())),
        ("pareto", draw(|r| (1.0 - r.unit()).powf(-1.0))),
        (
            "log-normal",
            draw(|r| {
                let normal: f64 = (0..12).map(|_| r.unit()).sum::<f64>() - 6.0;
                (3.0 * normal).exp()
            }),
        ),
        ("both signs", draw(|r| (r.unit() - 0.4) * 1e6)),
        ("integers with zeros", draw(|r| (r.below(40) as f64) - 10.0)),
        (
            "twenty decades",
            draw(|r| 10_f64.powf(20.0 * r.unit() - 10.0)),
        ),
        ("constant", draw(|_| 42.0)),
        ("tiny", draw(|r| 1e-300 * (1.0 + r.unit()))),
        ("sorted", (1..=n).map(f64::from).collect()),
        ("reversed", (1..=n).rev().map(f64::from).collect()),
        (
            "two values",
            (0..n)
                .map(|i| if i % 100 == 0 { 1e9 } else { 1.0 })
                .collect(),
        ),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "a position in the row")]
fn exact(sorted: &[f64], q: f64) -> f64 {
    sorted[(q * (sorted.len() - 1) as f64) as usize]
}

#[test]
fn every_quantile_is_within_the_relative_error() {
    for (name, values) in distributions() {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        for error in [0.001, 0.01, 0.05] {
            let mut sketch = DdSketch::builder()
                .relative_error(error)
                .bins_max(1 << 15)
                .build()
                .unwrap();
            sketch.extend(values.iter().copied());
            assert!(!sketch.is_folded());
            for q in QUANTILES {
                let (estimate, exact) = (sketch.quantile(q).unwrap(), exact(&sorted, q));
                let off = (estimate - exact).abs();
                assert!(
                    off <= (error + 1e-11) * exact.abs(),
                    "{name} {error} {q}: {estimate} {exact}"
                );
            }
            assert_eq!(sketch.min(), sorted.first().copied());
            assert_eq!(sketch.max(), sorted.last().copied());
            assert_eq!(sketch.count(), 20_000);
            let sum: f64 = values.iter().sum();
            assert!((sketch.sum() - sum).abs() <= 1e-9 * sum.abs());
        }
    }
}

#[test]
fn the_default_bins_hold_seventeen_decades() {
    let mut sketch = DdSketch::new(0.01).unwrap();
    let values = |i: i32| 10_f64.powf(f64::from(i) / 100.0);
    sketch.extend((0..1700).map(values));
    assert!(!sketch.is_folded());
    sketch.insert(1e-3);
    assert!(sketch.is_folded());
}

#[test]
fn folding_spares_the_greatest_numbers() {
    let mut sketch = DdSketch::builder().bins_max(128).build().unwrap();
    let values: Vec<f64> = (1..=100_000).map(f64::from).collect();
    sketch.extend(values.iter().copied());
    assert!(sketch.is_folded());
    // 128 bins of 2 % reach down to a twelfth of the maximum.
    for q in [0.1, 0.5, 0.9, 0.99] {
        let (estimate, exact) = (sketch.quantile(q).unwrap(), exact(&values, q));
        assert!((estimate / exact - 1.0).abs() <= 0.01 + 1e-11, "{q}");
    }
    assert_eq!(sketch.quantile(0.0), Some(1.0));
    assert!(sketch.memory_bytes() < 1_500);
}

#[test]
fn odd_numbers_and_odd_questions() {
    let mut sketch = DdSketch::new(0.01).unwrap();
    assert!(sketch.is_empty());
    assert_eq!(
        (sketch.quantile(0.5), sketch.min(), sketch.max()),
        (None, None, None)
    );
    assert_eq!(sketch.mean(), None);
    sketch.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!((sketch.count(), sketch.ignored()), (0, 3));
    assert_eq!(sketch.quantile(0.5), None);
    sketch.extend([0.0, -0.0, 1e-310, f64::MAX, f64::MIN]);
    assert_eq!(sketch.count(), 5);
    assert_eq!(sketch.quantile(0.5), Some(0.0));
    assert_eq!(sketch.quantile(0.0), Some(f64::MIN));
    assert_eq!(sketch.quantile(1.0), Some(f64::MAX));
    for q in [-0.1, 1.1, f64::NAN] {
        assert_eq!(sketch.quantile(q), None);
    }
}

#[test]
fn many_at_once_are_many_one_by_one() {
    let (mut once, mut each) = (DdSketch::new(0.02).unwrap(), DdSketch::new(0.02).unwrap());
    for value in [-2.0, 0.0, 3.0] {
        once.insert_many(value, 50);
        once.insert_many(value, 0);
        (0..50).for_each(|_| each.insert(value));
    }
    assert_eq!(once, each);
}

#[test]
fn the_trait_answers_as_the_type() {
    fn median(mut sketch: impl Quantiles) -> (u64, Option<f64>) {
        for value in 1..=9 {
            sketch.insert(f64::from(value));
        }
        (sketch.count(), sketch.quantile(0.5))
    }
    let (count, value) = median(DdSketch::new(0.01).unwrap());
    assert_eq!(count, 9);
    assert!((value.unwrap() - 5.0).abs() <= 0.05);
}
