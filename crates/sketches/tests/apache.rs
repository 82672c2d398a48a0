//! The HyperLogLog of Apache DataSketches: its bytes are read and written as its own Rust library does,
//! in every mode, and the estimates are the same.

mod support;

use datasketches::{
    hash::value::raw_bytes,
    hll::{HllSketch, HllType, HllUnion},
};
use sketches::distinct::{ApacheHll, ApacheHllType};
use support::{Random, samples};

const KINDS: [(ApacheHllType, HllType); 3] = [
    (ApacheHllType::Hll4, HllType::Hll4),
    (ApacheHllType::Hll6, HllType::Hll6),
    (ApacheHllType::Hll8, HllType::Hll8),
];

fn ours(precision: u8, kind: ApacheHllType, keys: std::ops::Range<u64>) -> ApacheHll {
    let mut sketch = ApacheHll::new(precision, kind).unwrap();
    keys.for_each(|key| sketch.insert_u64(key));
    sketch
}

fn theirs(precision: u8, kind: HllType, keys: std::ops::Range<u64>) -> HllSketch {
    let mut sketch = HllSketch::new(precision, kind).unwrap();
    keys.for_each(|key| sketch.update(key));
    sketch
}

fn same(what: &str, left: f64, right: f64) {
    // They keep the sum of inverse powers in two parts, we in one.
    assert!(
        (left - right).abs() <= 1e-9 * right,
        "{what}: {left} and {right}"
    );
}

/// Registers, or coupons in order: what the estimate and all that follows depend on.
fn content(bytes: &[u8]) -> Vec<u8> {
    let sketch = ApacheHll::from_bytes(bytes)
        .unwrap()
        .with_kind(ApacheHllType::Hll8);
    let bytes = sketch.to_bytes();
    match bytes[0] {
        10 => bytes[40..].to_vec(),
        words => bytes[4 * usize::from(words)..].to_vec(),
    }
}

#[test]
fn every_mode_is_read_and_written_as_the_library_does() {
    let counts = [
        0, 1, 7, 8, 9, 23, 24, 25, 95, 96, 97, 98, 500, 3_000, 40_000,
    ];
    for precision in [4, 7, 8, 10, 12, 15, 21] {
        for (kind, their_kind) in KINDS {
            for n in counts {
                let what = format!("{precision} {kind:?} {n}");
                let (mine, library) = (
                    ours(precision, kind, 0..n),
                    theirs(precision, their_kind, 0..n),
                );
                let (my_bytes, library_bytes) = (mine.to_bytes(), library.serialize());
                same(&what, mine.estimate(), library.estimate());
                assert_eq!(my_bytes.len(), library_bytes.len(), "{what}");
                assert_eq!(my_bytes[..8], library_bytes[..8], "{what}: preamble");
                assert_eq!(content(&my_bytes), content(&library_bytes), "{what}");
                // Theirs, read by us, and written back for them.
                let read = ApacheHll::from_bytes(&library_bytes).unwrap();
                assert_eq!((read.precision(), read.kind()), (precision, kind));
                assert_eq!(read.is_empty(), n == 0);
                same(&what, read.estimate(), library.estimate());
                let back = HllSketch::deserialize(&read.to_bytes()).unwrap();
                assert_eq!(back, library, "{what}");
                // Ours, read by them.
                let read = HllSketch::deserialize(&my_bytes).unwrap();
                same(&what, read.estimate(), mine.estimate());
                assert_eq!(
                    ApacheHll::from_bytes(&my_bytes).unwrap().to_bytes(),
                    my_bytes
                );
            }
        }
    }
}

#[test]
fn counting_goes_on_after_reading_in_both_libraries() {
    for n in [3, 20, 60, 700] {
        for (kind, their_kind) in KINDS {
            let mut read = ApacheHll::from_bytes(&theirs(9, their_kind, 0..n).serialize()).unwrap();
            (n..5_000).for_each(|key| read.insert_u64(key));
            same(
                "read by us",
                read.estimate(),
                theirs(9, their_kind, 0..5_000).estimate(),
            );
            let mut read = HllSketch::deserialize(&ours(9, kind, 0..n).to_bytes()).unwrap();
            (n..5_000_u64).for_each(|key| read.update(key));
            same(
                "read by them",
                read.estimate(),
                ours(9, kind, 0..5_000).estimate(),
            );
        }
    }
}

