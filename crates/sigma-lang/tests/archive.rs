//! Archives: files come back, equal parts are kept once, hostile ones are refused.

#![allow(clippy::cast_possible_truncation, reason = "small test numbers")]

use std::io::{self, Cursor, Read};

use proptest::prelude::*;
use sigma_lang::{ArchiveReader, ArchiveWriter, Config, Limits, SigmaError, compress, reference};

mod data;

fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).unwrap();
    for (path, content) in files {
        writer.append(path, *content).unwrap();
    }
    writer.finish().unwrap().0
}

fn unpack(archive: &[u8], limits: Limits) -> Result<Vec<(String, Vec<u8>)>, SigmaError> {
    let mut reader = ArchiveReader::open_with(Cursor::new(archive), limits)?;
    let paths: Vec<String> = reader.entries().iter().map(|e| e.path.clone()).collect();
    let mut files = Vec::new();
    for (index, path) in paths.into_iter().enumerate() {
        let mut content = Vec::new();
        reader.copy(index, &mut content)?;
        files.push((path, content));
    }
    Ok(files)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_files_come_back(contents in proptest::collection::vec(data::content(60_000), 0..6)) {
        let paths: Vec<String> = (0..contents.len()).map(|n| format!("folder {n}/file.{n}")).collect();
        let files: Vec<(&str, &[u8])> =
            paths.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let archive = pack(&files);
        prop_assert_eq!(&archive, &pack(&files));
        let back = unpack(&archive, Limits::default()).unwrap();
        prop_assert!(reference::read_archive(&archive, &Limits::default()).unwrap() == back);
        prop_assert_eq!(back.len(), files.len());
        for ((path, content), (path_back, content_back)) in files.iter().zip(&back) {
            prop_assert_eq!(path, path_back);
            prop_assert!(content == content_back);
        }
    }
}

#[test]
fn equal_parts_are_kept_once() {
    let part = data::noise(1 << 20, 5);
    let changed = [
        &part[..500_000],
        b"a few bytes in between",
        &part[500_000..],
    ]
    .concat();
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).unwrap();
    writer.append("one", part.as_slice()).unwrap();
    writer.append("the same", part.as_slice()).unwrap();
    writer.append("changed", changed.as_slice()).unwrap();
    writer.append("empty", io::empty()).unwrap();
    let (archive, summary) = writer.finish().unwrap();
    assert_eq!(summary.entries, 4);
    assert_eq!(
        summary.content_bytes,
        2 * part.len() as u64 + changed.len() as u64
    );
    assert!(
        summary.unique_bytes < part.len() as u64 + 200_000,
        "{summary:?}"
    );
    assert_eq!(summary.archive_bytes, archive.len() as u64);
    assert!(archive.len() < part.len() + 210_000);
    let reader = ArchiveReader::open(Cursor::new(&archive)).unwrap();
    assert_eq!(reader.unique_bytes(), summary.unique_bytes);
    assert_eq!(reader.chunks(), summary.chunks);
    assert_eq!(reader.find("changed"), Some(2));
    assert_eq!(reader.find("none"), None);
}

#[test]
fn a_file_reads_only_its_own_frames() {
    struct Counting<'a>(Cursor<&'a [u8]>, u64);
    impl Read for Counting<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.read(out)?;
            self.1 += bytes as u64;
            Ok(bytes)
        }
    }
    impl io::Seek for Counting<'_> {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let contents: Vec<Vec<u8>> = (0..16).map(|seed| data::noise(256 << 10, seed)).collect();
    let config = Config::new().frame_bytes(64 << 10);
    let mut writer = ArchiveWriter::new(Vec::new(), &config).unwrap();
    for (index, content) in contents.iter().enumerate() {
        writer
            .append(&index.to_string(), content.as_slice())
            .unwrap();
    }
    let (archive, _) = writer.finish().unwrap();
    let mut source = Counting(Cursor::new(&archive), 0);
    let mut reader = ArchiveReader::open(&mut source).unwrap();
    let mut out = Vec::new();
    reader.copy(9, &mut out).unwrap();
    assert!(out == contents[9]);
    drop(reader);
    assert!(
        source.1 < 420_000,
        "{} of {} bytes read",
        source.1,
        archive.len()
    );
}

#[test]
fn unsafe_paths_are_refused_on_both_sides() {
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).unwrap();
    writer.append("good", &b"x"[..]).unwrap();
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "C:/x",
        "a\\..\\b",
        "good",
    ] {
        let error = writer.append(path, &b"x"[..]).unwrap_err();
        assert!(
            matches!(error, SigmaError::ArchivePathRefused { .. }),
            "{path}"
        );
    }
    // The same paths in an index made by hand.
    let archive = pack(&[("good", b"x")]);
    for path in [&b"/etc"[..], b"../x", b"a/..", b"a\\.b", b"\xFF\xFEab"] {
        let error = ArchiveReader::open(Cursor::new(with_index(&archive, |index| {
            let at = index.windows(4).position(|w| w == b"good").unwrap();
            index[at..at + 4].copy_from_slice(&path[..4]);
        })))
        .unwrap_err();
        let refused = matches!(
            error,
            SigmaError::ArchivePathRefused { .. } | SigmaError::Corrupt { .. }
        );
        assert!(refused, "{error}");
    }
}

