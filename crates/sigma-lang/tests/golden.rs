//! Containers and records of each format version decode for ever. The files are made once and never
//! overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use sigma_lang::{
    Compressor, Config, Decompressor, Dictionary, DictionaryRegistry, Encoder, FrameTag, Level,
    Limits, SigmaError, compress, compress_with_base, decompress_with_base, inspect, reference,
};
use std::io::Write;

mod data;
mod decoders;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn registry() -> DictionaryRegistry {
    let registry = DictionaryRegistry::new();
    registry.insert(
        Dictionary::from_bytes(&read("dictionary.zdict"))
            .unwrap()
            .into(),
    );
    let dictionary = registry.get(registry.ids()[0]).unwrap();
    registry.adopt(300, dictionary).unwrap();
    registry
}

/// Name of the container (or record) file, of the content file, and of the base file if any.
const CONTAINERS: [(&str, &str, Option<&str>); 21] = [
    ("empty.sigma", "empty.content", None),
    ("plain.sigma", "text.content", None),
    ("stored.sigma", "noise.content", None),
    ("frames.sigma", "mixed.content", None),
    ("streamed.sigma", "mixed.content", None),
    ("dictionary.sigma", "message.content", None),
    ("planes_rotate.sigma", "bf16.content", None),
    ("planes_delta.sigma", "walk.content", None),
    ("planes_pairs.sigma", "tokens.content", None),
    ("planes_halves.sigma", "steps.content", None),
    ("planes_checked.sigma", "bf16.content", None),
    ("numbers_decimal.sigma", "decimal.content", None),
    ("numbers_rows.sigma", "rows.content", None),
    ("tokens_short.sigma", "tokens.content", None),
    ("tokens_wide.sigma", "ids.content", None),
    ("templates_log.sigma", "log.content", None),
    ("templates_table.sigma", "table.content", None),
    ("base.sigma", "mixed.content", Some("text.content")),
    ("noise.sigma", "noise.content", None),
    ("grown.sigma", "grown.content", Some("text.content")),
    (
        "grown_stored.sigma",
        "appended.content",
        Some("text.content"),
    ),
];
const RECORDS: [(&str, &str); 7] = [
    ("stored.record", "noise.content"),
    ("block.record", "text.content"),
    ("frame.record", "run.content"),
    ("dictionary.record", "message.content"),
    ("bare.record", "text.content"),
    ("packed.record", "message.content"),
    ("version.record", "message.content"),
];

#[test]
fn containers_of_version_1_decode() {
    for (file, content, base) in CONTAINERS {
        let (packed, content) = (read(file), read(content));
        let base = base.map(read);
        let limits = Limits::default();
        let twin = reference::decompress(&packed, &limits, &registry(), base.as_deref());
        assert_eq!(twin.unwrap(), content, "{file}");
        assert_eq!(inspect(&packed).unwrap().version, 1);
        if let Some(base) = base {
            assert_eq!(
                decompress_with_base(&base, &packed, &limits).unwrap(),
                content,
                "{file}"
            );
            continue;
        }
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new(limits).with_dictionaries(registry());
        decompressor.decompress_into(&packed, &mut out).unwrap();
        assert_eq!(out, content, "{file}");
        if file != "dictionary.sigma" {
            for (name, decode) in decoders::DECODERS {
                assert_eq!(decode(&packed, &limits).unwrap(), content, "{file}: {name}");
            }
        }
    }
}

#[test]
fn records_of_version_1_decode() {
    let dictionary = registry().get(registry().ids()[0]).unwrap();
    for (file, content) in RECORDS {
        let (record, content) = (read(file), read(content));
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new(Limits::default())
            .with_dictionaries(registry())
            .with_dictionary(dictionary.clone());
        decompressor
            .decompress_record_into(&record, &mut out)
            .unwrap();
        assert_eq!(out, content, "{file}");
        let twin = reference::decompress_record(&record, &Limits::default(), Some(&dictionary));
        assert_eq!(twin.unwrap(), content, "{file}");
    }
}

#[test]
fn every_golden_file_is_tested() {
    let mut files: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sigma") || name.ends_with(".record"))
        .collect();
    files.sort();
    let mut tested: Vec<String> = CONTAINERS
        .iter()
        .map(|(file, ..)| (*file).to_string())
        .collect();
    tested.extend(RECORDS.iter().map(|(file, _)| (*file).to_string()));
    tested.sort();
    assert_eq!(files, tested);
}

#[test]
fn the_example_of_the_format_page_is_the_file_plain() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/sigma-lang.md");
    let page = fs::read_to_string(page).unwrap();
    let example = page
        .split("## Example")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let mut bytes = Vec::new();
    for line in example.lines().filter(|line| line.starts_with("    ")) {
        let hex = line.split('|').next().unwrap();
        bytes.extend(
            hex.split_whitespace()
                .skip(1)
                .map(|byte| u8::from_str_radix(byte, 16).unwrap()),
        );
    }
    let content = sigma_lang::decompress(&bytes, &Limits::default()).unwrap();
    assert_eq!(
        content,
        b"sigma sigma sigma sigma sigma sigma sigma sigma\n"
    );
}

/// Files that must be refused, with a word of the error.
const REFUSED: [(&str, &str); 5] = [
    ("later_version.sigma", "version"),
    ("unknown_tag.sigma", "tag"),
    ("tebibyte_frame.sigma", "2^30"),
    ("swapped_frames.sigma", "seek table"),
    ("cut.sigma", "missing at the end"),
];

#[test]
fn invalid_files_are_refused() {
    for (file, word) in REFUSED {
        let bytes = fs::read(folder().join("invalid").join(file)).unwrap();
        for (name, decode) in decoders::DECODERS {
            let error = decode(&bytes, &Limits::default()).unwrap_err();
            if name == "decompress" {
                assert!(error.to_string().contains(word), "{file}: {error}");
            }
        }
    }
}

