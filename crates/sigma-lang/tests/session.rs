//! Sessions: every record against those before it, both sides in step.

#![allow(clippy::cast_possible_truncation, reason = "small test numbers")]

use std::sync::Arc;

use proptest::prelude::*;
use sigma_lang::{
    Dictionary, DictionaryRegistry, Level, Limits, SessionConfig, SessionDecoder, SessionEncoder,
    SessionSnapshot, SigmaError, reference,
};

mod data;

fn registry() -> DictionaryRegistry {
    let registry = DictionaryRegistry::new();
    registry.insert(data::dictionary());
    registry
}

fn decoder() -> SessionDecoder {
    SessionDecoder::new(Limits::default()).with_dictionaries(registry())
}

fn encode(encoder: &mut SessionEncoder, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode_into(content, &mut out).unwrap();
    out
}

fn decode(decoder: &mut SessionDecoder, record: &[u8]) -> Result<Vec<u8>, SigmaError> {
    let mut out = b"kept".to_vec();
    let result = decoder.decode_into(record, &mut out);
    assert_eq!(&out[..4], b"kept");
    assert!(result.is_ok() || out.len() == 4);
    result.map(|()| out.split_off(4))
}

/// What happens to a session between two records.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Reset,
    Checkpoint,
    RestoreDecoder,
    RestoreBoth,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => data::content(20_000).prop_map(Step::Send),
        4 => any::<u64>().prop_map(|seed| Step::Send(data::messages(1, seed).remove(0))),
        1 => Just(Step::Reset),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::RestoreDecoder),
        1 => Just(Step::RestoreBoth),
    ]
}

/// An encoder that is restored behind a reset says so, or a decoder that saw the records before
/// could not go on.
#[test]
fn a_reset_is_not_forgotten_by_restoring() {
    for checksum in [false, true] {
        let config = SessionConfig::new().checksum(checksum);
        let mut encoder = SessionEncoder::new(&config).unwrap();
        let mut decoder = decoder();
        let first = encode(&mut encoder, b"what is forgotten");
        assert_eq!(decode(&mut decoder, &first).unwrap(), b"what is forgotten");
        encoder.reset();
        let mut restored = SessionEncoder::resume(&config, encoder.checkpoint()).unwrap();
        let second = encode(&mut restored, b"what comes then");
        assert_eq!(decode(&mut decoder, &second).unwrap(), b"what comes then");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_session_comes_back(
        steps in proptest::collection::vec(step(), 1..24),
        level in prop_oneof![Just(Level::Fast), Just(Level::Balanced), Just(Level::High)],
        with_dictionary in any::<bool>(),
        checksum in any::<bool>(),
        history_bytes in prop_oneof![Just(0usize), Just(1000), Just(64 << 10)],
    ) {
        let mut config = SessionConfig::new()
            .level(level)
            .window_bytes(128 << 10)
            .history_bytes(history_bytes)
            .checksum(checksum);
        if with_dictionary {
            config = config.dictionary(data::dictionary());
        }
        let mut encoder = SessionEncoder::new(&config).unwrap();
        let mut decoder = decoder();
        let (mut records, mut contents) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Send(content) => {
                    let record = encode(&mut encoder, &content);
                    prop_assert_eq!(&decode(&mut decoder, &record).unwrap(), &content);
                    prop_assert_eq!(encoder.records(), decoder.records());
                    records.push(record);
                    contents.push(content);
                }
                Step::Reset => encoder.reset(),
                Step::Checkpoint => drop(encoder.checkpoint()),
                // Before the first record there is nothing to restore.
                Step::RestoreDecoder | Step::RestoreBoth if records.is_empty() => {}
                Step::RestoreDecoder => {
                    let snapshot = encoder.checkpoint();
                    let bytes = snapshot.to_bytes();
                    prop_assert_eq!(&SessionSnapshot::from_bytes(&bytes).unwrap(), &snapshot);
                    decoder = self::decoder().resume(snapshot);
                }
                Step::RestoreBoth => {
                    encoder = SessionEncoder::resume(&config, decoder.snapshot()).unwrap();
                }
            }
        }
        let (twin, error) = reference::decompress_session(&records, &Limits::default(), &registry());
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(twin, contents);
    }
}

