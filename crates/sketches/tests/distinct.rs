//! Observed error of the distinct counters against the documented bound.

mod support;

use sketches::{
    ExaLogLog, HyperLogLog, UltraLogLog,
    distinct::{Exa, LogLogSketch, Shape, Ultra},
    hash::hash_u64,
};
use support::{Random, Zipf};

const TRIALS: u64 = 200;

/// Root mean square of the relative error over trials with different seeds.
fn rmse(precision: u8, n: u64) -> f64 {
    let mut squares = 0.0;
    for seed in 0..TRIALS {
        let mut sketch = HyperLogLog::with_seed(precision, seed).unwrap();
        (0..n).for_each(|key| sketch.insert(&key));
        let error = sketch.estimate() / n as f64 - 1.0;
        squares += error * error;
    }
    (squares / TRIALS as f64).sqrt()
}

#[test]
fn no_key_and_one_key() {
    for precision in 4..=18 {
        let mut sketch = HyperLogLog::new(precision).unwrap();
        assert_eq!(sketch.estimate(), 0.0);
        sketch.insert("one");
        sketch.insert("one");
        assert_eq!(sketch.estimate(), 1.0);
    }
}

#[test]
fn few_keys_are_counted_exactly() {
    for n in [1, 10, 100] {
        assert_eq!(rmse(14, n), 0.0);
    }
    // One lost key in about 400 trials of 1,000 is what 32 bits per key allow.
    assert!(rmse(14, 1000) < 3e-4);
    assert_eq!(rmse(4, 10), 0.0);
}

#[test]
fn the_error_is_within_the_documented_bound() {
    // The root mean square over 200 trials has a standard deviation of 5 %; three of them.
    for (precision, n) in [
        (14, 2_000),
        (14, 10_000),
        (14, 30_000),
        (14, 100_000),
        (10, 100),
        (10, 1_000),
        (10, 3_000),
        (10, 100_000),
        (6, 1_000),
        (4, 20),
        (4, 100_000),
    ] {
        let bound = HyperLogLog::new(precision).unwrap().standard_error();
        let observed = rmse(precision, n);
        let allowed = if precision <= 6 { 1.25 } else { 1.15 };
        assert!(
            observed <= allowed * bound,
            "{precision} {n}: {observed} of {bound}"
        );
    }
}

#[test]
fn a_million_keys() {
    for precision in [12, 16, 18] {
        let mut sketch = HyperLogLog::new(precision).unwrap();
        (0..1_000_000_u64).for_each(|key| sketch.insert_hash(hash_u64(key, 3)));
        let error = sketch.estimate() / 1e6 - 1.0;
        assert!(
            error.abs() < 4.0 * sketch.standard_error(),
            "{precision}: {error}"
        );
    }
}

#[test]
fn order_and_repetition_do_not_matter() {
    let mut random = Random(5);
    let zipf = Zipf::new(20_000, 1.1);
    let mut stream: Vec<u64> = (0..50_000).map(|_| zipf.draw(&mut random)).collect();
    let sketch_of = |stream: &[u64]| {
        let mut sketch = HyperLogLog::new(12).unwrap();
        sketch.extend(stream);
        sketch
    };
    let drawn = sketch_of(&stream);
    stream.sort_unstable();
    assert_eq!(drawn, sketch_of(&stream));
    stream.reverse();
    assert_eq!(drawn, sketch_of(&stream));
    stream.dedup();
    assert_eq!(drawn, sketch_of(&stream));
    let error = drawn.estimate() / stream.len() as f64 - 1.0;
    assert!(error.abs() < 4.0 * drawn.standard_error());
    assert_eq!(sketch_of(&vec![7; 10_000]).estimate(), 1.0);
}

#[test]
fn a_reduced_sketch_is_the_sketch_of_the_lower_precision() {
    for n in [0, 5, 40, 1_000, 30_000] {
        for from in [4, 9, 14, 18] {
            for to in 4..=from {
                let mut reduced = HyperLogLog::with_seed(from, 11).unwrap();
                reduced.extend(0..n);
                reduced.reduce_precision(to).unwrap();
                let mut direct = HyperLogLog::with_seed(to, 11).unwrap();
                direct.extend(0..n);
                assert_eq!(reduced, direct, "{n} keys, {from} to {to}");
            }
        }
    }
}

#[test]
fn crafted_hashes_reach_every_rank_without_harm() {
    for precision in [4, 14, 18] {
        let mut sketch = HyperLogLog::new(precision).unwrap();
        for bits in 0..64 {
            sketch.insert_hash(u64::MAX >> bits);
            sketch.insert_hash(1 << bits);
        }
        sketch.insert_hash(0);
        let estimate = sketch.estimate();
        assert!(estimate.is_finite() && estimate > 0.0);
        let again = HyperLogLog::from_bytes(&sketch.to_bytes()).unwrap();
        assert_eq!(again, sketch);
    }
}

#[test]
fn inserting_one_by_one_or_many_at_a_time_is_the_same() {
    for n in [0, 1, 100, 128, 1_000, 5_000, 40_000] {
        let keys: Vec<u64> = (0..n).map(|key| key % 30_000).collect();
        let hashes: Vec<u64> = keys.iter().map(|key| hash_u64(*key, 9)).collect();
        let mut one_by_one = HyperLogLog::with_seed(12, 9).unwrap();
        keys.iter().for_each(|key| one_by_one.insert(key));
        let (mut extended, mut each, mut hashed) = {
            let empty = HyperLogLog::with_seed(12, 9).unwrap();
            (empty.clone(), empty.clone(), empty)
        };
        extended.extend(&keys);
        each.insert_each(&keys);
        hashed.insert_hashes(&hashes);
        assert_eq!(one_by_one, extended, "{n}");
        assert_eq!(one_by_one, each, "{n}");
        assert_eq!(one_by_one, hashed, "{n}");

        let mut one_by_one = ExaLogLog::with_seed(9, 9).unwrap();
        keys.iter().for_each(|key| one_by_one.insert(key));
        let mut each = ExaLogLog::with_seed(9, 9).unwrap();
        each.insert_each(&keys);
        let mut extended = ExaLogLog::with_seed(9, 9).unwrap();
        extended.extend(&keys);
        assert_eq!(one_by_one, each, "{n}");
        assert_eq!(one_by_one, extended, "{n}");
    }
}

