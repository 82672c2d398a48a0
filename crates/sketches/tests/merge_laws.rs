//! Merging is commutative and associative, and gives the sketch of the whole stream.

use proptest::prelude::*;
use sketches::{
    BloomFilter, CountMin, DdSketch, ExaLogLog, HyperLogLog, MinHash, SketchError, SpaceSaving,
    SplitBlockBloom, UltraLogLog,
    frequency::{CountMinBuilder, Update},
};

/// The laws, on sketches that compare by `same`.
fn laws<S: Clone + core::fmt::Debug, T: Clone>(
    parts: [&[T]; 3],
    build: impl Fn(&[T]) -> S,
    merge: impl Fn(&mut S, &S) -> Result<(), SketchError>,
    same: impl Fn(&S, &S) -> bool,
) {
    let merged = |left: &S, right: &S| {
        let mut result = left.clone();
        merge(&mut result, right).unwrap();
        result
    };
    let [a, b, c] = parts.map(&build);
    let whole = build(&parts.concat());
    let left = merged(&merged(&a, &b), &c);
    assert!(same(&left, &whole), "not the sketch of the stream");
    assert!(same(&left, &merged(&a, &merged(&b, &c))), "not associative");
    assert!(same(&merged(&a, &b), &merged(&b, &a)), "not commutative");
    assert!(
        same(&merged(&a, &build(&[])), &a),
        "the empty sketch is not neutral"
    );
}

fn keys() -> impl Strategy<Value = Vec<u64>> {
    let few = prop::collection::vec(0..200_u64, 0..40);
    let many = prop::collection::vec(any::<u64>(), 0..400);
    prop_oneof![few, many]
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![
        -1e3..1e3_f64,
        (-300_i32..300).prop_map(|e| 10_f64.powi(e)),
        Just(0.0),
        Just(f64::NAN),
        any::<f64>(),
    ];
    prop::collection::vec(number, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hyperloglog(a in keys(), b in keys(), c in keys(), precision in 4_u8..=12) {
        let build = |keys: &[u64]| {
            let mut sketch = HyperLogLog::new(precision).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, HyperLogLog::merge, |x, y| x == y);
    }

    #[test]
    fn exaloglog(a in keys(), b in keys(), c in keys(), precision in 4_u8..=8) {
        let build = |keys: &[u64]| {
            let mut sketch = ExaLogLog::new(precision).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, ExaLogLog::merge, |x, y| x == y);
        let sketch = build(&a);
        prop_assert_eq!(ExaLogLog::from_bytes(&sketch.to_bytes()), Ok(sketch));
    }

    #[test]
    fn ultraloglog(a in keys(), b in keys(), c in keys(), precision in 4_u8..=8) {
        let build = |keys: &[u64]| {
            let mut sketch = UltraLogLog::new(precision).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, UltraLogLog::merge, |x, y| x == y);
        let sketch = build(&a);
        prop_assert_eq!(UltraLogLog::from_bytes(&sketch.to_bytes()), Ok(sketch));
    }

    #[test]
    fn bloom(a in keys(), b in keys(), c in keys(), hashes in 1_u32..9) {
        let build = |keys: &[u64]| {
            let mut sketch = BloomFilter::with_size(1000, hashes).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, BloomFilter::merge, |x, y| x == y);
    }

    #[test]
    fn split_block(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let mut sketch = SplitBlockBloom::with_size(320).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, SplitBlockBloom::merge, |x, y| x == y);
    }

    #[test]
    fn count_min(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let mut sketch = CountMin::with_size(4, 33).unwrap();
            keys.iter().for_each(|key| sketch.add(key, key % 5));
            sketch
        };
        laws([&a, &b, &c], build, CountMin::merge, |x, y| x == y);
    }

    #[test]
    fn minhash(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let mut sketch = MinHash::new(32, 1).unwrap();
            sketch.extend(keys);
            sketch
        };
        laws([&a, &b, &c], build, MinHash::merge, |x, y| x == y);
    }

    #[test]
    fn ddsketch(a in numbers(), b in numbers(), c in numbers(), bins in 16_u32..300) {
        let build = |numbers: &[f64]| {
            let mut sketch = DdSketch::builder().bins_max(bins).build().unwrap();
            sketch.extend(numbers.iter().copied());
            sketch
        };
        // All but the sum, which depends on the order of additions: the bins through every
        // quantile, and the ends.
        let same = |x: &DdSketch, y: &DdSketch| {
            let seen = |sketch: &DdSketch| {
                let quantiles: Vec<_> =
                    (0..=200).map(|i| sketch.quantile(f64::from(i) / 200.0)).collect();
                let counts = (sketch.count(), sketch.ignored(), sketch.is_folded());
                (quantiles, counts, sketch.min(), sketch.max(), sketch.memory_bytes())
            };
            seen(x) == seen(y)
        };
        laws([&a, &b, &c], build, DdSketch::merge, same);
    }

    #[test]
    fn space_saving_is_commutative(a in keys(), b in keys(), capacity in 1_usize..50) {
        let build = |keys: &[u64]| {
            let mut sketch = SpaceSaving::new(capacity).unwrap();
            sketch.extend(keys.iter().copied());
            sketch
        };
        let (left, right) = (build(&a), build(&b));
        let mut both = left.clone();
        both.merge(&right).unwrap();
        let mut other = right.clone();
        other.merge(&left).unwrap();
        prop_assert_eq!(both.to_bytes(), other.to_bytes());
    }

    #[test]
    fn merged_conservative_counts_are_never_too_low(a in keys(), b in keys()) {
        let build = |keys: &[u64]| {
            let builder = CountMinBuilder::with_size(3, 20).update(Update::Conservative);
            let mut sketch = builder.build().unwrap();
            keys.iter().for_each(|key| sketch.insert(key));
            sketch
        };
        let mut merged = build(&a);
        merged.merge(&build(&b)).unwrap();
        for key in a.iter().chain(&b) {
            let count = a.iter().chain(&b).filter(|other| *other == key).count();
            prop_assert!(merged.estimate(key) >= count as u64);
        }
    }

    #[test]
    fn bytes_come_back(keys in keys(), numbers in numbers()) {
        let mut hll = HyperLogLog::with_seed(6, 3).unwrap();
        hll.extend(&keys);
        prop_assert_eq!(HyperLogLog::from_bytes(&hll.to_bytes()), Ok(hll));
        let mut counts = CountMin::with_size(3, 17).unwrap();
        keys.iter().for_each(|key| counts.insert(key));
        prop_assert_eq!(CountMin::from_bytes(&counts.to_bytes()), Ok(counts));
        let mut sketch = DdSketch::builder().bins_max(64).build().unwrap();
        sketch.extend(numbers.iter().copied().filter(|number| number.abs() < 1e300));
        prop_assert_eq!(DdSketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
        let mut top = SpaceSaving::new(9).unwrap();
        keys.iter().for_each(|key| top.add(*key, key % 7));
        let again = SpaceSaving::<u64>::from_bytes(&top.to_bytes()).unwrap();
        prop_assert_eq!(again.to_bytes(), top.to_bytes());
    }
}
