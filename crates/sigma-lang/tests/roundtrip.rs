//! What goes in comes out, for any bytes and settings.

use std::sync::Arc;

use proptest::prelude::*;
use sigma_lang::{
    Compressor, Config, Decompressor, Dictionary, DictionaryRegistry, Level, Limits, SigmaError,
    compress, compress_with_base, decompress, decompress_with_base, inspect,
};

mod data;

fn levels() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Fast),
        Just(Level::Balanced),
        Just(Level::High),
        (-7..=-1i32).prop_map(Level::Zstd),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_content_any_setting(
        content in data::content(40_000),
        level in levels(),
        frame_bytes in 1024usize..20_000,
        plain in any::<bool>(),
        with_dictionary in any::<bool>(),
    ) {
        let mut config = Config::new().level(level).frame_bytes(frame_bytes).plain_frames_only(plain);
        let dictionary = data::dictionary();
        if with_dictionary {
            config = config.dictionary(dictionary.clone());
        }
        let mut decompressor = Decompressor::new(Limits::default()).with_dictionary(dictionary);
        let one = compress(&content, &config).unwrap();
        for threads in [1, 2, 4] {
            let packed = compress(&content, &config.clone().threads(threads)).unwrap();
            prop_assert!(packed == one, "bytes depend on the number of threads");
            let mut out = b"before".to_vec();
            decompressor = decompressor.with_threads(threads);
            decompressor.decompress_into(&packed, &mut out).unwrap();
            prop_assert_eq!(&out[..6], b"before");
            prop_assert!(out[6..] == content[..]);
        }
        let inspection = inspect(&one).unwrap();
        prop_assert_eq!(inspection.content_bytes, content.len() as u64);
        prop_assert!(!plain || inspection.stock_zstd_readable());
        // Beyond the content: header 33 or less, and per frame a stored head or zstd's own overhead
        // and an entry.
        prop_assert!(one.len() <= content.len() + 100 + 40 * inspection.frames.len());
    }

    #[test]
    fn any_record(
        content in data::content(3_000),
        level in levels(),
        checksum in any::<bool>(),
        id in any::<bool>(),
        with_dictionary in any::<bool>(),
    ) {
        let dictionary = data::dictionary();
        let mut config = Config::new().level(level).record_checksum(checksum).record_dictionary_id(id);
        if with_dictionary {
            config = config.dictionary(dictionary.clone());
        }
        let mut record = Vec::new();
        Compressor::new(&config).unwrap().compress_record_into(&content, &mut record).unwrap();
        prop_assert!(record.len() <= content.len() + 1 + 4 * usize::from(checksum));
        let mut out = b"before".to_vec();
        let mut decompressor = Decompressor::new(Limits::default()).with_dictionary(dictionary.clone());
        decompressor.decompress_record_into(&record, &mut out).unwrap();
        prop_assert!(out[6..] == content[..]);
        out.clear();
        let mut plain = Decompressor::new(Limits::default());
        plain.decompress_record_with_dictionary(&record, &dictionary, &mut out).unwrap();
        prop_assert!(out == content);
        if id {
            let registry = DictionaryRegistry::new();
            registry.insert(dictionary);
            out.clear();
            let mut looking_up = Decompressor::new(Limits::default()).with_dictionaries(registry);
            looking_up.decompress_record_into(&record, &mut out).unwrap();
            prop_assert!(out == content);
        }
    }

    #[test]
    fn any_base(
        base in data::content(30_000),
        own in data::content(10_000),
        frame_bytes in 1024usize..60_000,
    ) {
        let mut content = base.clone();
        content.extend_from_slice(&own);
        let config = Config::new().frame_bytes(frame_bytes);
        let packed = compress_with_base(&base, &content, &config).unwrap();
        for threads in [2, 4] {
            let again = compress_with_base(&base, &content, &config.clone().threads(threads)).unwrap();
            prop_assert!(packed == again);
        }
        let out = decompress_with_base(&base, &packed, &Limits::default()).unwrap();
        prop_assert!(out == content);
        let needs = decompress(&packed, &Limits::default());
        let base_required = matches!(needs, Err(SigmaError::BaseRequired { .. }));
        prop_assert!(base_required);
        let mut other = base;
        other.push(0);
        let wrong = decompress_with_base(&other, &packed, &Limits::default());
        let base_mismatch = matches!(wrong, Err(SigmaError::BaseMismatch { .. }));
        prop_assert!(base_mismatch);
    }
}

