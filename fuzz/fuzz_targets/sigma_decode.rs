//! Any bytes as a container, and as the frame behind a valid header: every decoder ends with an
//! error or with the content that the plain twin gives.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use sigma_lang::{Decoder, Decompressor, DictionaryRegistry, Limits, Reader, inspect, reference};

const LIMIT: u64 = 1 << 20;

/// The header of a container of one frame.
const HEADER: &[u8; 17] = b"\x53\x2a\x4d\x18\x09\x00\x00\x00SGL\x01\x00\x62\x26\x5c\xf1";

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[HEADER, bytes].concat());
});

fn check(bytes: &[u8]) {
    let limits = Limits::default()
        .output_bytes_max(LIMIT)
        .frame_bytes_max(LIMIT);
    let twin = reference::decompress(bytes, &limits, &DictionaryRegistry::new(), None);
    let mut out = Vec::new();
    let whole = Decompressor::new(limits).decompress_into(bytes, &mut out);
    assert_eq!(whole.is_ok(), twin.is_ok(), "{whole:?} {twin:?}");
    let _ = inspect(bytes);
    let mut streamed = Vec::new();
    let mut decoder = Decoder::with_decompressor(bytes, Decompressor::new(limits));
    let stream = decoder.read_to_end(&mut streamed);
    assert!(streamed.len() as u64 <= LIMIT);
    let range = Reader::open_with(Cursor::new(bytes), Decompressor::new(limits))
        .and_then(|mut reader| reader.read_range(0..reader.content_bytes()));
    match twin {
        Ok(content) => {
            assert_eq!(out, content);
            assert_eq!(streamed, content);
            assert_eq!(
                range.expect("the reader reads what the twin reads"),
                content
            );
        }
        Err(_) => {
            assert!(out.is_empty());
            assert!(range.is_err());
            // A stream may end before bytes that the others refuse.
            assert!(stream.is_err() || !decoder.into_inner().is_empty());
        }
    }
}
