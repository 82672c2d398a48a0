//! Damaged, cut, shuffled and hostile input: a typed error or the exact content, never other bytes.

use std::io::Write;

use sigma_lang::{
    Compressor, Config, Decompressor, Dictionary, DictionaryRegistry, Encoder, Limits, SigmaError,
    compress, compress_with_base, decompress, decompress_with_base, inspect, reference,
};
use xxhash_rust::xxh64::xxh64;

mod data;
mod decoders;

use decoders::DECODERS;

/// Small containers of every shape, with their content.
fn samples() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let text = data::text(2600);
    let noise = data::noise(300, 1);
    let mixed = [data::text(1024), data::noise(1024, 2), data::text(500)].concat();
    let short_frames = Config::new().frame_bytes(1024);
    let with_dictionary = Config::new().dictionary(data::dictionary());
    let message = data::messages(1, 4).remove(0);
    let mut encoder = Encoder::new(Vec::new(), &short_frames).unwrap();
    encoder.write_all(&mixed).unwrap();
    let streamed = encoder.finish().unwrap();
    vec![
        ("empty", compress(b"", &Config::new()).unwrap(), Vec::new()),
        (
            "one plain frame",
            compress(&text, &Config::new()).unwrap(),
            text.clone(),
        ),
        (
            "one stored frame",
            compress(&noise, &Config::new()).unwrap(),
            noise,
        ),
        (
            "plain and stored frames",
            compress(&mixed, &short_frames).unwrap(),
            mixed.clone(),
        ),
        ("streamed", streamed, mixed),
        (
            "dictionary",
            compress(&message, &with_dictionary).unwrap(),
            message,
        ),
    ]
}

#[test]
fn cut_at_every_length() {
    for (sample, packed, _) in samples() {
        for length in 0..packed.len() {
            for (name, decode) in DECODERS {
                let result = decode(&packed[..length], &Limits::default());
                assert!(
                    result.is_err(),
                    "{sample} cut to {length}: {name} gave {result:?}"
                );
            }
        }
    }
}

#[test]
fn every_bit_flipped() {
    for (sample, packed, content) in samples() {
        for bit in 0..packed.len() * 8 {
            let mut bytes = packed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut plain_twin = None;
            for (name, decode) in DECODERS {
                let result = decode(&bytes, &Limits::default());
                if let Ok(out) = &result {
                    assert_eq!(out, &content, "{sample} bit {bit}: {name} gave other bytes");
                }
                let expected = *plain_twin.get_or_insert(result.is_ok());
                assert_eq!(
                    result.is_ok(),
                    expected,
                    "{sample} bit {bit}: {name} disagrees"
                );
            }
        }
    }
}