/// The archive with another index.
fn with_index(archive: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let end = archive.len() - 24;
    let index_at = u64::from_le_bytes(archive[end..end + 8].try_into().unwrap()) as usize;
    let mut index = sigma_lang::decompress(&archive[index_at..end], &Limits::default()).unwrap();
    change(&mut index);
    let packed = compress(&index, &Config::new()).unwrap();
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

#[test]
fn hostile_indexes_are_refused() {
    // 1 chunk of 1 byte; 1 entry "good", 1 byte, hash, 1 run (0, 1).
    let archive = pack(&[("good", b"x")]);
    let open = |index: Vec<u8>| {
        let bytes = with_index(&archive, |own| *own = index);
        ArchiveReader::open(Cursor::new(bytes)).map(|_| ())
    };
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    let entry =
        |runs: &[u8], length: u8| [&[1, 1, 1, 4][..], b"good", &[length], &[0; 16], runs].concat();
    open(entry(&[1, 0, 1], 1)).unwrap();
    for (what, index) in [
        ("empty", vec![]),
        ("2^64 chunks", huge.to_vec()),
        ("2^64 entries", [&[1, 1][..], &huge].concat()),
        (
            "chunk of nothing",
            entry(&[1, 0, 1], 1)
                .iter()
                .enumerate()
                .map(|(n, b)| if n == 1 { 0 } else { *b })
                .collect(),
        ),
        ("2^64 runs", entry(&huge, 1)),
        ("run past the end", entry(&[1, 0, 2], 2)),
        ("run from past the end", entry(&[1, 2, 1], 1)),
        ("empty run", entry(&[1, 0, 0], 0)),
        ("wrong length", entry(&[1, 0, 1], 2)),
        ("bytes behind", [entry(&[1, 0, 1], 1), vec![0]].concat()),
        (
            "more chunks than content",
            [&[2, 1, 1, 1, 4][..], b"good", &[1], &[0; 16], &[1, 0, 1]].concat(),
        ),
    ] {
        assert!(open(index).is_err(), "{what}");
    }
    // A file that repeats one chunk: refused by the limit before anything is read.
    let mut runs = vec![0x90, 0x4E];
    runs.extend([0, 1].repeat(10_000));
    let mut index = [&[1, 1, 1, 4][..], b"good", &[0x90, 0x4E], &[0; 16], &runs].concat();
    let bytes = with_index(&archive, |own| std::mem::swap(own, &mut index));
    let limits = Limits::default().output_bytes_max(30_000);
    let mut reader = ArchiveReader::open_with(Cursor::new(&bytes), limits).unwrap();
    let mut out = Vec::new();
    assert!(matches!(
        reader.copy(0, &mut out),
        Err(SigmaError::ChecksumMismatch { .. })
    ));
    assert_eq!(out.len(), 10_000);
    let limits = Limits::default().output_bytes_max(20_100);
    let error = ArchiveReader::open_with(Cursor::new(&bytes), limits.output_bytes_max(9_999));
    assert!(matches!(error, Err(SigmaError::LimitExceeded { .. })));
}

#[test]
fn damage_is_found() {
    let files: [(&str, &[u8]); 2] = [("a/one", b"some content"), ("two", &data::text(3000))];
    let archive = pack(&files);
    for length in 0..archive.len() {
        assert!(
            unpack(&archive[..length], Limits::default()).is_err(),
            "cut to {length}"
        );
    }
    let mut bytes = archive.clone();
    for bit in 0..archive.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let result = unpack(&bytes, Limits::default());
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(back) = result {
            let same = back
                .iter()
                .zip(&files)
                .all(|((p, c), (path, content))| p == path && c == content);
            assert!(same, "bit {bit}");
        }
    }
}

#[test]
fn a_reader_that_fails_leaves_the_archive_usable() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let mut writer = ArchiveWriter::new(Vec::new(), &Config::new()).unwrap();
    let error = writer
        .append("bad", (&b"begins"[..]).chain(Failing))
        .unwrap_err();
    assert!(matches!(error, SigmaError::Io { .. }));
    writer.append("bad", &b"now it works"[..]).unwrap();
    let (archive, _) = writer.finish().unwrap();
    let files = unpack(&archive, Limits::default()).unwrap();
    assert_eq!(files, [("bad".to_string(), b"now it works".to_vec())]);
    let mut reader = ArchiveReader::open(Cursor::new(&archive)).unwrap();
    let error = reader.copy(1, io::sink()).unwrap_err();
    assert!(matches!(
        error,
        SigmaError::ArchiveEntryMissing {
            index: 1,
            entries: 1
        }
    ));
}
