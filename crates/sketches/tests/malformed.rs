//! Damaged bytes are refused or read as something that writes back the same; nothing panics.

mod support;

use sketches::{HyperLogLog, MinHash, SketchError, SpaceSaving};
use support::{Random, Sample, samples};
use xxhash_rust::xxh3::xxh3_64;

fn with_preamble() -> impl Iterator<Item = Sample> {
    samples()
        .into_iter()
        .filter(|sample| sample.name != "split_block_parquet" && !sample.name.starts_with("apache"))
}

/// Puts the right checksum behind changed bytes, so that the fields themselves are tested.
fn restamp(bytes: &mut [u8]) {
    let (body, checksum) = bytes.split_at_mut(bytes.len() - 8);
    checksum.copy_from_slice(&xxh3_64(body).to_le_bytes());
}

fn must_be_refused_or_stable(sample: &Sample, bytes: &[u8], what: &str) {
    if let Ok(again) = (sample.recode)(bytes) {
        assert_eq!(
            again, bytes,
            "{}: {what} was read as something else",
            sample.name
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    for sample in with_preamble() {
        for len in 0..sample.bytes.len() {
            let cut = &sample.bytes[..len];
            assert!(
                (sample.recode)(cut).is_err(),
                "{} cut to {len}",
                sample.name
            );
        }
    }
}

#[test]
fn every_truncation_with_a_right_checksum_is_refused() {
    for sample in with_preamble() {
        for len in 24..sample.bytes.len() {
            let mut cut = sample.bytes[..len].to_vec();
            restamp(&mut cut);
            assert!(
                (sample.recode)(&cut).is_err(),
                "{} cut to {len}",
                sample.name
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for sample in with_preamble() {
        for bit in 0..sample.bytes.len() * 8 {
            let mut bytes = sample.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                (sample.recode)(&bytes).is_err(),
                "{} bit {bit}",
                sample.name
            );
        }
    }
}

#[test]
fn every_flipped_bit_with_a_right_checksum_is_refused_or_stable() {
    for sample in with_preamble() {
        for bit in 0..(sample.bytes.len() - 8) * 8 {
            let mut bytes = sample.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            restamp(&mut bytes);
            must_be_refused_or_stable(&sample, &bytes, &format!("bit {bit}"));
        }
    }
}

#[test]
fn every_byte_at_its_extremes_is_refused_or_stable() {
    for sample in with_preamble() {
        for at in 0..sample.bytes.len() - 8 {
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut bytes = sample.bytes.clone();
                bytes[at] = value;
                restamp(&mut bytes);
                must_be_refused_or_stable(&sample, &bytes, &format!("byte {at} = {value:#x}"));
                // Four in a row reach the largest lengths.
                let end = (at + 4).min(bytes.len() - 8);
                bytes[at..end].fill(value);
                restamp(&mut bytes);
                must_be_refused_or_stable(&sample, &bytes, &format!("bytes {at}.. = {value:#x}"));
            }
        }
    }
}

#[test]
fn random_damage_is_refused_or_stable() {
    let mut random = Random(1);
    for sample in with_preamble() {
        for _ in 0..2_000 {
            let mut bytes = sample.bytes.clone();
            for _ in 0..=random.below(4) {
                let at = usize::try_from(random.below(bytes.len() as u64 - 8)).unwrap();
                bytes[at] = random.next().to_le_bytes()[0];
            }
            restamp(&mut bytes);
            must_be_refused_or_stable(&sample, &bytes, "random damage");
        }
    }
}

#[test]
fn extra_bytes_are_refused() {
    for sample in with_preamble() {
        let mut longer = sample.bytes.clone();
        longer.insert(longer.len() - 8, 0);
        restamp(&mut longer);
        assert!((sample.recode)(&longer).is_err(), "{}", sample.name);
    }
}

#[test]
fn one_kind_is_not_read_as_another() {
    let all: Vec<Sample> = with_preamble()
        .filter(|sample| !sample.name.starts_with("keyed")) // these are told apart by more: see keyed.rs
        .collect();
    for writer in &all {
        for reader in &all {
            let (kind, other) = (writer.bytes[5], reader.bytes[5]);
            let result = (reader.recode)(&writer.bytes);
            if kind != other {
                assert!(
                    matches!(result, Err(SketchError::Family { found, .. }) if found == kind),
                    "{} read as {}",
                    writer.name,
                    reader.name
                );
            }
        }
    }
}

#[test]
fn a_counter_of_words_is_not_read_as_one_of_numbers() {
    let mut words = SpaceSaving::<String>::new(4).unwrap();
    words.insert("8 letters".into());
    let error = SpaceSaving::<u64>::from_bytes(&words.to_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "space-saving: key type at byte 16 is 11, allowed: the one asked for"
    );
}

#[test]
fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
    let mut bytes = MinHash::new(1, 0).unwrap().to_bytes();
    bytes[16..20].copy_from_slice(&4096_u32.to_le_bytes());
    restamp(&mut bytes);
    assert_eq!(
        MinHash::from_bytes(&bytes).unwrap_err().to_string(),
        "minhash: permutations at byte 20 needs 16384 bytes, 4 are left"
    );
    bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    restamp(&mut bytes);
    assert_eq!(
        MinHash::from_bytes(&bytes).unwrap_err().to_string(),
        "minhash: permutations at byte 16 is 4294967295, allowed: 1 to 4096"
    );
}

#[test]
fn the_errors_of_the_preamble_name_what_they_found() {
    let good = HyperLogLog::new(4).unwrap().to_bytes();
    let message = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        HyperLogLog::from_bytes(&bytes).unwrap_err().to_string()
    };
    assert_eq!(
        message(|bytes| bytes.truncate(3)),
        "hyperloglog: preamble and checksum at byte 0 needs 24 bytes, 3 are left"
    );
    assert_eq!(
        message(|bytes| bytes[0] = b'X'),
        "hyperloglog: first four bytes are [58, 4b, 43, 48], expected 53 4b 43 48"
    );
    assert_eq!(
        message(|bytes| bytes[4] = 2),
        "hyperloglog: format version 2, this build reads 1"
    );
    assert_eq!(
        message(|bytes| bytes[5] = 80),
        "hyperloglog: family code 80 in the bytes, expected 1"
    );
    assert!(message(|bytes| bytes[8] = 1).starts_with("hyperloglog: checksum 0x"));
    assert_eq!(
        message(|bytes| {
            bytes[6] = 2;
            restamp(bytes);
        }),
        "hyperloglog: hash rule at byte 6 is 2, allowed: 0 or 1"
    );
    assert_eq!(
        message(|bytes| {
            bytes[6] = 1;
            restamp(bytes);
        }),
        "hyperloglog: hash rule 1 in the bytes, expected 0 (0 seeded, 1 secret key)"
    );
    assert_eq!(
        message(|bytes| {
            bytes[16] = 40;
            restamp(bytes);
        }),
        "hyperloglog: precision at byte 16 is 40, allowed: 4 to 18"
    );
}
