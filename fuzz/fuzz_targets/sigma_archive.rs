//! Any bytes as an archive, and as the index of an archive that is whole otherwise: an error, or files
//! within the limits under safe paths. And any files as an archive: they come back.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use sigma_lang::{ArchiveReader, ArchiveWriter, Config, Limits};

const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, bytes)) = input.split_first() else {
        return;
    };
    match flags % 3 {
        0 => check(bytes),
        1 => check(&with_index(bytes)),
        _ => check_round_trip(bytes),
    }
});

fn check(archive: &[u8]) {
    let limits = Limits::default()
        .output_bytes_max(LIMIT)
        .frame_bytes_max(LIMIT);
    let Ok(mut reader) = ArchiveReader::open_with(Cursor::new(archive), limits) else {
        return;
    };
    let entries = reader.entries().to_vec();
    for (index, entry) in entries.iter().enumerate().take(16) {
        assert!(entry.path.split('/').all(|part| !["", ".", ".."].contains(&part)));
        let mut out = Vec::new();
        if reader.copy(index, &mut out).is_ok() {
            assert_eq!(out.len() as u64, entry.content_bytes);
        }
        assert!(out.len() as u64 <= LIMIT);
    }
}

/// A whole archive of one small file, with `index` in place of its own.
fn with_index(index: &[u8]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).expect("settings are legal");
    writer.append("a", &b"content"[..]).expect("a slice reads");
    let (archive, _) = writer.finish().expect("a vector takes all");
    let end = archive.len() - 24;
    let field = archive[end..end + 8].try_into().expect("eight bytes");
    let index_at = u64::from_le_bytes(field) as usize;
    let packed = sigma_lang::compress(index, &Config::new()).expect("compresses");
    let mut out = archive[..index_at].to_vec();
    out.extend_from_slice(&packed);
    let mut fields = (index_at as u64).to_le_bytes().to_vec();
    fields.extend_from_slice(&(packed.len() as u64).to_le_bytes());
    out.extend_from_slice(&fields);
    let check = xxhash_rust::xxh64::xxh64(&fields, 0) as u32;
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(b"SGAE");
    out
}

fn check_round_trip(bytes: &[u8]) {
    let config = Config::new().frame_bytes(4096);
    let mut writer = ArchiveWriter::new(Vec::new(), &config).expect("settings are legal");
    // Each piece many times over, so that there is something to cut.
    let files: Vec<Vec<u8>> = bytes
        .chunks(300)
        .take(8)
        .map(|piece| piece.repeat(1 + usize::from(piece[0])))
        .collect();
    for (index, file) in files.iter().enumerate() {
        writer
            .append(&format!("f/{index}"), file.as_slice())
            .expect("a slice reads");
    }
    let (archive, _) = writer.finish().expect("a vector takes all");
    let mut reader = ArchiveReader::open(Cursor::new(&archive)).expect("opens");
    for (index, file) in files.iter().enumerate() {
        let mut out = Vec::new();
        reader.copy(index, &mut out).expect("reads");
        assert_eq!(&out, file);
    }
}