/// Mean and root mean square of the relative error over trials with different hashes.
fn errors<S: Shape>(precision: u8, n: u64, trials: u64) -> (f64, f64) {
    let mut sketch = LogLogSketch::<S>::new(precision).unwrap();
    let mut random = Random(n ^ (u64::from(precision) << 32));
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..trials {
        sketch.clear();
        (0..n).for_each(|_| sketch.insert_hash(random.next()));
        let error = sketch.estimate() / n as f64 - 1.0;
        sum += error;
        squares += error * error;
    }
    (sum / trials as f64, (squares / trials as f64).sqrt())
}

fn loglog_error_is_within_the_documented_bound<S: Shape>() {
    for (precision, n, trials) in [
        (4, 20, 2_000),
        (4, 10_000, 1_000),
        (8, 100, 1_000),
        (8, 1_000, 500),
        (8, 20_000, 400),
        (10, 100_000, 200),
        (12, 1_000, 200),
    ] {
        let bound = LogLogSketch::<S>::new(precision).unwrap().standard_error();
        let (mean, rms) = errors::<S>(precision, n, trials);
        // The root mean square has a relative standard deviation of `1 / sqrt(2 trials)`; three of
        // them, and the second-order terms at 16 registers.
        let slack =
            1.0 + 3.0 / (2.0 * trials as f64).sqrt() + if precision == 4 { 0.05 } else { 0.0 };
        assert!(rms <= slack * bound, "{precision} {n}: {rms} of {bound}");
        let allowed = 4.0 * bound / (trials as f64).sqrt();
        assert!(
            mean.abs() <= allowed,
            "{precision} {n}: mean {mean} above {allowed}"
        );
    }
}

#[test]
fn ultraloglog_error_is_within_the_documented_bound() {
    loglog_error_is_within_the_documented_bound::<Ultra>();
}

#[test]
fn exaloglog_error_is_within_the_documented_bound() {
    loglog_error_is_within_the_documented_bound::<Exa>();
}

#[test]
fn loglog_sketches_count_from_none_to_a_million() {
    for precision in [4, 11, 18] {
        let mut exa = ExaLogLog::new(precision).unwrap();
        let mut ultra = UltraLogLog::new(precision).unwrap();
        assert_eq!((exa.estimate(), ultra.estimate()), (0.0, 0.0));
        let mut n = 0_u64;
        for end in [1, 10, 1_000, 1_000_000] {
            exa.extend(n..end);
            ultra.extend(n..end);
            n = end;
            for (estimate, bound) in [
                (exa.estimate(), exa.standard_error()),
                (ultra.estimate(), ultra.standard_error()),
            ] {
                let error = estimate / n as f64 - 1.0;
                assert!(error.abs() <= 4.0 * bound, "{precision} {n}: {error}");
            }
        }
    }
}

fn reduced_loglog_is_that_of_the_lower_precision<S: Shape>() {
    for n in [0, 5, 40, 1_000, 30_000] {
        for from in [4, 9, 14] {
            for to in 4..=from {
                let mut reduced = LogLogSketch::<S>::with_seed(from, 11).unwrap();
                reduced.extend(0..n);
                reduced.reduce_precision(to).unwrap();
                let mut direct = LogLogSketch::<S>::with_seed(to, 11).unwrap();
                direct.extend(0..n);
                assert_eq!(reduced, direct, "{n} keys, {from} to {to}");
            }
        }
    }
}

#[test]
fn reduced_loglog_sketches_are_those_of_the_lower_precision() {
    reduced_loglog_is_that_of_the_lower_precision::<Exa>();
    reduced_loglog_is_that_of_the_lower_precision::<Ultra>();
}

fn crafted_loglog_hashes<S: Shape>() {
    for precision in [4, 14, 18] {
        let mut sketch = LogLogSketch::<S>::new(precision).unwrap();
        for bits in 0..64 {
            sketch.insert_hash(u64::MAX >> bits);
            sketch.insert_hash(1 << bits);
        }
        sketch.insert_hash(0);
        let estimate = sketch.estimate();
        assert!(estimate.is_finite() && estimate > 0.0);
        let again = LogLogSketch::<S>::from_bytes(&sketch.to_bytes()).unwrap();
        assert_eq!(again, sketch);
        let mut lower = sketch.clone();
        lower.reduce_precision(4).unwrap();
        assert!(lower.estimate() > 0.0);
    }
    // Every register at its greatest value, with every bit below it: no number of keys is likeliest.
    let mut full = LogLogSketch::<S>::new(4).unwrap();
    for register in 0..16_u64 {
        for low in 0..4 {
            for zeros in 0..60 {
                let above = (1_u64 << 63) >> zeros;
                full.insert_hash((register << 2) | low | (above & !0x3f));
                full.insert_hash((register << 2) | low);
                full.insert_hash((register & 0xf) | (above & !0xf));
            }
        }
    }
    assert!(full.estimate() > 1e15);
}

#[test]
fn crafted_hashes_do_no_harm_to_loglog_sketches() {
    crafted_loglog_hashes::<Exa>();
    crafted_loglog_hashes::<Ultra>();
}