#[test]
fn every_byte_replaced_removed_or_doubled() {
    for (sample, packed, content) in samples() {
        for position in 0..packed.len() {
            let mut removed = packed.clone();
            let byte = removed.remove(position);
            let mut doubled = packed.clone();
            doubled.insert(position, byte);
            let mut replaced = packed.clone();
            replaced[position] = !byte;
            for bytes in [removed, doubled, replaced] {
                for (name, decode) in DECODERS {
                    if let Ok(out) = decode(&bytes, &Limits::default()) {
                        assert_eq!(
                            out, content,
                            "{sample} byte {position}: {name} gave other bytes"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn errors_name_a_place_inside_the_bytes() {
    for (_, packed, _) in samples() {
        for position in 0..packed.len() {
            let mut bytes = packed.clone();
            bytes[position] ^= 0x55;
            let offset = match decompress(&bytes, &Limits::default()) {
                Err(
                    SigmaError::Corrupt { offset, .. }
                    | SigmaError::Truncated { offset, .. }
                    | SigmaError::ChecksumMismatch { offset, .. }
                    | SigmaError::UnknownTag { offset, .. }
                    | SigmaError::NotSigma { offset },
                ) => offset,
                _ => continue,
            };
            assert!(offset <= bytes.len() as u64);
        }
    }
}

#[test]
fn shuffled_frames_are_refused() {
    let content: Vec<u8> = (0..4u8)
        .flat_map(|n| data::noise(1024, u64::from(n)))
        .collect();
    let config = Config::new().frame_bytes(1024);
    let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
    encoder.write_all(&content).unwrap();
    let packed = encoder.finish().unwrap();
    let frames = inspect(&packed).unwrap().frames;
    assert_eq!(frames.len(), 4);
    let place = |index: usize| {
        let start = usize::try_from(frames[index].offset).unwrap();
        start..start + usize::try_from(frames[index].frame_bytes).unwrap()
    };
    let mut swapped = packed.clone();
    swapped.copy_within(place(2), place(1).start);
    swapped[place(2)].copy_from_slice(&packed[place(1)]);
    let mut repeated = packed.clone();
    repeated.copy_within(place(2), place(1).start);
    let mut dropped = packed.clone();
    dropped.drain(place(1));
    let mut followed = packed.clone();
    followed.push(0);
    let twice = [packed.as_slice(), &packed].concat();
    for bytes in [swapped, repeated, dropped, followed, twice] {
        for (name, decode) in DECODERS {
            let result = decode(&bytes, &Limits::default());
            assert!(
                matches!(result, Err(SigmaError::Corrupt { .. })),
                "{name}: {result:?}"
            );
        }
    }
}

#[test]
fn foreign_and_later_files_are_named_as_such() {
    let zstd = zstd::bulk::compress(b"a zstd file", 3).unwrap();
    for bytes in [b"plain text that is no container".to_vec(), zstd] {
        for (name, decode) in DECODERS {
            let result = decode(&bytes, &Limits::default());
            assert!(
                matches!(result, Err(SigmaError::NotSigma { offset: 0 })),
                "{name}"
            );
        }
    }
    let later = header(2, 0, &[]);
    for (name, decode) in DECODERS {
        let result = decode(&later, &Limits::default());
        let expected = matches!(
            result,
            Err(SigmaError::UnsupportedVersion {
                version: 2,
                supported: 1
            })
        );
        assert!(expected, "{name}: {result:?}");
    }
}

#[test]
fn missing_and_wrong_dictionaries() {
    let dictionary = data::dictionary();
    let config = Config::new().dictionary(dictionary.clone());
    let content = data::messages(1, 9).remove(0);
    let packed = compress(&content, &config).unwrap();
    let id = dictionary.id();
    let missing = decompress(&packed, &Limits::default());
    assert!(matches!(missing, Err(SigmaError::DictionaryMissing { id: named }) if named == id));

    let other = Dictionary::train(&data::messages(2000, 77), 4096).unwrap();
    let registry = DictionaryRegistry::new();
    registry.insert(other.into());
    let mut decompressor = Decompressor::new(Limits::default()).with_dictionaries(registry.clone());
    let mut out = Vec::new();
    let missing = decompressor.decompress_into(&packed, &mut out);
    assert!(matches!(missing, Err(SigmaError::DictionaryMissing { .. })));
    // A clone of the registry shares the map, so the decompressor sees what comes later.
    registry.insert(dictionary);
    decompressor.decompress_into(&packed, &mut out).unwrap();
    assert_eq!(out, content);
}

#[test]
fn records_with_missing_and_wrong_dictionaries() {
    let dictionary = data::dictionary();
    let other = Dictionary::train(&data::messages(2000, 77), 4096).unwrap();
    let content = data::messages(1, 9).remove(0);
    for names in [true, false] {
        let config = Config::new()
            .dictionary(dictionary.clone())
            .record_dictionary_id(names);
        let mut record = Vec::new();
        Compressor::new(&config)
            .unwrap()
            .compress_record_into(&content, &mut record)
            .unwrap();
        let mut decompressor = Decompressor::new(Limits::default());
        let mut out = b"kept".to_vec();
        let none = decompressor
            .decompress_record_into(&record, &mut out)
            .unwrap_err();
        let wrong = decompressor
            .decompress_record_with_dictionary(&record, &other, &mut out)
            .unwrap_err();
        if names {
            assert!(matches!(none, SigmaError::DictionaryMissing { id } if id == dictionary.id()));
            assert!(
                matches!(wrong, SigmaError::DictionaryMissing { .. }),
                "{wrong}"
            );
        } else {
            assert!(matches!(none, SigmaError::DictionaryRequired));
            // Found by zstd or by the checksum.
            let found = matches!(
                wrong,
                SigmaError::Corrupt { .. } | SigmaError::ChecksumMismatch { .. }
            );
            assert!(found, "{wrong}");
        }
        assert_eq!(out, b"kept");
    }
}

#[test]
fn damaged_records() {
    let dictionary = data::dictionary();
    let config = Config::new().dictionary(dictionary.clone());
    let contents = [
        data::messages(1, 5).remove(0),
        data::noise(60, 3),
        vec![7; 3000],
        b"".to_vec(),
    ];
    for content in contents {
        let mut record = Vec::new();
        Compressor::new(&config)
            .unwrap()
            .compress_record_into(&content, &mut record)
            .unwrap();
        let check = |bytes: &[u8], what: &str| {
            let mut out = Vec::new();
            let mut decompressor = Decompressor::new(Limits::default());
            let fast = decompressor.decompress_record_with_dictionary(bytes, &dictionary, &mut out);
            let slow = reference::decompress_record(bytes, &Limits::default(), Some(&dictionary));
            assert_eq!(fast.is_ok(), slow.is_ok(), "{what}: {fast:?} {slow:?}");
            match fast {
                Ok(()) => assert!(out == content && slow.unwrap() == content, "{what}"),
                Err(_) => assert!(out.is_empty(), "{what}"),
            }
            fast.is_err()
        };
        for length in 0..record.len() {
            assert!(
                check(&record[..length], "cut"),
                "cut to {length} went unnoticed"
            );
        }
        for bit in 0..record.len() * 8 {
            let mut bytes = record.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The checksum flag itself may be cleared: then the checksum counts as body.
            if bit != 3 {
                check(&bytes, "flip");
            }
        }
        let followed = [record.as_slice(), &[0]].concat();
        assert!(check(&followed, "followed"));
    }
}

#[test]
fn limits_are_named_with_value_and_unit() {
    let packed = compress(&vec![0; 100_000], &Config::new().frame_bytes(10_000)).unwrap();
    let limits = Limits::default;
    let cases = [
        (
            limits().output_bytes_max(99_999),
            "content",
            100_000,
            99_999,
        ),
        (
            limits().frame_bytes_max(9_999),
            "content of a frame",
            10_000,
            9_999,
        ),
        (
            limits().window_bytes_max(9_999),
            "window of a frame",
            10_000,
            9_999,
        ),
        (limits().frames_max(9), "number of frames", 10, 9),
    ];
    for (limits, what, value, allowed) in cases {
        match decompress(&packed, &limits) {
            Err(SigmaError::LimitExceeded {
                what: w,
                value: v,
                allowed: a,
                ..
            }) => {
                assert_eq!((w, v, a), (what, value, allowed));
            }
            other => panic!("{what}: {other:?}"),
        }
        for (name, decode) in DECODERS {
            let limited = matches!(
                decode(&packed, &limits),
                Err(SigmaError::LimitExceeded { .. })
            );
            assert!(limited, "{name} {what}");
        }
    }
    for (name, decode) in DECODERS {
        let result = decode(&packed, &limits().ratio_max(100));
        assert!(
            matches!(result, Err(SigmaError::LimitExceeded { .. })),
            "{name}: {result:?}"
        );
    }
}

/// A header by the format page.
fn header(version: u8, flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut out = vec![0x53, 0x2A, 0x4D, 0x18];
    out.extend_from_slice(&u32::try_from(fields.len() + 9).unwrap().to_le_bytes());
    out.extend_from_slice(b"SGL");
    out.extend_from_slice(&[version, flags]);
    out.extend_from_slice(fields);
    let check = xxh64(&out, 0).to_le_bytes();
    out.extend_from_slice(&check[..4]);
    out
}

/// Trailer and seek table by the format page, with right checksums and any lengths.
fn end(header_bytes: usize, frames: &[(u32, u32, u32)], content_bytes: u64) -> Vec<u8> {
    let empty = 0x51D8_E999u32;
    let mut table = vec![0x5E, 0x2A, 0x4D, 0x18];
    let entries = u32::try_from(frames.len() + 2).unwrap();
    table.extend_from_slice(&(12 * entries + 9).to_le_bytes());
    let first = (u32::try_from(header_bytes).unwrap(), 0, empty);
    for (frame, content, check) in [first].iter().chain(frames).chain([&(24, 0, empty)]) {
        for value in [frame, content, check] {
            table.extend_from_slice(&value.to_le_bytes());
        }
    }
    table.extend_from_slice(&entries.to_le_bytes());
    table.push(0x80);
    table.extend_from_slice(&[0xB1, 0xEA, 0x92, 0x8F]);
    let mut out = vec![0x54, 0x2A, 0x4D, 0x18, 16, 0, 0, 0];
    out.extend_from_slice(&content_bytes.to_le_bytes());
    let covered = [&content_bytes.to_le_bytes()[..], &table].concat();
    out.extend_from_slice(&xxh64(&covered, 0).to_le_bytes());
    out.extend_from_slice(&table);
    out
}

/// A zstd frame of one run-length block with any stated content length.
fn run_frame(content_bytes: u64) -> Vec<u8> {
    let mut out = vec![0x28, 0xB5, 0x2F, 0xFD, 0xE4];
    out.extend_from_slice(&content_bytes.to_le_bytes());
    out.extend_from_slice(&[(1 << 3) | (1 << 1) | 1, 0, 0, b'x']);
    out.extend_from_slice(&[0; 4]);
    out
}

fn tagged(tag: u8, content_bytes: u64) -> Vec<u8> {
    let mut out = b"SGF1".to_vec();
    out.push(tag);
    let mut rest = content_bytes;
    while rest > 0x7F {
        out.push(0x80 | u8::try_from(rest & 0x7F).unwrap());
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
    out.extend_from_slice(b"few bytes");
    out
}

/// Containers that declare far more than they hold.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let plain = header(1, 0, &[]);
    let table = header(1, 8, &[]);
    let tera = 1u64 << 42;
    let single = |frame: Vec<u8>| [plain.as_slice(), &frame].concat();
    let listed = |frame: Vec<u8>, content: u32, count: usize, total: u64| {
        let frame_bytes = u32::try_from(frame.len()).unwrap();
        let entries = vec![(frame_bytes, content, 0); count];
        [table.as_slice(), &frame, &end(table.len(), &entries, total)].concat()
    };
    let mut wide_window = vec![0x28, 0xB5, 0x2F, 0xFD, 0x84, 0xFF];
    wide_window.extend_from_slice(&1000u32.to_le_bytes());
    wide_window.extend_from_slice(&[3, 0, 0, b'x', 0, 0, 0, 0]);
    let mut empty_blocks = vec![0x28, 0xB5, 0x2F, 0xFD, 0x24, 5];
    empty_blocks.resize(100_000, 0);
    let mut many = table.clone();
    many.extend_from_slice(&[0x54, 0x2A, 0x4D, 0x18, 16, 0, 0, 0]);
    many.extend_from_slice(&[0; 16]);
    many.extend_from_slice(&[0x5E, 0x2A, 0x4D, 0x18]);
    many.extend_from_slice(&u32::MAX.to_le_bytes());
    many.extend_from_slice(&0x0FFF_FFFFu32.to_le_bytes());
    many.extend_from_slice(&[0x80, 0xB1, 0xEA, 0x92, 0x8F]);
    let stated = [&[0xFF; 9][..], &[1]].concat();
    vec![
        (
            "header states 2^64 - 1 bytes",
            [header(1, 9, &stated), end(41, &[], 0)].concat(),
        ),
        (
            "header of 4 GiB",
            [0x53, 0x2A, 0x4D, 0x18, 0xFF, 0xFF, 0xFF, 0xFF].to_vec(),
        ),
        ("zstd frame of 4 TiB", single(run_frame(tera))),
        (
            "zstd frame of 1 GiB in 21 bytes",
            single(run_frame(1 << 30)),
        ),
        (
            "zstd frame of 60 MiB in 21 bytes",
            single(run_frame(60 << 20)),
        ),
        ("zstd window of 3.75 TiB", single(wide_window)),
        ("endless empty blocks", single(empty_blocks)),
        ("stored frame of 4 TiB", single(tagged(1, tera))),
        ("stored frame of 1 GiB", single(tagged(1, 1 << 30))),
        ("stored frame of nothing", single(tagged(1, 0))),
        ("transform of a later version", single(tagged(9, 100))),
        (
            "table of 4 GiB frames",
            listed(run_frame(1), u32::MAX, 1, u64::from(u32::MAX)),
        ),
        (
            "table of 1,000 frames of 1 GiB",
            listed(run_frame(1), 1 << 30, 1000, 1000 << 30),
        ),
        ("table of 268 million entries", many),
        ("trailer states 4 TiB", listed(run_frame(1), 1, 1, tera)),
        ("table lists an empty frame", listed(run_frame(1), 0, 1, 0)),
    ]
}

#[test]
fn bombs_are_refused() {
    for (bomb, bytes) in bombs() {
        for (name, decode) in DECODERS {
            let result = decode(&bytes, &Limits::default());
            assert!(
                result.is_err(),
                "{bomb}: {name} gave {} bytes",
                result.unwrap().len()
            );
        }
        // Still refused where the caller allows everything.
        let all = Limits::default()
            .output_bytes_max(u64::MAX)
            .frame_bytes_max(u64::MAX)
            .window_bytes_max(u64::MAX)
            .frames_max(u64::MAX)
            .ratio_max(u64::MAX);
        assert!(decompress(&bytes, &all).is_err(), "{bomb}");
        let base = decompress_with_base(b"base", &bytes, &Limits::default());
        assert!(base.is_err(), "{bomb}");
    }
}

#[test]
fn the_crafting_helpers_make_valid_containers() {
    // Otherwise the bombs above could be refused for a slip of the pen.
    let content = data::text(1500);
    let config = Config::new().frame_bytes(1024).plain_frames_only(true);
    let packed = compress(&content, &config).unwrap();
    let inspection = inspect(&packed).unwrap();
    let first = usize::try_from(inspection.frames[0].offset).unwrap();
    let mut built = header(1, 9, &[0xDC, 0x0B]);
    assert_eq!(built.len(), first);
    let mut entries = Vec::new();
    for frame in &inspection.frames {
        let start = usize::try_from(frame.offset).unwrap();
        let bytes = &packed[start..start + usize::try_from(frame.frame_bytes).unwrap()];
        let check = u32::from_le_bytes(*bytes.last_chunk().unwrap());
        entries.push((
            u32::try_from(bytes.len()).unwrap(),
            u32::try_from(frame.content_bytes).unwrap(),
            check,
        ));
        built.extend_from_slice(bytes);
    }
    built.extend_from_slice(&end(first, &entries, 1500));
    assert_eq!(built, packed);
}

#[test]
fn record_bombs_are_refused() {
    let tera = run_frame(1 << 42);
    let mut frame_form = vec![2];
    frame_form.extend_from_slice(&tera[4..]);
    let mut tail_form = vec![2];
    tail_form.extend_from_slice(&zstd::bulk::compress(b"content", 1).unwrap()[4..]);
    tail_form.extend_from_slice(&[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]);
    let cases = [
        ("empty", vec![]),
        (
            "block of 2^63 bytes",
            [&[1][..], &[0xFF; 9], &[0x7F, 1, 2, 3]].concat(),
        ),
        ("block of 131,073 bytes", vec![1, 0x81, 0x80, 0x08, 1, 2, 3]),
        ("block of nothing", vec![1, 0x80]),
        ("frame of 4 TiB", frame_form),
        ("frame with a skippable frame behind", tail_form),
        ("unknown form", vec![7, 1, 2, 3]),
        ("reserved flag", vec![0x40, 1, 2, 3]),
        (
            "id without dictionary",
            vec![0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        ),
        ("stored with dictionary", vec![0x10, 1, 2, 3]),
        ("checksum cut", vec![8, 1, 2]),
    ];
    let all = Limits::default()
        .output_bytes_max(u64::MAX)
        .frame_bytes_max(u64::MAX);
    for (bomb, bytes) in cases {
        for limits in [Limits::default(), all] {
            let mut out = Vec::new();
            let fast = Decompressor::new(limits).decompress_record_into(&bytes, &mut out);
            assert!(fast.is_err(), "{bomb}");
            assert!(out.is_empty(), "{bomb}");
            assert!(
                reference::decompress_record(&bytes, &limits, None).is_err(),
                "{bomb}"
            );
        }
    }
}

#[test]
fn record_limits_hold_to_the_byte() {
    for content in [data::noise(1000, 1), data::text(1000), vec![0; 200_000]] {
        let mut record = Vec::new();
        Compressor::new(&Config::new())
            .unwrap()
            .compress_record_into(&content, &mut record)
            .unwrap();
        let length = content.len() as u64;
        let mut out = Vec::new();
        let mut exact = Decompressor::new(Limits::default().output_bytes_max(length));
        exact.decompress_record_into(&record, &mut out).unwrap();
        let mut short = Decompressor::new(Limits::default().output_bytes_max(length - 1));
        let error = short.decompress_record_into(&record, &mut out).unwrap_err();
        let limited = matches!(error, SigmaError::LimitExceeded { value, .. } if value == length);
        assert!(limited, "{error}");
    }
}

#[test]
fn a_damaged_base_container() {
    let base = data::text(3000);
    let content = [base.as_slice(), b"more"].concat();
    let packed = compress_with_base(&base, &content, &Config::new()).unwrap();
    for bit in 0..packed.len() * 8 {
        let mut bytes = packed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(out) = decompress_with_base(&base, &bytes, &Limits::default()) {
            assert_eq!(out, content);
        }
    }
    for length in 0..packed.len() {
        assert!(decompress_with_base(&base, &packed[..length], &Limits::default()).is_err());
    }
}

#[test]
fn unusable_dictionaries_and_samples() {
    let too_short = Dictionary::from_bytes(&[1; 7]).unwrap_err();
    assert!(matches!(
        too_short,
        SigmaError::DictionaryInvalid { bytes: 7, .. }
    ));
    let mut damaged = data::dictionary().to_bytes();
    damaged.truncate(40);
    let damaged = Dictionary::from_bytes(&damaged).unwrap_err();
    assert!(matches!(damaged, SigmaError::DictionaryInvalid { .. }));
    let none: [&[u8]; 0] = [];
    for result in [
        Dictionary::train(&none, 4096),
        Dictionary::train(&["a"], 4096),
        Dictionary::train(&["", "", ""], 4096),
    ] {
        assert!(
            matches!(result, Err(SigmaError::DictionaryTraining { .. })),
            "{result:?}"
        );
    }
    for bytes_max in [0, 255, (16 << 20) + 1] {
        let result = Dictionary::train(&data::messages(100, 1), bytes_max);
        assert!(
            matches!(result, Err(SigmaError::InvalidConfig { .. })),
            "{result:?}"
        );
    }
}
