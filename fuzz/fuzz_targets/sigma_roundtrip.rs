//! Any content under any setting comes back, by container, stream, record and base.
#![no_main]

use std::io::{Read, Write};

use libfuzzer_sys::fuzz_target;
use sigma_lang::{
    Compressor, Config, Decoder, Decompressor, DictionaryRegistry, Encoder, Level, Limits,
    compress_with_base, decompress_with_base, reference,
};

fuzz_target!(|input: &[u8]| {
    let Some((&[level, frame, cut, flags], content)) = input.split_first_chunk::<4>() else {
        return;
    };
    let level = match i32::from(level) % 20 - 7 {
        0 => Level::Balanced,
        level => Level::Zstd(level),
    };
    let config = Config::new()
        .level(level)
        .frame_bytes(1024 + 16 * usize::from(frame))
        .threads(1 + usize::from(flags & 3))
        .plain_frames_only(flags & 4 != 0)
        .record_checksum(flags & 8 != 0);
    let limits = Limits::default();
    let mut compressor = Compressor::new(&config).expect("settings are legal");
    let mut decompressor = Decompressor::new(limits).with_threads(1 + usize::from(flags & 3));

    let (mut packed, mut out) = (Vec::new(), Vec::new());
    compressor
        .compress_into(content, &mut packed)
        .expect("compresses");
    decompressor
        .decompress_into(&packed, &mut out)
        .expect("decompresses");
    assert_eq!(out, content);
    let twin = reference::decompress(&packed, &limits, &DictionaryRegistry::new(), None);
    assert_eq!(twin.expect("the twin decompresses"), content);

    let (mut record, mut value) = (Vec::new(), Vec::new());
    compressor
        .compress_record_into(content, &mut record)
        .expect("compresses");
    decompressor
        .decompress_record_into(&record, &mut value)
        .expect("decompresses");
    assert_eq!(value, content);

    let (front, back) = content.split_at(content.len() * usize::from(cut) / 255);
    let mut encoder = Encoder::new(Vec::new(), &config).expect("settings are legal");
    encoder.write_all(front).expect("a vector takes all");
    encoder.flush().expect("a vector takes all");
    encoder.write_all(back).expect("a vector takes all");
    let streamed = encoder.finish().expect("a vector takes all");
    let mut out = Vec::new();
    Decoder::new(streamed.as_slice())
        .read_to_end(&mut out)
        .expect("decompresses");
    assert_eq!(out, content);

    let packed = compress_with_base(front, content, &config).expect("compresses");
    let out = decompress_with_base(front, &packed, &limits).expect("decompresses");
    assert_eq!(out, content);
    let twin = reference::decompress(&packed, &limits, &DictionaryRegistry::new(), Some(front));
    assert_eq!(twin.expect("the twin decompresses"), content);
});
