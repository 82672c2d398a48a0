//! One-permutation MinHash and packed signatures against the exact Jaccard similarity.

mod support;

use sketches::{
    LshIndex, MinHash, Signature,
    similarity::{OnePermutation, PackedSignature, Scheme},
};
use support::Random;

/// Two sets of `size` elements with `shared` in common; fresh random elements.
fn planted(random: &mut Random, bins: usize, size: u64, shared: u64) -> [Signature; 2] {
    let mut sets = [0, 1].map(|_| OnePermutation::new(bins, 0).unwrap());
    for _ in 0..shared {
        let element = random.next();
        sets.iter_mut().for_each(|set| set.insert(&element));
    }
    for set in &mut sets {
        (shared..size).for_each(|_| set.insert(&random.next()));
    }
    sets.map(OnePermutation::into_signature)
}

/// Root mean square error over that of independent permutations, and the bias over the standard
/// error of the bias.
fn errors(trials: u32, exact: f64, k: usize, mut estimate: impl FnMut() -> f64) -> (f64, f64) {
    let (mut squares, mut sum) = (0.0, 0.0);
    for _ in 0..trials {
        let error = estimate() - exact;
        squares += error * error;
        sum += error;
    }
    let ideal = (exact * (1.0 - exact) / k as f64).sqrt();
    let trials = f64::from(trials);
    (
        (squares / trials).sqrt() / ideal,
        sum / trials / (ideal / trials.sqrt()),
    )
}

#[test]
fn the_error_is_at_most_that_of_independent_permutations() {
    let mut random = Random(1);
    for (bins, size) in [
        (128, 10),
        (128, 60),
        (128, 300),
        (128, 2000),
        (64, 60),
        (100, 100),
    ] {
        for third in [1, 2] {
            let shared = size * third / 3;
            let exact = shared as f64 / (2 * size - shared) as f64;
            let (error, bias) = errors(400, exact, bins, || {
                let [a, b] = planted(&mut random, bins, size, shared);
                a.jaccard(&b).unwrap()
            });
            // Three standard deviations of a root mean square over 400 trials are 10.6 %.
            assert!(
                error <= 1.106,
                "{bins} {size} {exact}: {error} of the ideal error"
            );
            assert!(bias.abs() <= 4.0, "{bins} {size} {exact}: bias {bias}");
        }
    }
}

#[test]
fn elements_that_come_again_or_in_any_order_change_nothing() {
    let elements: Vec<u64> = (0..5000).collect();
    for size in [1, 5, 100, 1000, 5000] {
        let mut once = OnePermutation::new(64, 3).unwrap();
        once.extend(&elements[..size]);
        let mut again = OnePermutation::new(64, 3).unwrap();
        for round in 0..3 {
            elements[..size]
                .iter()
                .rev()
                .for_each(|element| again.insert(element));
            (0..1000 * round).for_each(|_| again.insert(&0_u64));
        }
        assert_eq!(once.signature(), again.signature(), "{size}");
        assert!(
            again.memory_bytes() < 64 * 8 * 40,
            "{}",
            again.memory_bytes()
        );
    }
}

#[test]
fn merging_gives_the_set_of_both_before_and_after_signing() {
    let mut random = Random(5);
    for (left, right) in [(0, 3), (5, 9), (30, 700), (400, 400), (3000, 20)] {
        let mut build = |count: u64, both: &mut OnePermutation| {
            let mut set = OnePermutation::new(128, 0).unwrap();
            for _ in 0..count {
                let element = random.next();
                set.insert(&element);
                both.insert(&element);
            }
            set
        };
        let mut both = OnePermutation::new(128, 0).unwrap();
        let (a, b) = (build(left, &mut both), build(right, &mut both));
        for (mut one, other) in [(a.clone(), &b), (b.clone(), &a)] {
            one.merge(other).unwrap();
            assert_eq!(one.signature(), both.signature(), "{left} {right}");
        }
        let mut signed = a.signature();
        signed.merge(&b.signature()).unwrap();
        assert_eq!(signed, both.signature(), "{left} {right}");
        // And by a sketch that went through bytes.
        let mut decoded = OnePermutation::from_bytes(&a.to_bytes()).unwrap();
        decoded.merge(&b).unwrap();
        assert_eq!(decoded.into_signature(), both.signature(), "{left} {right}");
    }
}

