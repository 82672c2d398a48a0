//! Merge laws of what `merge_laws.rs` leaves out: structures that many threads fill, and
//! those whose merge keeps bounds and not contents.

use std::collections::HashMap;

use proptest::prelude::*;
use sketches::{
    CountMin, HyperLogLog, MinHash, Signature, SpaceSaving,
    distinct::{ApacheHll, ApacheHllType, AtomicHyperLogLog},
    frequency::{AtomicCountMin, CountSketch},
    hash::{Keyed, SipKey},
    membership::AtomicBloom,
    quantiles::{Kll, TDigest},
    similarity::OnePermutation,
    top_k::FrequentItems,
};

fn keys() -> impl Strategy<Value = Vec<u64>> {
    let few = prop::collection::vec(0..60_u64, 0..40);
    let many = prop::collection::vec(any::<u64>(), 0..300);
    prop_oneof![few, many]
}

/// Merged one into the other in the order given, and the parts of a fold from the right.
fn orders<S: Clone>(parts: &[S; 3], merge: impl Fn(&mut S, &S)) -> Vec<S> {
    let merged = |mut left: S, right: &S| {
        merge(&mut left, right);
        left
    };
    let [a, b, c] = parts;
    vec![
        merged(merged(a.clone(), b), c),
        merged(a.clone(), &merged(b.clone(), c)),
        merged(merged(c.clone(), a), b),
        merged(merged(b.clone(), c), a),
    ]
}

