//! Transforms: chosen where they pay, exact on anything, refused when damaged.

use proptest::prelude::*;
use sigma_lang::{Config, FrameTag, Level, Limits, SigmaError, compress, inspect};

mod data;
mod decoders;

use decoders::DECODERS;

/// A level that takes the time to try every transform.
fn thorough() -> Config {
    Config::new().level(Level::High)
}

fn tag_of(content: &[u8]) -> FrameTag {
    tag_by(content, &thorough())
}

fn tag_by(content: &[u8], config: &Config) -> FrameTag {
    inspect(&compress(content, config).unwrap()).unwrap().frames[0].tag
}

#[test]
fn each_kind_of_content_gets_its_transform() {
    let length = 60_000;
    assert_eq!(tag_of(&data::log(length)), FrameTag::Templates);
    assert_eq!(tag_of(&data::table(length)), FrameTag::Templates);
    // At higher levels plain zstd does as well on this JSON.
    let config = Config::new().level(Level::Zstd(4));
    assert_eq!(
        tag_by(&data::json_lines(length), &config),
        FrameTag::Templates
    );
    for width in [2, 4, 8] {
        assert_eq!(
            tag_of(&data::floats(length, width)),
            FrameTag::Planes,
            "{width}"
        );
        assert_eq!(
            tag_of(&data::walk(length, width)),
            FrameTag::Planes,
            "{width}"
        );
    }
    assert_eq!(tag_of(&data::decimals(length)), FrameTag::Numbers);
    assert_eq!(tag_of(&data::rows(length)), FrameTag::Numbers);
    for (bits, width) in [(15, 2), (15, 4), (16, 4), (17, 4), (15, 8), (18, 8)] {
        let content = data::wide_tokens(length, bits, width);
        assert_eq!(tag_of(&content), FrameTag::Tokens, "{bits} {width}");
    }
    assert_eq!(tag_of(&data::noise(length, 1)), FrameTag::Stored);
}

#[test]
fn tokens_take_less_than_zstd() {
    for (bits, width) in [(15, 4), (16, 4), (17, 4), (15, 8), (18, 8)] {
        let content = data::wide_tokens(600_000, bits, width);
        for level in [Level::Fast, Level::Balanced, Level::High] {
            let config = Config::new().level(level);
            let packed = compress(&content, &config).unwrap();
            let plain = compress(&content, &config.transforms(false)).unwrap();
            assert!(
                10 * packed.len() < 9 * plain.len(),
                "{bits} {width} {level:?}: {} {}",
                packed.len(),
                plain.len()
            );
        }
    }
}

#[test]
fn decimals_and_rows_take_less_than_half_of_zstd() {
    for content in [data::decimals(400_000), data::rows(400_000)] {
        for level in [Level::Fast, Level::Balanced, Level::High] {
            let config = Config::new().level(level);
            let packed = compress(&content, &config).unwrap();
            let plain = compress(&content, &config.transforms(false)).unwrap();
            assert_eq!(inspect(&packed).unwrap().frames[0].tag, FrameTag::Numbers);
            assert!(
                2 * packed.len() < plain.len(),
                "{level:?}: {} {}",
                packed.len(),
                plain.len()
            );
        }
    }
}

