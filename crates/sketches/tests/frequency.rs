//! Count-Min: never too low, within its bound; conservative update not worse.

mod support;

use std::collections::HashMap;

use sketches::{
    CountMin,
    frequency::{CountMinBuilder, Update},
};
use support::{Random, Zipf};

fn zipf_stream(seed: u64, len: usize, exponent: f64) -> Vec<u64> {
    let zipf = Zipf::new(50_000, exponent);
    let mut random = Random(seed);
    (0..len).map(|_| zipf.draw(&mut random)).collect()
}

fn exact(stream: &[u64]) -> HashMap<u64, u64> {
    let mut counts = HashMap::new();
    for key in stream {
        *counts.entry(*key).or_insert(0) += 1;
    }
    counts
}

/// Share of keys beyond the bound, and the mean error.
fn errors(sketch: &CountMin, counts: &HashMap<u64, u64>) -> (f64, f64) {
    let bound = sketch.error_bound();
    let (mut beyond, mut sum) = (0, 0);
    for (key, count) in counts {
        let estimate = sketch.estimate(key);
        assert!(estimate >= *count, "{key}: {estimate} below {count}");
        beyond += u32::from((estimate - count) as f64 > bound);
        sum += estimate - count;
    }
    let keys = counts.len() as f64;
    (f64::from(beyond) / keys, sum as f64 / keys)
}

#[test]
fn estimates_are_within_the_bound_on_every_stream() {
    let sorted: Vec<u64> = (0..60_000).map(|i| i / 3).collect();
    let streams = [
        zipf_stream(1, 100_000, 1.1),
        zipf_stream(2, 100_000, 0.0),
        sorted,
        vec![9; 5000],
    ];
    for stream in &streams {
        let counts = exact(stream);
        for (depth, width) in [(1, 2000), (3, 500), (5, 2000)] {
            for update in [Update::Plain, Update::Conservative] {
                let builder = CountMinBuilder::with_size(depth, width).update(update);
                let mut sketch = builder.build().unwrap();
                stream.iter().for_each(|key| sketch.insert(key));
                assert_eq!(sketch.total(), stream.len() as u64);
                let (beyond, _) = errors(&sketch, &counts);
                assert!(
                    beyond <= sketch.failure_probability(),
                    "{depth} {width}: {beyond}"
                );
            }
        }
    }
}

#[test]
fn conservative_update_is_more_exact() {
    let stream = zipf_stream(3, 200_000, 1.05);
    let counts = exact(&stream);
    let mean = |update| {
        let mut sketch = CountMinBuilder::with_size(5, 4000)
            .update(update)
            .build()
            .unwrap();
        stream.iter().for_each(|key| sketch.insert(key));
        errors(&sketch, &counts).1
    };
    let (plain, conservative) = (mean(Update::Plain), mean(Update::Conservative));
    assert!(conservative <= 0.6 * plain, "{conservative} of {plain}");
}

#[test]
fn the_conservative_rule_is_that_of_a_model() {
    // One row: both rules agree. Two rows: cells grow only to the new estimate.
    let builder = |depth, update| {
        CountMinBuilder::with_size(depth, 7)
            .update(update)
            .build()
            .unwrap()
    };
    let (mut plain, mut conservative) =
        (builder(1, Update::Plain), builder(1, Update::Conservative));
    let mut never_worse = (builder(4, Update::Plain), builder(4, Update::Conservative));
    let mut random = Random(8);
    for _ in 0..2000 {
        let (key, count) = (random.below(40), random.below(9));
        plain.add(&key, count);
        conservative.add(&key, count);
        let before = never_worse.1.estimate(&key);
        never_worse.0.add(&key, count);
        never_worse.1.add(&key, count);
        assert_eq!(never_worse.1.estimate(&key), before + count);
    }
    for key in 0..40_u64 {
        assert_eq!(plain.estimate(&key), conservative.estimate(&key));
        assert!(never_worse.1.estimate(&key) <= never_worse.0.estimate(&key));
    }
}

#[test]
fn sizes_follow_from_the_error() {
    let sketch = CountMin::with_error(0.001, 0.001).unwrap();
    assert_eq!((sketch.depth(), sketch.width()), (7, 2719));
    assert!(sketch.failure_probability() <= 0.001);
}

#[test]
fn cells_stop_at_their_maximum() {
    for update in [Update::Plain, Update::Conservative] {
        let mut sketch = CountMinBuilder::with_size(2, 4)
            .update(update)
            .build()
            .unwrap();
        sketch.add("a", u64::MAX);
        sketch.add("a", 5);
        assert_eq!(sketch.estimate("a"), u64::from(u32::MAX));
        assert_eq!(sketch.total(), u64::MAX);
    }
}

#[test]
fn threads_together_make_the_sketch_of_all_streams() {
    use sketches::frequency::AtomicCountMin;
    let streams: Vec<Vec<u64>> = (0..4).map(|seed| zipf_stream(seed, 30_000, 1.1)).collect();
    for (depth, width) in [(5, 200), (3, 7), (1, 1)] {
        let shared = AtomicCountMin::with_size(depth, width).unwrap();
        std::thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(|| stream.iter().for_each(|key| shared.add(key, key % 3)));
            }
        });
        let mut alone = CountMin::with_size(depth, width).unwrap();
        streams
            .iter()
            .flatten()
            .for_each(|key| alone.add(key, key % 3));
        assert_eq!(shared.estimate(&1_u64), alone.estimate(&1_u64));
        assert_eq!(shared.snapshot(), alone);
        assert_eq!(shared.into_count_min(), alone);
    }
}