fn exact(parts: [&[u64]; 3]) -> HashMap<u64, u64> {
    let mut counts = HashMap::new();
    for key in parts.concat() {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn count_sketch(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let mut sketch = CountSketch::with_size(3, 33).unwrap();
            keys.iter().for_each(|key| sketch.add(key, (key % 7).cast_signed() - 3));
            sketch
        };
        let whole = build(&[a.clone(), b.clone(), c.clone()].concat());
        for merged in orders(&[build(&a), build(&b), build(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(&merged, &whole);
        }
    }

    #[test]
    fn one_permutation_and_signatures(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let mut set = OnePermutation::new(32, 1).unwrap();
            set.extend(keys);
            set
        };
        let whole = build(&[a.clone(), b.clone(), c.clone()].concat()).into_signature();
        let parts = [build(&a), build(&b), build(&c)];
        for merged in orders(&parts, |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.signature(), whole.clone());
        }
        let signed = parts.map(|part| part.into_signature());
        for merged in orders(&signed, |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(&merged, &whole);
        }
        let sign = |keys: &[u64]| -> Signature {
            let mut set = MinHash::new(16, 1).unwrap();
            set.extend(keys);
            set.into_signature()
        };
        let whole = sign(&[a.clone(), b.clone(), c.clone()].concat());
        for merged in orders(&[sign(&a), sign(&b), sign(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(&merged, &whole);
        }
    }

    #[test]
    fn atomic_structures(a in keys(), b in keys(), c in keys()) {
        let parts = [&a, &b, &c];
        let all = [a.clone(), b.clone(), c.clone()].concat();
        let filter = |keys: &[u64]| {
            let filter = AtomicBloom::with_rate(50, 0.1).unwrap();
            filter.insert_each(keys);
            filter
        };
        let whole = filter(&all).to_bytes();
        for merged in orders(&parts.map(|part| filter(part)), |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.to_bytes(), whole.clone());
        }
        let plain = |keys: &[u64]| {
            let mut sketch = HyperLogLog::new(5).unwrap();
            sketch.extend(keys);
            sketch
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let shared = AtomicHyperLogLog::new(5).unwrap();
            // The first part is counted in place, the others are merged.
            shared.insert_each(parts[order[0]]);
            shared.merge(&plain(parts[order[1]])).unwrap();
            shared.merge(&plain(parts[order[2]])).unwrap();
            let registers = AtomicHyperLogLog::new(5).unwrap();
            registers.insert_each(&all);
            prop_assert_eq!(shared.snapshot(), registers.snapshot());
        }
        let counts = AtomicCountMin::with_size(3, 20).unwrap();
        let mut alone = CountMin::with_size(3, 20).unwrap();
        all.iter().for_each(|key| counts.insert(key));
        alone.insert_each(&a);
        let mut rest = CountMin::with_size(3, 20).unwrap();
        rest.insert_each(&[b.clone(), c.clone()].concat());
        alone.merge(&rest).unwrap();
        prop_assert_eq!(counts.into_count_min(), alone);
    }

    #[test]
    fn keyed_sketches(a in keys(), b in keys(), c in keys()) {
        let build = |keys: &[u64]| {
            let key = SipKey::new([5, 6]);
            let mut sketch = Keyed::new(key, |seed| HyperLogLog::with_seed(6, seed)).unwrap();
            sketch.extend(keys);
            sketch
        };
        let whole = build(&[a.clone(), b.clone(), c.clone()].concat()).to_bytes();
        for merged in orders(&[build(&a), build(&b), build(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.to_bytes(), whole.clone());
        }
    }

    /// Registers are those of the whole stream; the history depends on the order, as in the library.
    #[test]
    fn apache_registers(a in keys(), b in keys(), c in keys(), precision in 4_u8..=9) {
        let build = |keys: &[u64]| {
            let mut sketch = ApacheHll::new(precision, ApacheHllType::Hll8).unwrap();
            keys.iter().for_each(|key| sketch.insert_u64(*key));
            sketch
        };
        let content = |sketch: &ApacheHll| {
            let bytes = sketch.to_bytes();
            match bytes[0] {
                10 => bytes[40..].to_vec(),
                words => bytes[4 * usize::from(words)..].to_vec(),
            }
        };
        let whole = content(&build(&[a.clone(), b.clone(), c.clone()].concat()));
        for merged in orders(&[build(&a), build(&b), build(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(content(&merged), whole.clone());
        }
    }

    #[test]
    fn top_k_bounds(a in keys(), b in keys(), c in keys(), capacity in 2_usize..40) {
        let counts = exact([&a, &b, &c]);
        let total: u64 = counts.values().sum();
        let saving = |keys: &[u64]| {
            let mut counter = SpaceSaving::new(capacity).unwrap();
            counter.extend(keys.iter().copied());
            counter
        };
        for merged in orders(&[saving(&a), saving(&b), saving(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.total(), total);
            prop_assert!(merged.error_bound() <= total / capacity as u64);
            for (key, count) in &counts {
                match merged.get(key) {
                    Some(heavy) => prop_assert!(
                        heavy.count >= *count && heavy.count - heavy.error <= *count
                    ),
                    None => prop_assert!(*count <= merged.error_bound()),
                }
            }
        }
        let frequent = |keys: &[u64]| {
            let mut counter = FrequentItems::new(capacity).unwrap();
            keys.iter().for_each(|key| counter.insert(*key));
            counter
        };
        for merged in orders(&[frequent(&a), frequent(&b), frequent(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.total(), total);
            prop_assert!(merged.error_bound() <= 2 * total / capacity as u64);
            for (key, count) in &counts {
                match merged.get(key) {
                    Some(heavy) => prop_assert!(
                        heavy.count >= *count && heavy.count - heavy.error <= *count
                    ),
                    None => prop_assert!(*count <= merged.error_bound()),
                }
            }
        }
    }

    #[test]
    fn quantile_counts_ends_and_ranks(a in keys(), b in keys(), c in keys()) {
        let mut sorted: Vec<f64> =
            [&a[..], &b, &c].concat().into_iter().map(|key| (key % 1_000) as f64).collect();
        sorted.sort_by(f64::total_cmp);
        let values = |keys: &[u64]| keys.iter().map(|key| (key % 1_000) as f64).collect::<Vec<_>>();
        let digest = |keys: &[u64]| {
            let mut sketch = TDigest::new(100).unwrap();
            sketch.extend(values(keys));
            sketch
        };
        let kll = |keys: &[u64]| {
            let mut sketch = Kll::new(200).unwrap();
            sketch.extend(values(keys));
            sketch
        };
        let ends = (sorted.first().copied(), sorted.last().copied());
        let rank_off = |median: Option<f64>| {
            let median = median.unwrap_or_default();
            let below = sorted.partition_point(|value| *value < median) as f64;
            let to = sorted.partition_point(|value| *value <= median) as f64;
            let middle = (sorted.len().max(1) - 1) as f64 / 2.0;
            (below - 1.0 - middle).max(middle - to).max(0.0) / sorted.len().max(1) as f64
        };
        for merged in orders(&[digest(&a), digest(&b), digest(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.count(), sorted.len() as u64);
            prop_assert_eq!((merged.min(), merged.max()), ends);
            // 7 / 2 / compression, twice that for few different numbers.
            prop_assert!(rank_off(merged.quantile(0.5)) <= 0.07);
        }
        for merged in orders(&[kll(&a), kll(&b), kll(&c)], |x, y| x.merge(y).unwrap()) {
            prop_assert_eq!(merged.count(), sorted.len() as u64);
            prop_assert_eq!((merged.min(), merged.max()), ends);
            // The bound holds with probability 99 %; no case may go beyond three times it.
            prop_assert!(rank_off(merged.quantile(0.5)) <= 3.0 * merged.rank_error());
        }
    }
}
