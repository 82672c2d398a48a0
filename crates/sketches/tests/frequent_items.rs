//! Frequent items: bounds of every count, and the guarantee for heavy keys.

mod support;

use std::collections::HashMap;

use sketches::top_k::FrequentItems;
use support::{Random, Zipf};

fn check(counter: &FrequentItems<u64>, counts: &HashMap<u64, u64>) {
    let total: u64 = counts.values().sum();
    assert_eq!(counter.total(), total);
    let bound = counter.error_bound();
    assert!(u128::from(bound) * (counter.capacity() as u128 / 2 + 1) <= u128::from(total));
    let kept = counter.top(usize::MAX);
    assert_eq!(kept.len(), counter.len());
    assert!(kept.len() <= counter.capacity());
    assert!(kept.is_sorted_by(|a, b| a.count >= b.count));
    for heavy in &kept {
        let count = counts[&heavy.item];
        assert_eq!(heavy.error, bound);
        let least = heavy.count - heavy.error;
        assert!(least <= count && count <= heavy.count, "{heavy:?} {count}");
        assert_eq!(counter.get(&heavy.item).as_ref(), Some(heavy));
    }
    for (key, count) in counts {
        assert!(
            counter.get(key).is_some() || *count <= bound,
            "{key} with {count} was dropped"
        );
    }
}

fn exact(stream: &[(u64, u64)]) -> HashMap<u64, u64> {
    let mut counts = HashMap::new();
    for (key, count) in stream {
        *counts.entry(*key).or_insert(0) += count;
    }
    counts
}

fn streams() -> Vec<Vec<(u64, u64)>> {
    let mut random = Random(4);
    let (steep, flat) = (Zipf::new(5_000, 1.2), Zipf::new(5_000, 0.0));
    vec![
        (0..30_000).map(|_| (steep.draw(&mut random), 1)).collect(),
        (0..10_000).map(|_| (flat.draw(&mut random), 1)).collect(),
        (0..10_000)
            .map(|_| (steep.draw(&mut random), 1 + random.below(1_000_000)))
            .collect(),
        (0..10_000).map(|key| (key, 1)).collect(),
        (0..10_000).map(|i| (i / 40, 1)).collect(),
        (0..10_000).map(|i| (i % 101, 3)).collect(),
        (0..60).map(|i| (i, 1 << i)).collect(),
        vec![(3, 1); 1_000],
        Vec::new(),
    ]
}

fn build(capacity: usize, stream: &[(u64, u64)]) -> FrequentItems<u64> {
    let mut counter = FrequentItems::new(capacity).unwrap();
    stream
        .iter()
        .for_each(|(key, count)| counter.add(*key, *count));
    counter
}

#[test]
fn every_bound_holds_on_every_stream() {
    for stream in streams() {
        for capacity in [2, 3, 10, 100] {
            check(&build(capacity, &stream), &exact(&stream));
        }
    }
}

#[test]
fn every_bound_holds_after_merging_parts_in_any_order() {
    for stream in streams() {
        for capacity in [2, 10, 100] {
            let parts = stream.chunks(stream.len() / 5 + 1);
            let mut parts: Vec<_> = parts.map(|part| build(capacity, part)).collect();
            for _ in 0..2 {
                let mut merged = FrequentItems::new(capacity).unwrap();
                parts.iter().for_each(|part| merged.merge(part).unwrap());
                check(&merged, &exact(&stream));
                parts.reverse();
            }
        }
    }
}

#[test]
fn slices_hold_every_bound_and_are_one_by_one_while_there_is_room() {
    for stream in streams() {
        let keys: Vec<u64> = stream.iter().map(|(key, _)| *key).collect();
        let ones: Vec<(u64, u64)> = keys.iter().map(|key| (*key, 1)).collect();
        for capacity in [2, 3, 10, 100, 20_000] {
            for length in [1, 127, 128, 1000] {
                let mut counter = FrequentItems::new(capacity).unwrap();
                keys.chunks(length)
                    .for_each(|keys| counter.insert_each(keys));
                check(&counter, &exact(&ones));
                if counter.error_bound() == 0 || length == 1 {
                    assert_eq!(counter.to_bytes(), build(capacity, &ones).to_bytes());
                }
            }
        }
    }
}

#[test]
fn keys_of_no_bytes_and_keys_that_own_memory_are_counted() {
    let mut nothing = FrequentItems::new(2).unwrap();
    nothing.insert_each(&[(); 300]);
    nothing.insert(());
    assert_eq!((nothing.len(), nothing.top(1)[0].count), (1, 301));
    let words: Vec<String> = (0..2000).map(|i| format!("word {}", i * i % 97)).collect();
    let mut counter = FrequentItems::new(200).unwrap();
    counter.insert_each(&words);
    let counts = |word: &String| words.iter().filter(|other| *other == word).count() as u64;
    for heavy in counter.top(200) {
        assert_eq!((heavy.count, heavy.error), (counts(&heavy.item), 0));
    }
}

#[test]
fn merging_is_commutative() {
    for stream in streams() {
        let (left, right) = stream.split_at(stream.len() / 3);
        let (left, right) = (build(20, left), build(20, right));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.merge(&right).unwrap();
        other.merge(&left).unwrap();
        assert_eq!(one.to_bytes(), other.to_bytes());
    }
}

#[test]
fn a_counter_goes_on_after_decoding_as_before() {
    let (zipf, mut random) = (Zipf::new(1_000, 0.8), Random(7));
    let mut original = FrequentItems::new(20).unwrap();
    (0..2_000).for_each(|_| original.insert(zipf.draw(&mut random)));
    let mut decoded = FrequentItems::<u64>::from_bytes(&original.to_bytes()).unwrap();
    for _ in 0..2_000 {
        let key = zipf.draw(&mut random);
        original.insert(key);
        decoded.insert(key);
    }
    assert_eq!(original.to_bytes(), decoded.to_bytes());
}

#[test]
fn counts_are_exact_while_there_is_room() {
    let mut counter = FrequentItems::new(50).unwrap();
    (0..50_u64).for_each(|key| counter.add(key, key + 1));
    assert_eq!((counter.error_bound(), counter.len()), (0, 50));
    assert_eq!(counter.top(1)[0].item, 49);
    counter.clear();
    assert!(counter.is_empty() && counter.total() == 0);
}

#[test]
fn counts_stop_at_the_largest_number_and_stay_readable() {
    let mut counter = FrequentItems::new(2).unwrap();
    for key in 0..5_u64 {
        counter.add(key, u64::MAX);
    }
    assert_eq!(counter.total(), u64::MAX);
    assert!(FrequentItems::<u64>::from_bytes(&counter.to_bytes()).is_ok());
}

#[test]
fn parameters_outside_their_range_are_refused() {
    for capacity in [0, 1, FrequentItems::<u64>::CAPACITY_MAX + 1] {
        assert_eq!(
            FrequentItems::<u64>::new(capacity).unwrap_err().to_string(),
            format!("frequent-items: capacity is {capacity}, allowed: 2 to 2^24")
        );
    }
    let mut counter = FrequentItems::<u8>::new(4).unwrap();
    assert_eq!(
        counter
            .merge(&FrequentItems::new(5).unwrap())
            .unwrap_err()
            .to_string(),
        "frequent-items: capacity differs, 4 here and 5 there"
    );
    let seeded = FrequentItems::with_seed(4, 1).unwrap();
    assert!(
        counter
            .merge(&seeded)
            .unwrap_err()
            .to_string()
            .contains("seeds differ")
    );
}
