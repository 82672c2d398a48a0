//! Space-Saving: bounds of every count, and the guarantee for heavy keys.

mod support;

use std::collections::HashMap;

use sketches::SpaceSaving;
use support::{Random, Zipf};

fn check(counter: &SpaceSaving<u64>, counts: &HashMap<u64, u64>) {
    let total: u64 = counts.values().sum();
    assert_eq!(counter.total(), total);
    let share = total / counter.capacity() as u64;
    assert!(counter.error_bound() <= share);
    let kept = counter.top(usize::MAX);
    assert_eq!(kept.len(), counter.len());
    assert!(kept.is_sorted_by(|a, b| a.count >= b.count));
    for heavy in &kept {
        let count = counts[&heavy.item];
        assert!(
            heavy.count >= count && heavy.count - heavy.error <= count,
            "{heavy:?} {count}"
        );
        assert!(heavy.error <= share);
        assert_eq!(counter.get(&heavy.item), Some(heavy));
    }
    for (key, count) in counts {
        match counter.get(key) {
            Some(heavy) => assert_eq!(heavy.item, *key),
            None => assert!(
                *count <= counter.error_bound(),
                "{key} with {count} was dropped"
            ),
        }
    }
}

fn count(stream: &[u64]) -> HashMap<u64, u64> {
    let mut counts = HashMap::new();
    for key in stream {
        *counts.entry(*key).or_insert(0) += 1;
    }
    counts
}

fn streams() -> Vec<Vec<u64>> {
    let mut random = Random(4);
    let (steep, flat) = (Zipf::new(5_000, 1.2), Zipf::new(5_000, 0.0));
    vec![
        (0..30_000).map(|_| steep.draw(&mut random)).collect(),
        (0..10_000).map(|_| flat.draw(&mut random)).collect(),
        (0..10_000).collect(),
        (0..10_000).map(|i| i / 40).collect(),
        (0..10_000).map(|i| i % 101).collect(),
        vec![3; 1_000],
        Vec::new(),
    ]
}

#[test]
fn every_bound_holds_on_every_stream() {
    for stream in streams() {
        for capacity in [1, 2, 10, 100] {
            let mut counter = SpaceSaving::new(capacity).unwrap();
            counter.extend(stream.iter().copied());
            check(&counter, &count(&stream));
        }
    }
}

#[test]
fn every_bound_holds_after_merging_parts_in_any_order() {
    for stream in streams() {
        for capacity in [1, 10, 100] {
            let mut parts: Vec<SpaceSaving<u64>> = stream
                .chunks(stream.len() / 5 + 1)
                .map(|part| {
                    let mut counter = SpaceSaving::new(capacity).unwrap();
                    counter.extend(part.iter().copied());
                    counter
                })
                .collect();
            for _ in 0..2 {
                let mut merged = SpaceSaving::new(capacity).unwrap();
                parts.iter().for_each(|part| merged.merge(part).unwrap());
                check(&merged, &count(&stream));
                parts.reverse();
            }
        }
    }
}

#[test]
fn the_heaviest_of_a_zipf_stream_are_found_in_order() {
    let (zipf, mut random) = (Zipf::new(10_000, 1.3), Random(6));
    let mut counter = SpaceSaving::new(200).unwrap();
    (0..100_000).for_each(|_| counter.insert(zipf.draw(&mut random)));
    let top: Vec<u64> = counter.top(5).into_iter().map(|heavy| heavy.item).collect();
    assert_eq!(top, [1, 2, 3, 4, 5]);
}

#[test]
fn equals_are_ordered_without_regard_to_insertion() {
    let mut forward = SpaceSaving::new(50).unwrap();
    let mut backward = SpaceSaving::new(50).unwrap();
    (0..50_u64).for_each(|key| forward.insert(key));
    (0..50_u64).rev().for_each(|key| backward.insert(key));
    assert_eq!(forward.top(50), backward.top(50));
    assert_eq!(forward.to_bytes(), backward.to_bytes());
}

#[test]
fn a_counter_goes_on_after_decoding_as_before() {
    let (zipf, mut random) = (Zipf::new(1_000, 0.8), Random(7));
    let mut original = SpaceSaving::new(20).unwrap();
    (0..2_000).for_each(|_| original.insert(zipf.draw(&mut random)));
    let mut decoded = SpaceSaving::<u64>::from_bytes(&original.to_bytes()).unwrap();
    for _ in 0..2_000 {
        let key = zipf.draw(&mut random);
        original.insert(key);
        decoded.insert(key);
    }
    assert_eq!(original.to_bytes(), decoded.to_bytes());
}

#[test]
fn counts_stop_at_the_largest_number_and_stay_readable() {
    let mut counter = SpaceSaving::new(1).unwrap();
    counter.add(1_u64, u64::MAX);
    counter.add(2_u64, 7);
    assert_eq!(counter.top(1)[0].count, u64::MAX);
    assert!(SpaceSaving::<u64>::from_bytes(&counter.to_bytes()).is_ok());
}
