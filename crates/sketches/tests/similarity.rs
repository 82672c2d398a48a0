//! MinHash against the exact Jaccard similarity, and the LSH index on planted pairs.

mod support;

use sketches::{LshIndex, MinHash, Signature};
use support::Random;

/// Two sets of `size` elements with `shared` in common, as signatures; fresh random elements.
fn planted(random: &mut Random, permutations: usize, size: u64, shared: u64) -> [Signature; 2] {
    let mut sets = [0, 1].map(|_| MinHash::new(permutations, 0).unwrap());
    for _ in 0..shared {
        let element = random.next();
        sets.iter_mut().for_each(|set| set.insert(&element));
    }
    for set in &mut sets {
        (shared..size).for_each(|_| set.insert(&random.next()));
    }
    sets.map(MinHash::into_signature)
}

/// Elements that two sets of `size` share at a similarity.
#[expect(clippy::cast_possible_truncation, reason = "a share of a small size")]
fn shared_at(size: u64, similarity: f64) -> u64 {
    (2.0 * size as f64 * similarity / (1.0 + similarity)).round() as u64
}

#[test]
fn the_error_is_that_of_independent_permutations() {
    let mut random = Random(1);
    let trials = 300;
    for (permutations, size) in [(128, 60), (128, 1000), (64, 300), (256, 300)] {
        for similarity in [0.1, 0.5, 0.9] {
            let shared = shared_at(size, similarity);
            let exact = shared as f64 / (2 * size - shared) as f64;
            let (mut squares, mut sum) = (0.0, 0.0);
            for _ in 0..trials {
                let [a, b] = planted(&mut random, permutations, size, shared);
                let error = a.jaccard(&b).unwrap() - exact;
                squares += error * error;
                sum += error;
            }
            let ideal = (exact * (1.0 - exact) / permutations as f64).sqrt();
            let rmse = (squares / f64::from(trials)).sqrt();
            // Three standard deviations of a root mean square over 300 trials are 12 %.
            assert!(
                rmse <= 1.13 * ideal,
                "{permutations} {size} {exact}: {rmse} of {ideal}"
            );
            let bias = sum / f64::from(trials);
            assert!(
                bias.abs() <= 4.0 * ideal / f64::from(trials).sqrt(),
                "{exact}: bias {bias}"
            );
        }
    }
}

#[test]
fn structured_elements_do_as_well_as_random_ones() {
    let mut squares = 0.0;
    let trials = 200;
    for seed in 0..trials {
        let set = |range: core::ops::Range<u64>| {
            let mut set = MinHash::new(128, seed).unwrap();
            set.extend(range);
            set
        };
        let error = set(0..600).jaccard(&set(200..800)).unwrap() - 0.5;
        squares += error * error;
    }
    let rmse = (squares / trials as f64).sqrt();
    assert!(rmse <= 1.16 * (0.25_f64 / 128.0).sqrt(), "{rmse}");
}

#[test]
fn ends_of_similarity() {
    let mut random = Random(2);
    let [same, again] = planted(&mut random, 128, 50, 50);
    assert_eq!(same.jaccard(&again), Ok(1.0));
    let [one, other] = planted(&mut random, 128, 50, 0);
    assert!(one.jaccard(&other).unwrap() < 0.05);
    let empty = MinHash::default();
    assert!(empty.is_empty());
    assert_eq!(empty.jaccard(&MinHash::default()), Ok(1.0));
    assert_eq!(empty.signature().jaccard(&one), Ok(0.0));
    let mut cleared = MinHash::try_from(one).unwrap();
    cleared.clear();
    assert_eq!(cleared, empty);
}

#[test]
fn a_signature_of_fewer_permutations_is_a_prefix() {
    let mut short = MinHash::new(16, 4).unwrap();
    let mut long = MinHash::new(128, 4).unwrap();
    (0..100_u32).for_each(|i| {
        short.insert(&i);
        long.insert(&i);
    });
    assert_eq!(short.signature().minima(), &long.signature().minima()[..16]);
}

/// 400 planted pairs at similarities from 0 to 1 among 1,000 unrelated sets.
fn planted_index(threshold: f64) -> (LshIndex<u32>, Vec<(u32, u32, f64)>) {
    let mut random = Random(3);
    let mut index = LshIndex::new(threshold, 128).unwrap();
    let mut pairs = Vec::new();
    for pair in 0..400_u32 {
        let shared = shared_at(200, f64::from(pair % 20) / 20.0 + 0.025);
        let exact = shared as f64 / (400 - shared) as f64;
        let [a, b] = planted(&mut random, 128, 200, shared);
        index.insert(2 * pair, a).unwrap();
        index.insert(2 * pair + 1, b).unwrap();
        pairs.push((2 * pair, 2 * pair + 1, exact));
    }
    for id in 800..1_800 {
        let [a, _] = planted(&mut random, 128, 200, 0);
        index.insert(id, a).unwrap();
    }
    (index, pairs)
}