#[test]
fn strings_hash_as_in_the_library() {
    let mut mine = ApacheHll::new(11, ApacheHllType::Hll6).unwrap();
    let mut library = HllSketch::new(11, HllType::Hll6).unwrap();
    for i in 0..3_000 {
        let text = "x".repeat(i % 41 + 1) + &i.to_string();
        mine.insert_str(&text);
        library.update(raw_bytes::from_str(text.as_str()));
    }
    assert_eq!(content(&mine.to_bytes()), content(&library.serialize()));
    mine.insert_str(""); // ignored, as in the library
    assert_eq!(content(&mine.to_bytes()), content(&library.serialize()));
}

#[test]
fn unions_have_the_registers_of_the_library() {
    let parts = [(12, 0..40), (10, 20..6_000), (12, 3_000..9_000), (11, 0..5)];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]] {
        let mut union = HllUnion::new(12).unwrap();
        let mut mine = ApacheHll::new(12, ApacheHllType::Hll8).unwrap();
        for at in order {
            let (precision, keys) = parts[at].clone();
            union.update(&theirs(precision, HllType::Hll4, keys.clone()));
            mine.merge(&ours(precision, ApacheHllType::Hll6, keys))
                .unwrap();
        }
        let library = union.to_sketch(HllType::Hll8);
        assert_eq!(mine.precision(), library.lg_config_k());
        assert_eq!(content(&mine.to_bytes()), content(&library.serialize()));
        // The estimators differ where history is lost; both are within three standard errors.
        assert!(!mine.has_history());
        let read = ApacheHll::from_bytes(&library.serialize()).unwrap();
        assert!(!read.has_history());
        assert_eq!(read.estimate(), mine.estimate());
        let back = HllSketch::deserialize(&mine.to_bytes()).unwrap();
        for estimate in [mine.estimate(), back.estimate(), library.estimate()] {
            assert!(
                (estimate / 9_000.0 - 1.0).abs() <= 3.0 * mine.standard_error(),
                "{estimate}"
            );
        }
    }
}

#[test]
fn merging_few_keys_is_counting_them() {
    for precision in [6, 12] {
        let mut left = ours(precision, ApacheHllType::Hll8, 0..5);
        assert!(!left.is_empty());
        left.merge(&ours(precision, ApacheHllType::Hll8, 3..90))
            .unwrap();
        assert_eq!(
            content(&left.to_bytes()),
            content(&ours(precision, ApacheHllType::Hll8, 0..90).to_bytes())
        );
        let mut right = ours(precision, ApacheHllType::Hll8, 3..90);
        right
            .merge(&ours(precision, ApacheHllType::Hll8, 0..5))
            .unwrap();
        assert_eq!(content(&left.to_bytes()), content(&right.to_bytes()));
    }
}

#[test]
fn the_error_is_within_the_documented_bound() {
    let trials = 200_u64;
    for (precision, n, merged) in [
        (4, 1_000, false),
        (8, 20, false),
        (10, 300, false),
        (10, 3_000, false),
        (10, 30_000, false),
        (10, 3_000, true),
        (10, 30_000, true),
    ] {
        let (mut sum, mut squares, mut documented) = (0.0, 0.0, 0.0);
        let mut random = Random(n);
        for _ in 0..trials {
            let mut parts =
                [(); 2].map(|()| ApacheHll::new(precision, ApacheHllType::Hll8).unwrap());
            for i in 0..n {
                parts[usize::from(merged && i % 2 == 1)].insert_u64(random.next());
            }
            let [mut sketch, other] = parts;
            if merged {
                sketch.merge(&other).unwrap();
            }
            let error = sketch.estimate() / n as f64 - 1.0;
            sum += error;
            squares += error * error;
            documented = sketch.standard_error();
        }
        let (trials, what) = (trials as f64, format!("{precision} {n} {merged}"));
        let observed = (squares / trials).sqrt();
        // Four standard deviations of a root mean square; more at 16 registers.
        let slack = if precision == 4 { 1.3 } else { 1.2 };
        assert!(
            observed <= slack * documented,
            "{what}: {observed} of {documented}"
        );
        assert!(
            (sum / trials).abs() <= 4.0 * documented / trials.sqrt(),
            "{what}: bias"
        );
    }
}

/// The same sketch as the updatable image: whole tables with empty places.
fn updatable(bytes: &[u8]) -> Vec<u8> {
    let mut image = bytes.to_vec();
    image[5] &= !8;
    let table_words = 1_usize << image[4];
    match image[7] & 3 {
        0 => image.resize(8 + 4 * table_words, 0),
        1 => image.resize(12 + 4 * table_words, 0),
        _ => {
            let exceptions =
                usize::try_from(u32::from_le_bytes(image[36..40].try_into().unwrap())).unwrap();
            image[4] = 4;
            image.resize(image.len() + 4 * (16 - exceptions), 0);
        }
    }
    image
}