#[test]
fn edge_lengths() {
    let config = Config::new().frame_bytes(1024);
    for length in [
        0, 1, 2, 255, 256, 257, 1023, 1024, 1025, 2048, 65_791, 65_792, 70_000,
    ] {
        for content in [vec![0; length], data::noise(length, 7), data::text(length)] {
            let packed = compress(&content, &config).unwrap();
            assert_eq!(decompress(&packed, &Limits::default()).unwrap(), content);
            let mut record = Vec::new();
            Compressor::new(&config)
                .unwrap()
                .compress_record_into(&content, &mut record)
                .unwrap();
            let mut out = Vec::new();
            Decompressor::new(Limits::default())
                .decompress_record_into(&record, &mut out)
                .unwrap();
            assert_eq!(out, content);
        }
    }
}

#[test]
fn long_records_take_the_frame_form() {
    let content = data::text(300_000);
    for dictionary in [None, Some(data::dictionary())] {
        let mut config = Config::new();
        if let Some(dictionary) = &dictionary {
            config = config.dictionary(dictionary.clone());
        }
        let mut record = Vec::new();
        Compressor::new(&config)
            .unwrap()
            .compress_record_into(&content, &mut record)
            .unwrap();
        assert_eq!(record[0] & 7, 2);
        assert!(record.len() < content.len() / 2);
        let mut decompressor =
            Decompressor::new(Limits::default()).with_dictionary(data::dictionary());
        let mut out = Vec::new();
        decompressor
            .decompress_record_into(&record, &mut out)
            .unwrap();
        assert_eq!(out, content);
    }
}

#[test]
fn noise_costs_at_most_32_bytes_in_one_frame() {
    for length in [1, 100, 5_000, 200_000, 4 << 20, 9 << 20] {
        let content = data::noise(length, 3);
        let packed = compress(&content, &Config::new()).unwrap();
        assert!(
            packed.len() - length <= 32,
            "{length} grew by {}",
            packed.len() - length
        );
        assert_eq!(inspect(&packed).unwrap().frames.len(), 1);
    }
}

#[test]
fn long_noise_is_split_at_16_mib() {
    let content = data::noise((33 << 20) + 5, 4);
    let packed = compress(&content, &Config::new().threads(2)).unwrap();
    let inspection = inspect(&packed).unwrap();
    assert_eq!(inspection.frames.len(), 3);
    assert!(
        inspection
            .frames
            .iter()
            .all(|frame| frame.content_bytes <= 16 << 20)
    );
    assert!(packed.len() - content.len() <= 90 + 25 * 3);
    assert_eq!(decompress(&packed, &Limits::default()).unwrap(), content);
}

#[test]
fn one_compressor_for_many_calls_gives_the_bytes_of_a_new_one() {
    let config = Config::new()
        .dictionary(data::dictionary())
        .frame_bytes(2048)
        .threads(2);
    let mut compressor = Compressor::new(&config).unwrap();
    for seed in 0..20 {
        let content = data::mixed(10_000, seed);
        let (mut packed, mut record, mut record_new) = (Vec::new(), Vec::new(), Vec::new());
        compressor.compress_into(&content, &mut packed).unwrap();
        compressor
            .compress_record_into(&content, &mut record)
            .unwrap();
        assert_eq!(packed, compress(&content, &config).unwrap());
        Compressor::new(&config)
            .unwrap()
            .compress_record_into(&content, &mut record_new)
            .unwrap();
        assert_eq!(record, record_new);
    }
}

