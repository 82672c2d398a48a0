//! Ranges: right bytes, and only the frames that are needed.

#![allow(clippy::cast_possible_truncation, reason = "small test lengths")]

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use proptest::prelude::*;
use sigma_lang::{Config, Decompressor, Limits, Reader, SigmaError, compress};

mod data;

/// Counts the bytes read.
struct Counting {
    inner: Cursor<Vec<u8>>,
    bytes: u64,
}

impl Read for &mut Counting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(out)?;
        self.bytes += bytes as u64;
        Ok(bytes)
    }
}

impl Seek for &mut Counting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range(
        content in data::content(30_000),
        frame_bytes in 1024usize..9_000,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
    ) {
        let packed = compress(&content, &Config::new().frame_bytes(frame_bytes)).unwrap();
        let mut reader = Reader::open(Cursor::new(packed)).unwrap();
        prop_assert_eq!(reader.content_bytes(), content.len() as u64);
        for (a, b) in cuts {
            let (a, b) = (a.index(content.len() + 1), b.index(content.len() + 1));
            let (start, end) = (a.min(b), a.max(b));
            let part = reader.read_range(start as u64..end as u64).unwrap();
            prop_assert!(part == content[start..end]);
        }
    }
}

#[test]
fn only_the_frames_of_the_range_are_read() {
    let content = data::text(1 << 20);
    let packed = compress(&content, &Config::new().frame_bytes(32 << 10)).unwrap();
    let frames = sigma_lang::inspect(&packed).unwrap().frames;
    assert_eq!(frames.len(), 32);
    let mut counting = Counting {
        inner: Cursor::new(packed),
        bytes: 0,
    };
    let mut reader = Reader::open(&mut counting).unwrap();
    // Two ranges in frame 5, then one across frames 9, 10 and 11.
    let frame = 32 << 10;
    let ranges = [
        (5 * frame + 7, 5 * frame + 9),
        (5 * frame, 6 * frame),
        (10 * frame - 1, 11 * frame + 1),
    ];
    for (start, end) in ranges {
        let part = reader.read_range(start..end).unwrap();
        assert_eq!(part, content[start as usize..end as usize]);
    }
    assert_eq!(reader.frames_read(), 4);
    let touched: u64 = [5, 9, 10, 11]
        .iter()
        .map(|&index: &usize| frames[index].frame_bytes)
        .sum();
    // Beyond the frames: header twice, footer, trailer and table.
    let opening = 100 + 24 + 17 + 12 * 34;
    assert!(
        counting.bytes <= touched + opening,
        "{} > {touched} + {opening}",
        counting.bytes
    );
}

#[test]
fn ranges_outside_are_refused() {
    let packed = compress(&data::text(5000), &Config::new().frame_bytes(1024)).unwrap();
    let mut reader = Reader::open(Cursor::new(packed)).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "the wrong order is the point")]
    for range in [0..5001, 5001..5001, 10..9, u64::MAX - 1..u64::MAX] {
        let error = reader.read_range(range).unwrap_err();
        assert!(
            matches!(
                error,
                SigmaError::RangeOutside {
                    content_bytes: 5000,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(reader.read_range(5000..5000).unwrap(), b"");
    assert_eq!(reader.frames_read(), 0);
}

#[test]
fn a_damaged_frame_hurts_only_its_own_ranges() {
    let content = data::text(10_000);
    let mut packed = compress(&content, &Config::new().frame_bytes(2048)).unwrap();
    let second = sigma_lang::inspect(&packed).unwrap().frames[1].clone();
    packed[(second.offset + second.frame_bytes / 2) as usize] ^= 0x10;
    let mut reader = Reader::open(Cursor::new(packed)).unwrap();
    assert_eq!(reader.read_range(0..2048).unwrap(), content[..2048]);
    let mut out = b"kept".to_vec();
    let error = reader.read_range_into(2000..3000, &mut out).unwrap_err();
    assert!(
        matches!(error, SigmaError::Corrupt { offset, .. } if offset >= second.offset),
        "{error}"
    );
    assert_eq!(out, b"kept");
    assert_eq!(reader.read_range(4096..10_000).unwrap(), content[4096..]);
}

#[test]
fn the_output_limit_holds_for_each_range() {
    let packed = compress(&data::text(10_000), &Config::new().frame_bytes(2048)).unwrap();
    let decompressor = Decompressor::new(Limits::default().output_bytes_max(3000));
    let mut reader = Reader::open_with(Cursor::new(packed), decompressor).unwrap();
    assert_eq!(reader.read_range(100..3100).unwrap().len(), 3000);
    let error = reader.read_range(100..3101).unwrap_err();
    assert!(matches!(
        error,
        SigmaError::LimitExceeded {
            value: 3001,
            allowed: 3000,
            ..
        }
    ));
}