#[test]
fn records_out_of_order_are_refused_and_harm_nothing() {
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let messages = data::messages(300, 8);
    let records: Vec<Vec<u8>> = messages.iter().map(|m| encode(&mut encoder, m)).collect();
    let mut decoder = decoder();
    let early = decode(&mut decoder, &records[1]).unwrap_err();
    assert!(matches!(
        early,
        SigmaError::SessionStartRequired { expected: 0 }
    ));
    for (number, message) in messages.iter().enumerate().take(290) {
        for other in [number + 1, number + 5, number.saturating_sub(1)] {
            // The start may only come at its turn, too.
            if other == number || decoder.records() == 0 {
                continue;
            }
            let error = decode(&mut decoder, &records[other]).unwrap_err();
            let (expected, found) = (number as u64, other as u64);
            assert!(
                matches!(error, SigmaError::SessionOutOfStep { expected: e, found: f } if (e, f) == (expected, found)),
                "{number} {other}: {error}"
            );
        }
        assert_eq!(&decode(&mut decoder, &records[number]).unwrap(), message);
    }
}

#[test]
fn a_gap_of_256_records_is_found_by_the_checksum() {
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let messages = data::messages(300, 8);
    let records: Vec<Vec<u8>> = messages.iter().map(|m| encode(&mut encoder, m)).collect();
    let mut decoder = decoder();
    for record in &records[..10] {
        decode(&mut decoder, record).unwrap();
    }
    let error = decode(&mut decoder, &records[266]).unwrap_err();
    let found = matches!(
        error,
        SigmaError::ChecksumMismatch { .. } | SigmaError::Corrupt { .. }
    );
    assert!(found, "{error}");
    // The stream is lost now, and a fresh start brings it back.
    let error = decode(&mut decoder, &records[10]).unwrap_err();
    assert!(
        matches!(error, SigmaError::SessionStartRequired { .. }),
        "{error}"
    );
    encoder.checkpoint();
    encoder.reset();
    let record = encode(&mut encoder, b"anew");
    assert_eq!(decode(&mut decoder, &record).unwrap(), b"anew");
    assert_eq!(decoder.records(), 301);
}

#[test]
fn a_decoder_may_skip_to_a_fresh_start() {
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let mut decoder = decoder();
    let first = encode(&mut encoder, b"first");
    decode(&mut decoder, &first).unwrap();
    let _lost = encode(&mut encoder, b"second");
    encoder.reset();
    let third = encode(&mut encoder, b"third");
    let error = decode(&mut decoder, &third).unwrap_err();
    assert!(
        matches!(
            error,
            SigmaError::SessionOutOfStep {
                expected: 1,
                found: 2
            }
        ),
        "{error}"
    );
    decoder.skip_to_start();
    assert_eq!(decode(&mut decoder, &third).unwrap(), b"third");
}

#[test]
fn a_checkpoint_needs_its_own_history() {
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let mut other = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let (one, two) = (
        encode(&mut encoder, b"one history"),
        encode(&mut other, b"another one"),
    );
    let snapshot = encoder.checkpoint();
    let next = encode(&mut encoder, b"next");
    let mut decoder = decoder();
    decode(&mut decoder, &two).unwrap();
    let error = decode(&mut decoder, &next).unwrap_err();
    assert!(
        matches!(error, SigmaError::SessionHistoryMismatch { number: 1 }),
        "{error}"
    );
    // A restored decoder takes nothing but that start.
    let mut restored = self::decoder().resume(snapshot);
    let error = decode(&mut restored, &one).unwrap_err();
    assert!(
        matches!(
            error,
            SigmaError::SessionOutOfStep {
                expected: 1,
                found: 0
            }
        ),
        "{error}"
    );
    assert_eq!(decode(&mut restored, &next).unwrap(), b"next");
}

#[test]
fn a_session_is_far_smaller_than_records_alone() {
    let messages = data::messages(200, 3);
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let packed: usize = messages.iter().map(|m| encode(&mut encoder, m).len()).sum();
    let plain: usize = messages.iter().map(Vec::len).sum();
    assert!(packed * 3 < plain, "{packed} of {plain}");
}

