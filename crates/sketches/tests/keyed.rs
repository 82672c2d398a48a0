//! Keys crafted against a known seed falsify a sketch that is only seeded, and do nothing to one that
//! is hashed under a secret key.

use sketches::{
    BinaryFuse8, BloomFilter, CountMin, ExaLogLog, HyperLogLog, MinHash, SketchError,
    SplitBlockBloom, UltraLogLog,
    frequency::{CountMinBuilder, CountSketch},
    hash::{HashSketch, InsertHash, Keyed, SipKey, hash_u64},
    membership::{BloomBuilder, SplitBlockBuilder},
    similarity::OnePermutation,
};

/// A seed that the attacker knows.
const SEED: u64 = 77;

fn secret() -> SipKey {
    SipKey::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210])
}

fn other() -> SipKey {
    SipKey::new([1, 2])
}

/// The key with a given stable hash: every step of XXH3 for eight bytes undone.
fn key_with_hash(hash: u64, seed: u64) -> u64 {
    // The inverse of an odd number by Newton's method.
    let prime = 0x9fb2_1c65_1e98_df25_u64;
    let inverse = (0..6).fold(prime, |x, _| {
        x.wrapping_mul(2_u64.wrapping_sub(prime.wrapping_mul(x)))
    });
    let mut h = hash ^ (hash >> 28) ^ (hash >> 56);
    h = h.wrapping_mul(inverse);
    h ^= (h >> 35).wrapping_add(8);
    h = h.wrapping_mul(inverse);
    // The 64th power of `1 + rotation by 24 + rotation by 49` is one, so the 63rd undoes it.
    let h = (0..63).fold(h, |h, _| h ^ h.rotate_left(24) ^ h.rotate_left(49));
    // What is left is the key rotated, and a number of the seed that the key 0 shows.
    let of_zero = {
        let mut zero = hash_u64(0, seed);
        zero ^= (zero >> 28) ^ (zero >> 56);
        zero = zero.wrapping_mul(inverse);
        zero ^= (zero >> 35).wrapping_add(8);
        zero = zero.wrapping_mul(inverse);
        (0..63).fold(zero, |h, _| h ^ h.rotate_left(24) ^ h.rotate_left(49))
    };
    (h ^ of_zero).rotate_right(32)
}

#[test]
fn the_stable_hash_can_be_undone() {
    for i in 0..1_000 {
        let hash = hash_u64(i, 5);
        assert_eq!(hash_u64(key_with_hash(hash, SEED), SEED), hash);
    }
}

#[test]
fn sixteen_thousand_keys_look_like_more_than_all_there_are() {
    // One key for each register, with all other bits zero.
    let crafted: Vec<u64> = (0..1 << 14).map(|i| key_with_hash(i << 50, SEED)).collect();
    let n = crafted.len() as f64;
    let mut seeded = HyperLogLog::with_seed(14, SEED).unwrap();
    seeded.extend(&crafted);
    assert!(seeded.estimate() > 1e15, "{}", seeded.estimate());
    let mut keyed = Keyed::new(secret(), |seed| HyperLogLog::with_seed(14, seed)).unwrap();
    keyed.extend(&crafted);
    let error = keyed.sketch().estimate() / n - 1.0;
    assert!(
        error.abs() <= 4.0 * keyed.sketch().standard_error(),
        "{error}"
    );
    // Or like nothing: all in one register.
    let crafted: Vec<u64> = (0..1 << 14).map(|i| key_with_hash(i, SEED)).collect();
    let mut seeded = UltraLogLog::with_seed(12, SEED).unwrap();
    let mut keyed = Keyed::new(secret(), |seed| UltraLogLog::with_seed(12, seed)).unwrap();
    seeded.extend(&crafted);
    keyed.extend(&crafted);
    assert!(seeded.estimate() < n / 2.0 || seeded.estimate() > 2.0 * n);
    let error = keyed.sketch().estimate() / n - 1.0;
    assert!(
        error.abs() <= 4.0 * keyed.sketch().standard_error(),
        "{error}"
    );
}

#[test]
fn keys_that_fall_on_one_counter() {
    // The attacker tries keys on a sketch with the known seed and keeps those that meet the victim.
    let build = |seed| CountMinBuilder::with_size(1, 1_000).seed(seed).build();
    let mut probe = build(SEED).unwrap();
    probe.insert("victim");
    let crafted: Vec<u64> = (0..400_000)
        .filter(|key| probe.estimate(key) > 0)
        .take(300)
        .collect();
    assert_eq!(crafted.len(), 300);
    let mut seeded = build(SEED).unwrap();
    let mut keyed = Keyed::new(secret(), build).unwrap();
    seeded.insert_each(&crafted);
    keyed.extend(&crafted);
    assert_eq!(seeded.estimate("victim"), 300);
    let bound = keyed.sketch().error_bound();
    assert!(
        (keyed.estimate("victim") as f64) <= 10.0 * bound,
        "{}",
        keyed.estimate("victim")
    );
}

#[test]
fn questions_that_are_all_false_positives() {
    let build = |seed| BloomBuilder::with_rate(10_000, 0.01).seed(seed).build();
    let mut seeded = build(SEED).unwrap();
    let mut keyed = Keyed::new(secret(), build).unwrap();
    seeded.extend(0..10_000_u64);
    keyed.extend(0..10_000_u64);
    let crafted: Vec<u64> = (10_000..400_000)
        .filter(|key| seeded.contains(key))
        .take(2_000)
        .collect();
    assert_eq!(crafted.len(), 2_000);
    let wrong = crafted.iter().filter(|key| keyed.contains(*key)).count();
    // 20 expected; five standard deviations above.
    assert!(wrong <= 43, "{wrong}");
    assert!((0..10_000_u64).all(|key| keyed.contains(&key)));
}