#[test]
fn small_differences_take_less_than_a_bit_each() {
    for width in [2, 4, 8] {
        let content = data::steps(200_000, width);
        for level in [Level::Fast, Level::Balanced, Level::High, Level::Smallest] {
            let packed = compress(&content, &Config::new().level(level)).unwrap();
            let tag = inspect(&packed).unwrap().frames[0].tag;
            assert!(matches!(tag, FrameTag::Planes | FrameTag::Numbers));
            // A code of whole bits for each difference takes 1.57 bits, one of two at once 1.32.
            let bits = 8.0 * packed.len() as f64 / (content.len() / width) as f64;
            assert!(bits < 1.45, "{width} bytes, {level:?}: {bits} bits");
            for (name, decode) in DECODERS {
                assert_eq!(
                    decode(&packed, &Limits::default()).unwrap(),
                    content,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn tables_of_digits_take_no_more_than_plain_zstd() {
    // Columns of few values, as of a survey: less search finds more in some of them.
    let digits: Vec<u8> = (0..120_000usize)
        .flat_map(|n| {
            let (row, column) = (n / 30, n % 30);
            let value = (row * row / (7 + column) + row / 50 * column) % (2 + column % 8);
            let end = if column == 29 { b'\n' } else { b',' };
            [b'0' + u8::try_from(value).unwrap(), end]
        })
        .collect();
    for content in [digits, data::table(200_000)] {
        let packed = compress(&content, &Config::new()).unwrap();
        let plain = compress(&content, &Config::new().transforms(false)).unwrap();
        let found = inspect(&packed).unwrap();
        assert!(found.stock_zstd_readable());
        assert!(
            packed.len() <= plain.len() + plain.len() / 100,
            "{} {}",
            packed.len(),
            plain.len()
        );
    }
}

#[test]
fn numbers_that_repeat_from_afar_are_matched() {
    let once = data::steps(120_000, 4);
    let content = once.repeat(6);
    for level in [Level::Balanced, Level::High] {
        let config = Config::new().level(level);
        let packed = compress(&content, &config).unwrap();
        let plain = compress(&content, &config.transforms(false)).unwrap();
        assert!(
            packed.len() < plain.len() + plain.len() / 100,
            "{level:?}: {} {}",
            packed.len(),
            plain.len()
        );
    }
}

#[test]
fn fast_levels_transform_what_gains_much() {
    let length = 200_000;
    let config = Config::new();
    assert_eq!(tag_by(&data::log(length), &config), FrameTag::Templates);
    assert_eq!(tag_by(&data::table(length), &config), FrameTag::Plain);
    assert_eq!(tag_by(&data::floats(length, 2), &config), FrameTag::Planes);
    assert_eq!(tag_by(&data::noise(length, 1), &config), FrameTag::Stored);
    // A trial on so little would take longer than to compress it.
    assert_eq!(tag_by(&data::log(4_000), &config), FrameTag::Plain);
}

#[test]
fn transforms_pay_and_can_be_turned_off() {
    for content in [
        data::log(60_000),
        data::table(60_000),
        data::floats(60_000, 2),
    ] {
        let with = compress(&content, &thorough()).unwrap();
        let without = compress(&content, &thorough().transforms(false)).unwrap();
        assert!(
            with.len() * 100 < without.len() * 97,
            "{} {}",
            with.len(),
            without.len()
        );
        assert!(inspect(&without).unwrap().stock_zstd_readable());
        let plain = compress(&content, &Config::new().plain_frames_only(true)).unwrap();
        assert!(inspect(&plain).unwrap().stock_zstd_readable());
    }
}

#[test]
fn repetition_over_a_distance_is_not_lost() {
    for once in [
        data::noise(20_000, 2),
        data::noise(150_000, 3),
        data::noise(700_000, 4),
        data::floats(20_000, 4),
        data::floats(300_000, 2),
        data::floats(300_000, 4),
        data::tokens(300_000),
        data::wide_tokens(300_000, 17, 4),
        data::wide_tokens(300_000, 15, 2),
        data::wide_tokens(300_000, 17, 8),
        data::decimals(200_000),
        data::rows(200_000),
    ] {
        // All of it again, a part of it, and a part at another place of its elements.
        let part = once.len() / 7;
        for again in [0..once.len(), 0..part, part + 1..2 * part] {
            let mut content = once.clone();
            content.extend_from_slice(&once[again.clone()]);
            let with = compress(&content, &Config::new()).unwrap();
            let without = compress(&content, &Config::new().transforms(false)).unwrap();
            assert!(
                with.len() * 995 <= without.len() * 1000,
                "{} of {again:?}: {} {}",
                once.len(),
                with.len(),
                without.len()
            );
        }
    }
}

/// Structured content, changed at some places, so that it nearly fits a transform.
fn nearly(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    (data::structured(length_max), changes).prop_map(|(mut content, changes)| {
        for (index, byte) in changes {
            if !content.is_empty() {
                let index = index.index(content.len());
                content[index] = byte;
            }
        }
        content
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_decoder_gives_the_content(
        content in nearly(30_000),
        frame_bytes in 2048usize..40_000,
        level in prop_oneof![Just(Level::Fast), Just(Level::Balanced), Just(Level::High)],
    ) {
        let config = Config::new().frame_bytes(frame_bytes).level(level);
        let packed = compress(&content, &config).unwrap();
        for (name, decode) in DECODERS {
            let out = decode(&packed, &Limits::default()).unwrap();
            prop_assert!(out == content, "{name}");
        }
        if let Some(below) = (content.len() as u64).checked_sub(1) {
            let short = Limits::default().output_bytes_max(below);
            for (name, decode) in DECODERS {
                let result = decode(&packed, &short);
                let limited = matches!(result, Err(SigmaError::LimitExceeded { .. }));
                prop_assert!(limited, "{name}");
            }
        }
    }
}

#[test]
fn damage_is_an_error_or_harmless() {
    let samples = [
        (data::log(4_000), 9),
        (data::table(4_000), 9),
        (data::json_lines(60_000), 4),
        (data::floats(4_001, 2), 9),
        (data::walk(4_003, 4), 9),
        (data::tokens(16_001), 9),
        (data::wide_tokens(24_001, 17, 8), 9),
        (data::decimals(12_003), 9),
        (data::rows(12_003), 9),
    ];
    for (content, level) in samples {
        let config = Config::new().level(Level::Zstd(level));
        let packed = compress(&content, &config).unwrap();
        let tag = inspect(&packed).unwrap().frames[0].tag;
        assert!(
            !matches!(tag, FrameTag::Plain | FrameTag::Stored),
            "{tag:?}"
        );
        let step = 1 + packed.len() / 2_000;
        for position in (0..packed.len()).step_by(step) {
            for value in [packed[position] ^ 1, packed[position] ^ 0x80, 0] {
                let mut bytes = packed.clone();
                bytes[position] = value;
                let mut twin = None;
                for (name, decode) in &DECODERS[..2] {
                    let result = decode(&bytes, &Limits::default());
                    if let Ok(out) = &result {
                        assert!(
                            *out == content,
                            "{tag:?} byte {position}: {name}: other bytes"
                        );
                    }
                    let agreed = *twin.get_or_insert(result.is_ok());
                    assert_eq!(result.is_ok(), agreed, "{tag:?} byte {position}: {name}");
                }
            }
        }
        for length in (0..packed.len()).step_by(step) {
            for (name, decode) in &DECODERS[..4] {
                assert!(
                    decode(&packed[..length], &Limits::default()).is_err(),
                    "{name} {length}"
                );
            }
        }
    }
}