#[test]
fn planted_pairs_are_found_with_high_precision_and_recall() {
    for threshold in [0.3, 0.5, 0.7, 0.8, 0.9] {
        let (index, planted) = planted_index(threshold);
        let found = index.similar_pairs();
        let near = found.iter().all(|(a, b, _)| a / 2 == b / 2 && *b < 800);
        assert!(near, "{threshold}: an unrelated pair was found");
        let was_found =
            |pair: &&(u32, u32, f64)| found.iter().any(|(a, b, _)| (pair.0, pair.1) == (*a, *b));
        // An estimate has a standard error of up to 0.044: pairs nearer to the threshold than that
        // fall on either side of it, whatever the index does.
        let unlike = |pair: &&(u32, u32, f64)| pair.2 < threshold - 0.044;
        let wrong = planted.iter().filter(unlike).filter(was_found).count();
        let precision = 1.0 - wrong as f64 / found.len() as f64;
        assert!(precision >= 0.92, "{threshold}: precision {precision}");
        let alike = || planted.iter().filter(|pair| pair.2 >= threshold + 0.044);
        let recall = alike().filter(was_found).count() as f64 / alike().count() as f64;
        assert!(recall >= 0.92, "{threshold}: recall {recall}");
    }
}

#[test]
fn pairs_at_the_threshold_become_candidates_as_often_as_promised() {
    let mut random = Random(11);
    for threshold in [0.5, 0.8] {
        let shared = shared_at(400, threshold);
        let (mut alike, mut found) = (0, 0);
        for _ in 0..1_000 {
            let [a, b] = planted(&mut random, 128, 400, shared);
            // Only pairs whose estimate passes can be answered.
            if a.jaccard(&b).unwrap() >= threshold {
                let mut index = LshIndex::new(threshold, 128).unwrap();
                index.insert(1, a).unwrap();
                alike += 1;
                found += index.query(&b).unwrap().len();
            }
        }
        assert!(alike > 300);
        assert!(
            found as f64 >= 0.9 * f64::from(alike),
            "{threshold}: {found} of {alike}"
        );
    }
}

#[test]
fn a_pair_well_above_the_threshold_is_always_found() {
    let (index, planted) = planted_index(0.5);
    for (a, b, exact) in planted.iter().filter(|pair| pair.2 > 0.75) {
        let near = index.query(index.get(a).unwrap()).unwrap();
        assert_eq!(near[0], (*a, 1.0));
        let (id, estimate) = near[1];
        assert_eq!(id, *b);
        assert!((estimate - exact).abs() < 0.2);
    }
}

#[test]
fn query_and_pairs_are_those_of_comparing_all_candidates() {
    let (index, _) = planted_index(0.4);
    let pairs = index.similar_pairs();
    assert!(pairs.is_sorted_by(|a, b| a.2 >= b.2));
    let mut from_queries = Vec::new();
    for (id, signature) in index.iter() {
        let near = index.query(signature).unwrap();
        assert!(near.is_sorted_by(|a, b| a.1 >= b.1));
        for (other, similarity) in near {
            assert!(similarity >= 0.4);
            assert_eq!(
                similarity,
                index.get(&other).unwrap().jaccard(signature).unwrap()
            );
            if *id < other {
                from_queries.push((*id, other));
            }
        }
    }
    from_queries.sort_unstable();
    let mut pairs: Vec<_> = pairs.into_iter().map(|(a, b, _)| (a, b)).collect();
    pairs.sort_unstable();
    assert_eq!(pairs, from_queries);
}

#[test]
fn ids_come_and_go() {
    let mut random = Random(9);
    let mut index: LshIndex<String> = LshIndex::new(0.5, 64).unwrap();
    let mut model: Vec<Option<Signature>> = vec![None; 40];
    for _ in 0..3_000 {
        let at = usize::try_from(random.below(40)).unwrap();
        let id = format!("document {at}");
        if random.below(3) == 0 {
            assert_eq!(index.remove(&id), model[at].take());
        } else {
            let mut set = MinHash::new(64, 0).unwrap();
            let start = random.below(200);
            set.extend(start..start + 100);
            let previous = index.insert(id, set.signature()).unwrap();
            assert_eq!(previous, model[at].replace(set.into_signature()));
        }
        assert_eq!(index.len(), model.iter().flatten().count());
    }
    for (at, signature) in model.iter().enumerate() {
        let id = format!("document {at}");
        assert_eq!(index.get(&id), signature.as_ref());
        assert_eq!(index.contains(&id), signature.is_some());
        if let Some(signature) = signature {
            let near = index.query(signature).unwrap();
            assert!(
                near.iter()
                    .any(|(other, similarity)| *other == id && *similarity == 1.0)
            );
        }
    }
    (0..40).for_each(|at| drop(index.remove(&format!("document {at}"))));
    assert!(index.is_empty());
    assert!(index.similar_pairs().is_empty());
    let anything = MinHash::new(64, 0).unwrap().into_signature();
    assert!(index.query(&anything).unwrap().is_empty());
}

#[test]
fn equals_are_answered_in_the_order_of_insertion() {
    let mut set = MinHash::default();
    set.extend(0..10_u32);
    let mut index = LshIndex::new(0.9, 128).unwrap();
    for id in [5, 3, 8, 1] {
        index.insert(id, set.signature()).unwrap();
    }
    index.remove(&5);
    index.insert(5, set.signature()).unwrap();
    let ids: Vec<i32> = index
        .query(&set.signature())
        .unwrap()
        .into_iter()
        .map(|n| n.0)
        .collect();
    assert_eq!(ids, [3, 8, 1, 5]);
    let pairs: Vec<_> = index
        .similar_pairs()
        .into_iter()
        .map(|(a, b, _)| (a, b))
        .collect();
    assert_eq!(pairs, [(3, 8), (3, 1), (3, 5), (8, 1), (8, 5), (1, 5)]);
}