#[test]
fn updatable_images_are_read() {
    for (precision, n) in [(10, 0), (10, 5), (10, 20), (12, 90), (5, 600), (5, 200_000)] {
        let compact = ours(precision, ApacheHllType::Hll4, 0..n).to_bytes();
        let image = updatable(&compact);
        assert_eq!(
            ApacheHll::from_bytes(&image).unwrap().to_bytes(),
            compact,
            "{precision} {n}"
        );
        if n > 0 {
            let estimate = HllSketch::deserialize(&image).unwrap().estimate();
            same(
                "updatable",
                ApacheHll::from_bytes(&image).unwrap().estimate(),
                estimate,
            );
        }
    }
}

#[test]
fn damage_is_refused_or_read_as_something_that_is_stable() {
    let mut random = Random(3);
    let apache = samples()
        .into_iter()
        .filter(|sample| sample.name.starts_with("apache"));
    for sample in apache {
        let name = sample.name;
        for len in 0..sample.bytes.len() {
            assert!(
                (sample.recode)(&sample.bytes[..len]).is_err(),
                "{name} cut to {len}"
            );
        }
        let mut longer = sample.bytes.clone();
        longer.push(0);
        assert!((sample.recode)(&longer).is_err(), "{name} and a byte");
        let stable = |bytes: &[u8]| {
            if let Ok(once) = (sample.recode)(bytes) {
                assert_eq!(
                    (sample.recode)(&once).as_ref(),
                    Ok(&once),
                    "{name}: {bytes:02x?}"
                );
            }
        };
        for at in 0..sample.bytes.len() {
            for value in 0..=255 {
                let mut damaged = sample.bytes.clone();
                damaged[at] = value;
                stable(&damaged);
            }
        }
        for _ in 0..20_000 {
            let mut damaged = sample.bytes.clone();
            for _ in 0..=random.below(5) {
                let at = usize::try_from(random.below(damaged.len() as u64)).unwrap();
                damaged[at] = random.next().to_le_bytes()[0];
            }
            stable(&damaged);
        }
    }
}

#[test]
fn errors_name_what_they_found() {
    let message = |change: fn(&mut Vec<u8>)| {
        let mut bytes = ours(5, ApacheHllType::Hll8, 0..100).to_bytes();
        change(&mut bytes);
        ApacheHll::from_bytes(&bytes).unwrap_err().to_string()
    };
    assert_eq!(
        message(|b| b.truncate(50)),
        "apache hll: registers at byte 40 needs 32 bytes, 10 are left"
    );
    assert_eq!(
        message(|b| b[0] = 2),
        "apache hll: preamble words at byte 0 is 2, allowed: 2 for a list, 3 for a set, 10 for registers"
    );
    assert_eq!(
        message(|b| b[1] = 2),
        "apache hll: version at byte 1 is 2, allowed: 1"
    );
    assert_eq!(
        message(|b| b[2] = 3),
        "apache hll: family at byte 2 is 3, allowed: 7"
    );
    assert_eq!(
        message(|b| b[3] = 22),
        "apache hll: precision at byte 3 is 22, allowed: 4 to 21"
    );
    assert_eq!(
        message(|b| b[7] = 15),
        "apache hll: mode at byte 7 is 15, allowed: a type of 0 to 2"
    );
    assert_eq!(
        message(|b| b[40] = 64),
        "apache hll: registers at byte 40 is 64, allowed: values up to 63"
    );
    assert_eq!(
        message(|b| b[8..16].fill(0xff)),
        "apache hll: history at byte 8 is NaN, allowed: finite, 0 or more"
    );
    assert!(message(|b| b[41] ^= 3).starts_with("apache hll: inverse sum at byte 16 is "));
    assert_eq!(
        ApacheHll::new(40, ApacheHllType::Hll4)
            .unwrap_err()
            .to_string(),
        "apache hll: precision is 40, allowed: 4 to 21"
    );
    // A set of 2^18 places is not allocated for eight bytes.
    let absurd = [3, 1, 7, 21, 18, 0, 0, 1, 0, 0, 4, 0];
    assert_eq!(
        ApacheHll::from_bytes(&absurd).unwrap_err().to_string(),
        "apache hll: coupon at byte 12 needs 4 bytes, 0 are left"
    );
}