/// Bytes come back under the same key and under no other; a keyed and a seeded sketch never mix.
fn guards<S: InsertHash + std::fmt::Debug>(
    build: impl Fn(u64) -> Result<S, SketchError> + Copy,
    plain_reads: impl Fn(&[u8]) -> Result<(), SketchError>,
) {
    let mut sketch = Keyed::new(secret(), build).unwrap();
    sketch.extend(0..100_u64);
    let bytes = sketch.to_bytes();
    let again = Keyed::<S>::from_bytes(&bytes, secret()).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    let is_key_mismatch = |error: SketchError| {
        let (left, right) = (other().id(), secret().id());
        assert!(
            matches!(error, SketchError::KeyMismatch { left: l, right: r, .. } if (l, r) == (left, right)),
            "{error}"
        );
    };
    is_key_mismatch(Keyed::<S>::from_bytes(&bytes, other()).unwrap_err());
    let mut stranger = Keyed::new(other(), build).unwrap();
    is_key_mismatch(stranger.merge(&again).unwrap_err());
    sketch.merge(&again).unwrap();
    // The secret is nowhere in the bytes.
    let [low, high] = [0x0123_4567_89ab_cdef_u64, 0xfedc_ba98_7654_3210].map(u64::to_le_bytes);
    assert!(!bytes.windows(8).any(|part| part == low || part == high));
    assert!(matches!(
        plain_reads(&bytes).unwrap_err(),
        SketchError::HashRule {
            found: 1,
            expected: 0,
            ..
        }
    ));
    // Damage is found, whichever byte it is in.
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(
            Keyed::<S>::from_bytes(&damaged, secret()).is_err(),
            "byte {at}"
        );
        assert!(
            Keyed::<S>::from_bytes(&bytes[..at], secret()).is_err(),
            "cut to {at}"
        );
    }
    assert!(matches!(
        Keyed::new(secret(), |_| build(9)).unwrap_err(),
        SketchError::SeedMismatch { right: 9, .. }
    ));
}

#[test]
fn keyed_sketches_of_every_kind_are_guarded() {
    guards(
        |s| HyperLogLog::with_seed(6, s),
        |b| HyperLogLog::from_bytes(b).map(drop),
    );
    guards(
        |s| UltraLogLog::with_seed(5, s),
        |b| UltraLogLog::from_bytes(b).map(drop),
    );
    guards(
        |s| ExaLogLog::with_seed(4, s),
        |b| ExaLogLog::from_bytes(b).map(drop),
    );
    guards(
        |s| BloomBuilder::with_rate(100, 0.01).seed(s).build(),
        |b| BloomFilter::from_bytes(b).map(drop),
    );
    guards(
        |s| SplitBlockBuilder::with_rate(100, 0.01).seed(s).build(),
        |b| SplitBlockBloom::from_bytes(b).map(drop),
    );
    guards(
        |s| CountMinBuilder::with_size(3, 30).seed(s).build(),
        |b| CountMin::from_bytes(b).map(drop),
    );
    guards(
        |s| CountSketch::with_seed(3, 30, s),
        |b| CountSketch::from_bytes(b).map(drop),
    );
    guards(
        |s| MinHash::new(16, s),
        |b| MinHash::from_bytes(b).map(drop),
    );
    guards(
        |s| OnePermutation::new(16, s),
        |b| OnePermutation::from_bytes(b).map(drop),
    );
}

#[test]
fn keyed_answers_are_those_of_the_sketch() {
    let keys: Vec<u64> = (0..5_000).collect();
    let fuse = Keyed::<BinaryFuse8>::from_keys(secret(), &keys).unwrap();
    assert!(keys.iter().all(|key| fuse.contains(key)));
    let again = Keyed::<BinaryFuse8>::from_bytes(&fuse.to_bytes(), secret()).unwrap();
    let wrong = (5_000..105_000_u64)
        .filter(|key| again.contains(key))
        .count();
    assert!((200..=600).contains(&wrong), "{wrong}");
    let build = |s| SplitBlockBuilder::with_rate(100, 0.01).seed(s).build();
    let mut blocks = Keyed::new(secret(), build).unwrap();
    assert!(blocks.insert("a") && !blocks.insert("a") && blocks.contains("a"));
    let mut signed = Keyed::new(secret(), |s| CountSketch::with_seed(5, 100, s)).unwrap();
    signed.add("a", -40);
    assert_eq!(signed.estimate("a"), -40);
    let mut counts = Keyed::new(secret(), |s| {
        CountMinBuilder::with_size(4, 100).seed(s).build()
    })
    .unwrap();
    counts.add("a", 7);
    assert_eq!(
        (counts.estimate("a"), counts.key().id()),
        (7, secret().id())
    );
}

#[test]
fn bytes_without_a_key_are_refused() {
    let plain = HyperLogLog::new(5).unwrap().to_bytes();
    let error = Keyed::<HyperLogLog>::from_bytes(&plain, secret()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hyperloglog: hash rule 0 in the bytes, expected 1 (0 seeded, 1 secret key)"
    );
    fn named<S: HashSketch>(bytes: &[u8]) -> String {
        Keyed::<S>::from_bytes(bytes, secret())
            .map(drop)
            .unwrap_err()
            .to_string()
    }
    assert_eq!(
        named::<BloomFilter>(&[]),
        "bloom filter: preamble at byte 0 needs 6 bytes, 0 are left"
    );
    let build = |s| BloomBuilder::with_rate(9, 0.1).seed(s).build();
    let keyed = Keyed::new(secret(), build).unwrap().to_bytes();
    assert_eq!(
        named::<HyperLogLog>(&keyed),
        "hyperloglog: family code 16 in the bytes, expected 1"
    );
}