#[test]
fn a_dictionary_shrinks_small_records() {
    let sample = data::messages(1, 99).remove(0);
    let sizes = [None, Some(data::dictionary())].map(|dictionary| {
        let mut config = Config::new()
            .record_checksum(false)
            .record_dictionary_id(false);
        if let Some(dictionary) = dictionary {
            config = config.dictionary(dictionary);
        }
        let mut record = Vec::new();
        Compressor::new(&config)
            .unwrap()
            .compress_record_into(&sample, &mut record)
            .unwrap();
        record.len()
    });
    assert!(sizes[1] * 2 < sizes[0], "{sizes:?}");
}

#[test]
fn a_base_shrinks_what_repeats_it() {
    let base = data::noise(300_000, 1);
    let mut content = base.clone();
    content.extend_from_slice(b"a new turn");
    let packed = compress_with_base(&base, &content, &Config::new()).unwrap();
    assert!(packed.len() < 2_000, "{}", packed.len());
    let short = Config::new().frame_bytes(50_000);
    let packed = compress_with_base(&base, &content, &short).unwrap();
    assert!(packed.len() < 3_000, "{}", packed.len());
}

#[test]
fn a_base_may_look_like_a_zstd_dictionary() {
    let mut base = data::dictionary().to_bytes();
    base.truncate(3000);
    for base in [
        base,
        vec![0x37, 0xA4, 0x30, 0xEC],
        Vec::new(),
        vec![1, 2, 3],
    ] {
        let content = [base.clone(), data::text(500)].concat();
        let packed = compress_with_base(&base, &content, &Config::new()).unwrap();
        assert_eq!(
            decompress_with_base(&base, &packed, &Limits::default()).unwrap(),
            content
        );
    }
}

#[test]
fn dictionaries_are_the_same_after_a_round_trip() {
    let dictionary = data::dictionary();
    let again = Dictionary::from_bytes(&dictionary.to_bytes()).unwrap();
    assert_eq!(again.id(), dictionary.id());
    assert_eq!(again.hash(), dictionary.hash());
    let config = |dictionary| Config::new().dictionary(dictionary);
    let content = data::text(3000);
    let one = compress(&content, &config(dictionary)).unwrap();
    assert_eq!(one, compress(&content, &config(Arc::new(again))).unwrap());
}

#[test]
fn settings_out_of_range_are_named() {
    let cases = [
        (Config::new().frame_bytes(1023), "frame_bytes"),
        (Config::new().frame_bytes((64 << 20) + 1), "frame_bytes"),
        (Config::new().threads(0), "threads"),
        (Config::new().threads(1025), "threads"),
        (Config::new().level(Level::Zstd(0)), "level"),
        (Config::new().level(Level::Zstd(23)), "level"),
        (Config::new().level(Level::Zstd(-8)), "level"),
    ];
    for (config, setting) in cases {
        match Compressor::new(&config) {
            Err(SigmaError::InvalidConfig { name, .. }) => assert_eq!(name, setting),
            other => panic!("{other:?}"),
        }
        assert!(sigma_lang::Encoder::new(Vec::new(), &config).is_err());
        assert!(compress_with_base(b"", b"", &config).is_err());
    }
}

#[test]
fn documented_defaults() {
    let limits = Limits::default();
    assert_eq!(limits.output_bytes_max, 1 << 30);
    assert_eq!(limits.frame_bytes_max, 64 << 20);
    assert_eq!(limits.window_bytes_max, 128 << 20);
    assert_eq!(limits.frames_max, 1 << 20);
    assert_eq!(limits.ratio_max, 32_768);
    let content = data::noise(1 << 20, 1).repeat(5);
    let frames = inspect(&compress(&data::text(13 << 20), &Config::new()).unwrap())
        .unwrap()
        .frames;
    assert_eq!(frames[0].content_bytes, 4 << 20);
    let explicit = Config::new()
        .level(Level::Zstd(3))
        .frame_bytes(4 << 20)
        .threads(1);
    assert_eq!(
        compress(&content, &Config::new()).unwrap(),
        compress(&content, &explicit).unwrap()
    );
}
