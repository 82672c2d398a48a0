//! Sessions, archives and tensors of each format version decode for ever. The files are made once and
//! never overwritten.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use sigma_lang::tensor::{
    FloatType, Int8Config, KvConfig, KvShape, compress_int8, compress_kv, decompress_int8,
    decompress_int8_reference, decompress_kv, decompress_kv_reference,
};
use sigma_lang::{
    ArchiveReader, ArchiveWriter, Config, Dictionary, DictionaryRegistry, Limits, SessionConfig,
    SessionDecoder, SessionEncoder, SessionSnapshot, reference,
};

mod data;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn registry() -> DictionaryRegistry {
    let registry = DictionaryRegistry::new();
    let dictionary = Dictionary::from_bytes(&read("dictionary.zdict")).unwrap();
    registry.insert(dictionary.into());
    registry
}

/// Byte strings with their lengths in front, `u32`.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        parts.push(part.to_vec());
        bytes = rest;
    }
    parts
}

#[test]
fn the_session_decodes() {
    let (records, contents) = (
        split(&read("turns.session")),
        split(&read("turns.contents")),
    );
    assert_eq!(records.len(), 6);
    let mut decoder = SessionDecoder::new(Limits::default()).with_dictionaries(registry());
    for (record, content) in records.iter().zip(&contents) {
        let mut out = Vec::new();
        decoder.decode_into(record, &mut out).unwrap();
        assert_eq!(&out, content);
    }
    let (twin, error) = reference::decompress_session(&records, &Limits::default(), &registry());
    assert!(error.is_none());
    assert_eq!(twin, contents);
    // The snapshot stands before record 3.
    let snapshot = SessionSnapshot::from_bytes(&read("turns.snapshot")).unwrap();
    let mut decoder = SessionDecoder::new(Limits::default())
        .with_dictionaries(registry())
        .resume(snapshot);
    let mut out = Vec::new();
    decoder.decode_into(&records[3], &mut out).unwrap();
    assert_eq!(out, contents[3]);
}

#[test]
fn the_archive_decodes() {
    let mut reader = ArchiveReader::open(Cursor::new(read("files.sgar"))).unwrap();
    let twin = reference::read_archive(&read("files.sgar"), &Limits::default()).unwrap();
    assert_eq!(twin.len(), 3);
    for (index, (path, content)) in twin.iter().enumerate() {
        let mut out = Vec::new();
        reader.copy(index, &mut out).unwrap();
        assert_eq!((&reader.entries()[index].path, &out), (path, content));
    }
    let paths: Vec<&str> = reader.entries().iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["text", "folder/again", "empty"]);
    for (index, content) in ["text.content", "text.content", "empty.content"]
        .iter()
        .enumerate()
    {
        let mut out = Vec::new();
        reader.copy(index, &mut out).unwrap();
        assert_eq!(out, read(content));
    }
}

#[test]
fn the_tensor_decodes() {
    let (float, out) = decompress_int8(&read("bf16.sgt8"), &Limits::default()).unwrap();
    assert_eq!(float, FloatType::Bf16);
    assert_eq!(out, read("bf16.dequantised"));
    let (_, twin) = decompress_int8_reference(&read("bf16.sgt8"), &Limits::default()).unwrap();
    assert_eq!(twin.len() * 2, out.len());
}

#[test]
fn the_state_decodes() {
    let (float, out) = decompress_kv(&read("bf16.sgtk"), &Limits::default()).unwrap();
    assert_eq!(float, FloatType::Bf16);
    assert_eq!(out, read("bf16_state.dequantised"));
    let (_, twin) = decompress_kv_reference(&read("bf16.sgtk"), &Limits::default()).unwrap();
    assert_eq!(twin.len() * 2, out.len());
}

/// Writes a golden file unless it is there already.
fn make(name: &str, bytes: &[u8]) {
    let path = folder().join(name);
    if !path.exists() {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
#[ignore = "makes missing golden files; run by hand when a version is added"]
fn make_missing_golden_files() {
    let dictionary = registry().get(registry().ids()[0]).unwrap();
    let config = SessionConfig::new()
        .dictionary(dictionary)
        .history_bytes(1000);
    let mut encoder = SessionEncoder::new(&config).unwrap();
    let mut contents = data::messages(3, 6);
    contents.push(data::noise(300, 4));
    contents.push(data::text(140_000));
    contents.push(data::messages(1, 7).remove(0));
    let (mut session, mut joined) = (Vec::new(), Vec::new());
    for (number, content) in contents.iter().enumerate() {
        match number {
            3 => make("turns.snapshot", &encoder.checkpoint().to_bytes()),
            5 => encoder.reset(),
            _ => {}
        }
        let mut record = Vec::new();
        encoder.encode_into(content, &mut record).unwrap();
        for (part, out) in [(&record, &mut session), (content, &mut joined)] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
            out.extend_from_slice(part);
        }
    }
    make("turns.session", &session);
    make("turns.contents", &joined);

    let text = read("text.content");
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).unwrap();
    for (path, content) in [
        ("text", text.as_slice()),
        ("folder/again", &text),
        ("empty", b""),
    ] {
        writer.append(path, content).unwrap();
    }
    make("files.sgar", &writer.finish().unwrap().0);

    let bytes = data::floats(3000, 2);
    let packed = compress_int8(&bytes, FloatType::Bf16, &Int8Config::new()).unwrap();
    make("bf16.sgt8", &packed);
    make(
        "bf16.dequantised",
        &decompress_int8(&packed, &Limits::default()).unwrap().1,
    );

    // Three tensors of 37 tokens of 24 channels.
    let shape = KvShape::new(37, 24);
    let state = data::floats(3 * 37 * 24 * 2, 2);
    let config = KvConfig::new().block_tokens(16);
    let packed = compress_kv(&state, FloatType::Bf16, shape, &config).unwrap();
    make("bf16.sgtk", &packed);
    let (_, back) = decompress_kv(&packed, &Limits::default()).unwrap();
    make("bf16_state.dequantised", &back);
}