/// Writes a golden file unless it is there already.
fn make(name: &str, bytes: &[u8]) {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if !path.exists() {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
#[ignore = "makes missing golden files; run by hand when a version is added"]
fn make_missing_golden_files() -> Result<(), SigmaError> {
    let dictionary = Dictionary::train(&data::messages(3000, 5), 2048)?;
    make("dictionary.zdict", dictionary.as_bytes());
    let text = data::text(1500);
    let noise = data::noise(200, 1);
    let mixed = [text.as_slice(), &data::noise(1200, 2), &data::text(600)].concat();
    let run = vec![b'r'; 5000];
    let message = data::messages(1, 4).remove(0);
    make("empty.content", b"");
    make("text.content", &text);
    make("noise.content", &noise);
    make("mixed.content", &mixed);
    make("run.content", &run);
    make("message.content", &message);

    let short = Config::new().frame_bytes(1024);
    let with_dictionary = Config::new().dictionary(dictionary.into());
    make("empty.sigma", &compress(b"", &Config::new())?);
    make(
        "plain.sigma",
        &compress(&text, &Config::new().level(Level::High))?,
    );
    make("stored.sigma", &compress(&noise, &Config::new())?);
    let frames = compress(&mixed, &short)?;
    make("frames.sigma", &frames);
    let mut encoder = Encoder::new(Vec::new(), &short)?;
    encoder.write_all(&mixed).unwrap();
    make("streamed.sigma", &encoder.finish()?);
    make("dictionary.sigma", &compress(&message, &with_dictionary)?);
    make("base.sigma", &compress_with_base(&text, &mixed, &short)?);

    make("noise.sigma", &compress(&noise, &Config::new())?);
    let grown = [text.as_slice(), &data::text(900), b"at the end"].concat();
    let appended = [text.as_slice(), b"short rest"].concat();
    for (name, content) in [("grown", &grown), ("grown_stored", &appended)] {
        let packed = compress_with_base(&text, content, &Config::new())?;
        assert_eq!(inspect(&packed)?.frames[0].tag, FrameTag::Grown);
        make(&format!("{name}.sigma"), &packed);
    }
    make("grown.content", &grown);
    make("appended.content", &appended);

    let record = |content: &[u8], config: &Config| {
        let mut out = Vec::new();
        Compressor::new(config)?.compress_record_into(content, &mut out)?;
        Ok::<_, SigmaError>(out)
    };
    make("stored.record", &record(&noise, &Config::new())?);
    make("block.record", &record(&text, &Config::new())?);
    make("frame.record", &record(&run, &Config::new())?);
    make("dictionary.record", &record(&message, &with_dictionary)?);
    make("bare.record", &record(&text, &Config::new())?);
    let unnamed = with_dictionary.clone().record_dictionary_id(false);
    let packed = record(&message, &unnamed)?;
    assert!([4, 5].contains(&(packed[0] & 7)), "{}", packed[0]);
    make("packed.record", &packed);
    let registry = registry();
    registry.make_current(300)?;
    let versioned = Config::new().record_dictionaries(registry);
    make("version.record", &record(&message, &versioned)?);

    for (name, content_name, content) in [
        ("planes_rotate", "bf16", data::floats(6_001, 2)),
        ("planes_delta", "walk", data::walk(6_003, 4)),
        ("planes_pairs", "tokens", data::tokens(20_001)),
        ("planes_halves", "steps", data::steps(12_002, 4)),
        ("planes_checked", "bf16", data::floats(6_001, 2)),
        ("numbers_decimal", "decimal", data::decimals(16_005)),
        ("numbers_rows", "rows", data::rows(16_013)),
        ("tokens_short", "tokens", data::tokens(20_001)),
        ("tokens_wide", "ids", data::wide_tokens(20_006, 17, 8)),
        ("templates_log", "log", data::log(12_000)),
        ("templates_table", "table", data::table(12_000)),
    ] {
        if folder().join(format!("{name}.sigma")).exists() {
            // The encoder of its day may have chosen another transform than this one does.
            continue;
        }
        make(&format!("{content_name}.content"), &content);
        let packed = compress(&content, &Config::new().level(Level::High))?;
        let tag = inspect(&packed)?.frames[0].tag;
        assert!(
            name.starts_with(&format!("{tag:?}").to_lowercase()),
            "{name} is {tag:?}"
        );
        make(&format!("{name}.sigma"), &packed);
    }

    let mut later = compress(b"x", &Config::new())?;
    later[11] = 2;
    make("invalid/later_version.sigma", &later);
    let mut unknown = compress(&noise, &Config::new())?;
    unknown[21] = 99;
    make("invalid/unknown_tag.sigma", &unknown);
    let mut bomb = compress(b"x", &Config::new())?[..17].to_vec();
    bomb.extend_from_slice(&[0x28, 0xB5, 0x2F, 0xFD, 0xE4, 0, 0, 0, 0, 0, 1, 0, 0]);
    bomb.extend_from_slice(&[0x0B, 0, 0, b'x', 0, 0, 0, 0]);
    make("invalid/tebibyte_frame.sigma", &bomb);
    let halves = [data::noise(1024, 5), data::noise(1024, 6), data::text(1024)].concat();
    let mut encoder = Encoder::new(Vec::new(), &short)?;
    encoder.write_all(&halves).unwrap();
    let mut swapped = encoder.finish()?;
    let frame = 1024 + 11;
    swapped[17..17 + 2 * frame].rotate_left(frame);
    make("invalid/swapped_frames.sigma", &swapped);
    make("invalid/cut.sigma", &frames[..frames.len() / 2]);
    Ok(())
}
