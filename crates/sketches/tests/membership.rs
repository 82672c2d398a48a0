//! Bloom filters: no false negatives, false positives at the documented rate.

mod support;

use sketches::{
    BinaryFuse8, BloomFilter, SplitBlockBloom,
    hash::{hash_u64, parquet_hash},
};
use support::Random;

/// Most false positives among `trials` at a rate: five standard deviations above the mean.
fn allowed(trials: f64, rate: f64) -> f64 {
    trials * rate + 5.0 * (trials * rate).sqrt() + 1.0
}

#[test]
fn classic_filters_hold_their_rate() {
    for (items, rate) in [
        (100, 0.01),
        (1000, 0.2),
        (10_000, 0.01),
        (10_000, 1e-3),
        (20_000, 1e-5),
        (3_000, 0.9),
    ] {
        let mut filter = BloomFilter::with_rate(items, rate).unwrap();
        filter.extend(0..items);
        assert!((0..items).all(|key| filter.contains(&key)));
        let trials = 400_000;
        let wrong = (items..items + trials)
            .filter(|key| filter.contains(key))
            .count();
        assert!(
            (wrong as f64) < allowed(trials as f64, rate),
            "{items} {rate}: {wrong}"
        );
        let present = filter.estimated_items() / items as f64 - 1.0;
        assert!(present.abs() < 0.1, "{items} {rate}: {present}");
    }
}

#[test]
fn small_filters_with_many_hashes_hold_their_rate() {
    // Averaged over many filters, since one small filter varies.
    let (items, rate) = (20_u64, 1e-3);
    let mut wrong = 0_usize;
    for trial in 0..500_u64 {
        let mut filter = BloomFilter::with_rate(items, rate).unwrap();
        let base = trial << 32;
        filter.extend(base..base + items);
        wrong += (0..2_000)
            .filter(|key| filter.contains(&(base + items + key)))
            .count();
    }
    // The textbook formula is a few per cent low for filters of 300 bits.
    assert!((wrong as f64) < 1.3 * allowed(1e6, rate), "{wrong}");
}

#[test]
fn a_million_bits_with_three_hashes() {
    let mut filter = BloomFilter::with_size(1_000_000, 3).unwrap();
    assert_eq!((filter.bits(), filter.hashes()), (1_000_000, 3));
    filter.extend(0..100_000_u64);
    let expected = (1.0 - (-0.3_f64).exp()).powi(3);
    assert!((filter.false_positive_rate() / expected - 1.0).abs() < 0.02);
    let wrong = (100_000..500_000_u64)
        .filter(|key| filter.contains(key))
        .count();
    assert!((wrong as f64) < allowed(400_000.0, expected), "{wrong}");
    assert!(wrong as f64 > 0.9 * 400_000.0 * expected, "{wrong}");
}

#[test]
fn split_block_filters_hold_their_rate() {
    for (items, rate) in [(100, 0.01), (10_000, 0.2), (10_000, 0.01), (20_000, 1e-4)] {
        let mut filter = SplitBlockBloom::with_rate(items, rate).unwrap();
        filter.extend(0..items);
        assert!((0..items).all(|key| filter.contains(&key)));
        assert!(filter.false_positive_rate(items) <= rate);
        let trials = 400_000;
        let wrong = (items..items + trials)
            .filter(|key| filter.contains(key))
            .count();
        assert!(
            (wrong as f64) < allowed(trials as f64, rate),
            "{items} {rate}: {wrong}"
        );
    }
}

#[test]
fn insert_tells_what_was_new() {
    let mut random = Random(3);
    let mut classic = BloomFilter::with_rate(1000, 0.01).unwrap();
    let mut blocks = SplitBlockBloom::with_rate(1000, 0.01).unwrap();
    for _ in 0..1000 {
        let key = random.next();
        let (in_classic, in_blocks) = (classic.contains(&key), blocks.contains(&key));
        assert_eq!(classic.insert(&key), !in_classic);
        assert_eq!(blocks.insert(&key), !in_blocks);
        assert!(!classic.insert(&key) && !blocks.insert(&key));
    }
}

#[test]
fn the_parquet_layout_is_that_of_the_specification() {
    // Worked by hand from the Parquet specification: block ((hash >> 32) * blocks) >> 32, and in
    // word i the bit ((low half * salt i) >> 27).
    let mut filter = SplitBlockBloom::with_size(64).unwrap();
    filter.insert_hash(0xffff_ffff_0000_0001);
    let salts: [u32; 8] = [
        0x47b6_137b,
        0x4497_4d91,
        0x8824_ad5b,
        0xa2b7_289d,
        0x7054_95c7,
        0x2df1_424b,
        0x9efc_4947,
        0x5c6b_fb31,
    ];
    let mut expected = vec![0_u8; 32];
    for salt in salts {
        expected.extend((1_u32 << (salt >> 27)).to_le_bytes());
    }
    assert_eq!(filter.to_parquet_bitset(), expected);
    let again = SplitBlockBloom::from_parquet_bitset(&expected).unwrap();
    assert!(again.contains_hash(0xffff_ffff_0000_0001));
    assert!(!again.contains_hash(1));
}