#[test]
fn threads_that_count_slices_or_sketches_of_their_own_make_the_sketch_of_all_streams() {
    use sketches::frequency::AtomicCountMin;
    let streams: Vec<Vec<u64>> = (0..3).map(|seed| zipf_stream(seed, 9_000, 1.1)).collect();
    let builder = CountMinBuilder::with_size(3, 1_000).seed(5);
    // Slices below and above the number of cells.
    for length in [100, 2_999, 3_000, 9_000] {
        let shared = AtomicCountMin::try_from(builder.build().unwrap()).unwrap();
        std::thread::scope(|scope| {
            for stream in &streams[1..] {
                scope.spawn(|| {
                    stream
                        .chunks(length)
                        .for_each(|keys| shared.insert_each(keys))
                });
            }
            scope.spawn(|| {
                let mut own = builder.build().unwrap();
                own.insert_each(&streams[0]);
                shared.merge(&own).unwrap();
            });
        });
        let mut alone = builder.build().unwrap();
        streams.iter().for_each(|stream| alone.insert_each(stream));
        assert_eq!(shared.into_count_min(), alone);
    }
    let shared = AtomicCountMin::with_size(3, 1_000).unwrap();
    let refused = |builder: CountMinBuilder| {
        let other = builder.build().unwrap();
        shared.merge(&other).unwrap_err().to_string()
    };
    assert!(refused(builder).contains("seeds differ"));
    assert_eq!(
        refused(CountMinBuilder::with_size(3, 999)),
        "atomic count-min: width differs, 1000 here and 999 there"
    );
    assert_eq!(
        refused(CountMinBuilder::with_size(3, 1_000).update(Update::Conservative)),
        "atomic count-min: update differs, plain here and conservative there"
    );
}

#[test]
fn estimates_of_a_shared_sketch_never_lag_and_cells_stop() {
    use sketches::frequency::AtomicCountMin;
    let shared = AtomicCountMin::with_size(3, 50).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let shared = &shared;
            scope.spawn(move || {
                for count in 1..=5_000 {
                    shared.insert(&thread);
                    assert!(shared.estimate(&thread) >= count);
                }
            });
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..3).for_each(|_| shared.add(&9_u64, 1 << 31)));
        }
    });
    assert_eq!(shared.estimate(&9_u64), u64::from(u32::MAX));
    let builder = CountMinBuilder::with_size(2, 2).update(Update::Conservative);
    assert_eq!(
        AtomicCountMin::try_from(builder.build().unwrap())
            .unwrap_err()
            .to_string(),
        "atomic count-min: update is conservative, allowed: plain"
    );
}

#[test]
fn count_sketch_estimates_are_within_the_bound_and_without_bias() {
    use sketches::frequency::CountSketch;
    let sorted: Vec<u64> = (0..60_000).map(|i| i / 3).collect();
    for stream in [
        zipf_stream(1, 100_000, 1.1),
        zipf_stream(2, 100_000, 0.0),
        sorted,
        vec![9; 5000],
    ] {
        let counts = exact(&stream);
        for (depth, width) in [(1, 2000), (4, 500), (5, 2000), (7, 300)] {
            let mut sketch = CountSketch::with_size(depth, width).unwrap();
            stream.iter().for_each(|key| sketch.insert(key));
            let norm = counts
                .values()
                .map(|count| (*count as f64).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                (sketch.norm() / norm - 1.0).abs() < 0.2,
                "{} {norm}",
                sketch.norm()
            );
            let bound = (8.0 / width as f64).sqrt() * norm;
            let (mut beyond, mut sum) = (0, 0.0);
            for (key, count) in &counts {
                let error = sketch.estimate(key) as f64 - *count as f64;
                beyond += u32::from(error.abs() > bound);
                sum += error;
            }
            let keys = counts.len() as f64;
            assert!(
                f64::from(beyond) / keys <= sketch.failure_probability(),
                "{depth} {width}"
            );
            assert!((sum / keys).abs() <= bound / 2.0);
        }
    }
}

#[test]
fn count_sketch_is_linear() {
    use sketches::frequency::CountSketch;
    let build = |keys: std::ops::Range<i64>| {
        let mut sketch = CountSketch::with_size(5, 100).unwrap();
        keys.for_each(|key| sketch.add(&key, key - 50));
        sketch
    };
    let (a, b, whole) = (build(0..300), build(300..700), build(0..700));
    let (mut ab, mut ba) = (a.clone(), b.clone());
    ab.merge(&b).unwrap();
    ba.merge(&a).unwrap();
    assert!(ab == whole && ba == whole);
    ab.subtract(&b).unwrap();
    assert_eq!(ab, a);
    ab.subtract(&a).unwrap();
    assert_eq!(ab, CountSketch::with_size(5, 100).unwrap());
    ab.add("a", i64::MAX);
    ab.add("a", i64::MAX);
    assert_eq!(ab.estimate("a"), i64::MAX);
    for (depth, width, message) in [
        (0, 1, "count-sketch: depth is 0, allowed: 1 to 32"),
        (33, 1, "count-sketch: depth is 33, allowed: 1 to 32"),
        (1, 0, "count-sketch: width is 0, allowed: 1 to 2^27"),
    ] {
        assert_eq!(
            CountSketch::with_size(depth, width)
                .unwrap_err()
                .to_string(),
            message
        );
    }
    let other = CountSketch::with_size(5, 99).unwrap();
    let message = "count-sketch: width differs, 100 here and 99 there";
    assert_eq!(ab.merge(&other).unwrap_err().to_string(), message);
}