#[test]
fn the_empty_set_and_the_schemes() {
    let empty = OnePermutation::new(128, 0).unwrap();
    assert!(empty.is_empty() && empty.signature().is_empty());
    assert_eq!(
        empty.jaccard(&OnePermutation::new(128, 0).unwrap()),
        Ok(1.0)
    );
    let mut set = empty.clone();
    set.insert("a");
    assert_eq!(set.jaccard(&empty), Ok(0.0));
    set.clear();
    assert!(set.is_empty());
    let classic = MinHash::new(128, 0).unwrap();
    let message = "minhash: scheme differs, one permutation here and permutations there";
    let error = empty.signature().jaccard(&classic.signature()).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert!(OnePermutation::try_from(classic.signature()).is_err());
    assert!(MinHash::try_from(empty.signature()).is_err());
    assert!(
        OnePermutation::try_from(empty.signature())
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        Signature::from_bytes(&empty.to_bytes()),
        Ok(empty.signature())
    );
    assert!(MinHash::from_bytes(&empty.to_bytes()).is_err());
    for bins in [0, 4097] {
        let message =
            format!("one-permutation minhash: permutations is {bins}, allowed: 1 to 4096");
        assert_eq!(
            OnePermutation::new(bins, 0).unwrap_err().to_string(),
            message
        );
    }
    let mut other = OnePermutation::new(64, 0).unwrap();
    let message = "one-permutation minhash: bins differs, 64 here and 128 there";
    assert_eq!(other.merge(&empty).unwrap_err().to_string(), message);
}

#[test]
fn an_index_holds_them_if_told_so() {
    let mut random = Random(8);
    let [a, b] = planted(&mut random, 128, 300, 290);
    let mut index = LshIndex::new(0.8, 128).unwrap();
    let message = "lsh index: scheme differs, permutations here and one permutation there";
    assert_eq!(index.insert(1, a.clone()).unwrap_err().to_string(), message);
    index = index.with_scheme(Scheme::OnePermutation).unwrap();
    index.insert(1, a).unwrap();
    assert_eq!(index.query(&b).unwrap()[0].0, 1);
    assert!(index.with_scheme(Scheme::Permutations).is_err());
}

#[test]
fn packed_signatures_have_the_documented_error() {
    let mut random = Random(9);
    for bits in [1, 2, 4, 8, 16] {
        for one_permutation in [false, true] {
            let (k, size, shared) = (256, 500, 300);
            let exact = shared as f64 / (2 * size - shared) as f64;
            let by_chance = 0.5_f64.powi(i32::try_from(bits).unwrap());
            let agree = exact + (1.0 - exact) * by_chance;
            let documented = (agree * (1.0 - agree) / f64::from(k)).sqrt() / (1.0 - by_chance);
            let (error, bias) = errors(200, exact, 256, || {
                let [a, b] = if one_permutation {
                    planted(&mut random, 256, size, shared)
                } else {
                    let mut sets = [0, 1].map(|_| MinHash::new(256, 0).unwrap());
                    let elements: Vec<u64> =
                        (0..2 * size - shared).map(|_| random.next()).collect();
                    let size = usize::try_from(size).unwrap();
                    sets[0].extend(&elements[..size]);
                    sets[1].extend(&elements[elements.len() - size..]);
                    sets.map(MinHash::into_signature)
                };
                let pack = |signature| PackedSignature::new(signature, bits).unwrap();
                pack(&a).jaccard(&pack(&b)).unwrap()
            });
            let ratio = documented / (exact * (1.0 - exact) / f64::from(k)).sqrt();
            // Three standard deviations over 200 trials are 15 %.
            assert!(error <= 1.15 * ratio, "{bits}: {error} of {ratio}");
            assert!(bias.abs() <= 4.0 * ratio, "{bits}: bias {bias}");
        }
    }
}

#[test]
fn packed_signatures_of_other_kinds_do_not_compare() {
    let signature = MinHash::new(100, 0).unwrap().signature();
    let pack = |bits| PackedSignature::new(&signature, bits);
    for bits in [0, 3, 32] {
        let message = format!("packed signature: bits is {bits}, allowed: 1, 2, 4, 8 or 16");
        assert_eq!(pack(bits).unwrap_err().to_string(), message);
    }
    let four = pack(4).unwrap();
    assert_eq!(four.jaccard(&four), Ok(1.0));
    assert_eq!((four.bits(), four.permutations(), four.seed()), (4, 100, 0));
    assert!(four.jaccard(&pack(8).unwrap()).is_err());
    let other = OnePermutation::new(100, 0).unwrap().signature();
    assert!(
        four.jaccard(&PackedSignature::new(&other, 4).unwrap())
            .is_err()
    );
    let seeded = MinHash::new(100, 1).unwrap().signature();
    assert!(
        four.jaccard(&PackedSignature::new(&seeded, 4).unwrap())
            .is_err()
    );
    let short = MinHash::new(99, 0).unwrap().signature();
    assert!(
        four.jaccard(&PackedSignature::new(&short, 4).unwrap())
            .is_err()
    );
}
