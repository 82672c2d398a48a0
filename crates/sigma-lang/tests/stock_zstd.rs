//! Stock zstd reads what the format page says it reads.

#![allow(clippy::cast_possible_truncation, reason = "small test lengths")]

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use sigma_lang::{Config, Encoder, Level, compress, inspect};

mod data;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plain_containers_are_zstd_files(content in data::content(30_000), frame_bytes in 1024usize..9_000) {
        let config = Config::new().plain_frames_only(true).frame_bytes(frame_bytes);
        let packed = compress(&content, &config).unwrap();
        prop_assert!(zstd::stream::decode_all(packed.as_slice()).unwrap() == content);
        let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
        encoder.write_all(&content).unwrap();
        let packed = encoder.finish().unwrap();
        prop_assert!(zstd::stream::decode_all(packed.as_slice()).unwrap() == content);
    }

    #[test]
    fn default_containers_are_zstd_files_or_refused(content in data::content(30_000)) {
        let packed = compress(&content, &Config::new().frame_bytes(2048)).unwrap();
        let stock = zstd::stream::decode_all(packed.as_slice());
        if inspect(&packed).unwrap().stock_zstd_readable() {
            prop_assert!(stock.unwrap() == content);
        } else {
            prop_assert!(stock.is_err(), "stock zstd must not give other bytes");
        }
    }
}

#[test]
fn the_c_seekable_decoder_reads_our_seek_table() {
    let content = data::text(100_000);
    let packed = compress(&content, &Config::new().frame_bytes(4096)).unwrap();
    let mut seekable = zstd_safe::seekable::Seekable::create();
    seekable.init_buff(&packed).unwrap();
    // Our table lists header and trailer too, as empty frames.
    assert_eq!(
        seekable.num_frames() as usize,
        inspect(&packed).unwrap().frames.len() + 2
    );
    for offset in [0u64, 1, 4095, 4096, 50_000, 99_990] {
        let mut out = vec![0; 10];
        let read = seekable.decompress(out.as_mut_slice(), offset).unwrap();
        assert_eq!(read, 10);
        assert_eq!(out, content[offset as usize..offset as usize + 10]);
    }
}

#[test]
fn stock_zstd_reads_containers_with_a_dictionary() {
    let dictionary = data::dictionary();
    let content = data::messages(50, 3).concat();
    let config = Config::new()
        .dictionary(dictionary.clone())
        .frame_bytes(2048)
        .level(Level::High);
    let packed = compress(&content, &config).unwrap();
    let bytes = dictionary.to_bytes();
    let mut out = Vec::new();
    let mut stock =
        zstd::stream::read::Decoder::with_dictionary(Cursor::new(packed), &bytes).unwrap();
    stock.read_to_end(&mut out).unwrap();
    assert_eq!(out, content);
}