#[test]
fn the_parquet_hash_is_xxh64() {
    // Vector of the xxHash project.
    assert_eq!(parquet_hash(b""), 0xef46_db37_51d8_e999);
}

#[test]
fn a_static_filter_finds_its_keys_and_few_others() {
    for count in (0..70).chain([1_000, 10_000, 32_767, 32_768, 200_000]) {
        let keys: Vec<u64> = (0..count).collect();
        let filter = BinaryFuse8::with_seed(&keys, count).unwrap();
        assert_eq!(filter.len() as u64, count);
        assert!(keys.iter().all(|key| filter.contains(key)), "{count}");
        let mut found = vec![false; 3];
        filter.contains_each(&keys, &mut found);
        assert_eq!(found, vec![true; keys.len()]);
        let trials = 40_000;
        let others: Vec<u64> = (count..count + trials).collect();
        filter.contains_each(&others, &mut found);
        let wrong = found.iter().filter(|found| **found).count();
        let one_by_one = others.iter().filter(|key| filter.contains(*key)).count();
        assert_eq!(wrong, one_by_one);
        assert!(
            (wrong as f64) < allowed(trials as f64, 1.0 / 256.0),
            "{count}: {wrong}"
        );
        assert_eq!(wrong == 0, count == 0, "{count}");
    }
}

#[test]
fn a_static_filter_of_a_million_keys_takes_nine_bits_each() {
    let keys: Vec<u64> = (0..1_000_000).collect();
    let filter = BinaryFuse8::from_keys(&keys).unwrap();
    assert!(keys.iter().all(|key| filter.contains(key)));
    let bits = 8.0 * filter.filter_bytes() as f64 / 1e6;
    assert!(bits <= 9.1, "{bits}");
}

#[test]
fn a_static_filter_takes_repeated_keys() {
    for repeats in [2, 3, 63, 64, 65, 128, 1000] {
        let hashes: Vec<u64> = (0..1_000).map(|i| hash_u64(i % 10, 0)).collect();
        let mut many = hashes.clone();
        many.extend(vec![hash_u64(77, 0); repeats]);
        many.extend((100..5_000).map(|key| hash_u64(key, 0)));
        let filter = BinaryFuse8::from_hashes(&many, 0).unwrap();
        assert_eq!(filter.len(), 4_911);
        assert!(many.iter().all(|hash| filter.contains_hash(*hash)));
        assert!(filter.contains(&77_u64));
    }
    let one = BinaryFuse8::from_hashes(&[5; 1000], 0).unwrap();
    assert_eq!((one.len(), one.contains_hash(5)), (1, true));
}

#[test]
fn large_static_filters_take_repeated_keys_and_hashes_that_are_none() {
    let len = 60_000_u64;
    for repeats in [1, 40, 70, 5_000] {
        let mut many: Vec<u64> = (0..len).map(|key| hash_u64(key, 0)).collect();
        many.extend(vec![hash_u64(77, 0); repeats]);
        let filter = BinaryFuse8::from_hashes(&many, 0).unwrap();
        assert_eq!(filter.len() as u64, len);
        assert!(many.iter().all(|hash| filter.contains_hash(*hash)));
    }
    let families: [fn(u64) -> u64; 3] = [|i| i, |i| i << 40, |i| i << 32 | i];
    for family in families {
        let hashes: Vec<u64> = (0..len).map(family).collect();
        let filter = BinaryFuse8::from_hashes(&hashes, 0).unwrap();
        assert!(hashes.iter().all(|hash| filter.contains_hash(*hash)));
    }
}

#[test]
fn a_static_filter_takes_crafted_hashes() {
    let crafted: Vec<u64> = (0..64)
        .flat_map(|bit| [1 << bit, u64::MAX >> bit, u64::MAX << bit])
        .chain(0..5_000)
        .collect();
    let filter = BinaryFuse8::from_hashes(&crafted, 0).unwrap();
    assert!(crafted.iter().all(|hash| filter.contains_hash(*hash)));
}

#[test]
fn many_at_a_time_is_the_same_as_one_by_one() {
    for count in [0, 1, 127, 128, 129, 5_000] {
        let keys: Vec<u64> = (0..count).collect();
        let mut one_by_one = SplitBlockBloom::with_size(4096).unwrap();
        keys.iter().for_each(|key| {
            one_by_one.insert(key);
        });
        let mut extended = SplitBlockBloom::with_size(4096).unwrap();
        extended.extend(&keys);
        let mut each = SplitBlockBloom::with_size(4096).unwrap();
        each.insert_each(&keys);
        assert_eq!(one_by_one, extended);
        assert_eq!(one_by_one, each);
        let asked: Vec<u64> = (0..3 * count).collect();
        let expected: Vec<bool> = asked.iter().map(|key| each.contains(key)).collect();
        let mut found = vec![true; 5];
        each.contains_each(&asked, &mut found);
        assert_eq!(found, expected);
        let hashes: Vec<u64> = asked.iter().map(|key| hash_u64(*key, 0)).collect();
        each.contains_each_hash(&hashes, &mut found);
        assert_eq!(found, expected);
    }
}