#[test]
fn limits_hold_to_the_byte() {
    for content in [
        data::text(5000),
        data::noise(5000, 1),
        vec![7; 5000],
        data::text(300_000),
    ] {
        let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
        let record = encode(&mut encoder, &content);
        let length = content.len() as u64;
        let mut exact = SessionDecoder::new(Limits::default().output_bytes_max(length));
        assert_eq!(decode(&mut exact, &record).unwrap(), content);
        let mut short = SessionDecoder::new(Limits::default().output_bytes_max(length - 1));
        let error = decode(&mut short, &record).unwrap_err();
        assert!(matches!(error, SigmaError::LimitExceeded { .. }), "{error}");
        let mut narrow = SessionDecoder::new(Limits::default().window_bytes_max((1 << 20) - 1));
        let error = decode(&mut narrow, &record).unwrap_err();
        assert!(matches!(error, SigmaError::LimitExceeded { .. }), "{error}");
    }
}

#[test]
fn damage_gives_an_error_or_the_content() {
    let config = SessionConfig::new().dictionary(data::dictionary());
    let messages = data::messages(3, 5);
    let mut encoder = SessionEncoder::new(&config).unwrap();
    let records: Vec<Vec<u8>> = messages.iter().map(|m| encode(&mut encoder, m)).collect();
    let check = |damaged: &[u8], position: usize, what: &str| {
        let mut decoder = decoder();
        for record in &records[..position] {
            decode(&mut decoder, record).unwrap();
        }
        let fast = decode(&mut decoder, damaged);
        let mut all = records[..position].to_vec();
        all.push(damaged.to_vec());
        let (contents, error) =
            reference::decompress_session(&all, &Limits::default(), &registry());
        assert_eq!(fast.is_err(), error.is_some(), "{what}: {fast:?} {error:?}");
        if let Ok(content) = fast {
            assert_eq!(Some(&content), contents.last(), "{what}");
            return content == messages[position];
        }
        true
    };
    for (position, record) in records.iter().enumerate() {
        for length in 0..record.len() {
            check(&record[..length], position, "cut");
        }
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let right = check(&damaged, position, "flip");
            // Clearing the checksum flag makes the checksum a part of the body.
            assert!(right || bit == 2, "record {position}, bit {bit}");
        }
    }
    let mut bytes = encoder.checkpoint().to_bytes();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(SessionSnapshot::from_bytes(&bytes).is_err());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..bytes.len() {
        assert!(SessionSnapshot::from_bytes(&bytes[..length]).is_err());
    }
}

#[test]
fn dictionaries_are_named_and_must_be_at_hand() {
    let other = Arc::new(Dictionary::train(&data::messages(2000, 77), 4096).unwrap());
    let config = SessionConfig::new().dictionary(data::dictionary());
    let mut encoder = SessionEncoder::new(&config).unwrap();
    let record = encode(&mut encoder, b"a message");
    let mut decoder = SessionDecoder::new(Limits::default()).with_dictionary(other);
    let error = decode(&mut decoder, &record).unwrap_err();
    assert!(matches!(error, SigmaError::DictionaryMissing { id } if id == data::dictionary().id()));
    let mut decoder = SessionDecoder::new(Limits::default()).with_dictionary(data::dictionary());
    assert_eq!(decode(&mut decoder, &record).unwrap(), b"a message");
}

#[test]
fn settings_out_of_range_are_named() {
    for (config, name) in [
        (SessionConfig::new().window_bytes(100_000), "window_bytes"),
        (SessionConfig::new().window_bytes(1 << 16), "window_bytes"),
        (SessionConfig::new().window_bytes(1 << 28), "window_bytes"),
        (
            SessionConfig::new().history_bytes((16 << 20) + 1),
            "history_bytes",
        ),
        (SessionConfig::new().level(Level::Zstd(0)), "level"),
    ] {
        let error = SessionEncoder::new(&config).unwrap_err();
        assert!(
            matches!(error, SigmaError::InvalidConfig { name: n, .. } if n == name),
            "{error}"
        );
    }
}

#[test]
fn many_empty_records_are_records() {
    let mut encoder = SessionEncoder::new(&SessionConfig::new()).unwrap();
    let mut decoder = decoder();
    for _ in 0..100 {
        let record = encode(&mut encoder, b"");
        assert_eq!(decode(&mut decoder, &record).unwrap(), b"");
    }
    let record = encode(&mut encoder, b"at last");
    assert_eq!(decode(&mut decoder, &record).unwrap(), b"at last");
}
