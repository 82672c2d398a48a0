//! Streams: any way of cutting writes and reads, flush, end, errors.

use std::io::{self, BufRead, BufReader, Read, Write};

use proptest::prelude::*;
use sigma_lang::{Config, Decoder, Decompressor, Encoder, Limits, SigmaError, inspect};

mod data;
mod decoders;

use decoders::{Steps, typed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_of_writes_and_reads(
        content in data::content(30_000),
        frame_bytes in 1024usize..10_000,
        writes in proptest::collection::vec((0usize..5_000, any::<bool>()), 0..20),
        read_step in 1usize..3_000,
        source_step in 1usize..3_000,
    ) {
        let config = Config::new().frame_bytes(frame_bytes);
        let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
        let mut rest = content.as_slice();
        for (bytes, flush) in writes {
            let (head, tail) = rest.split_at(bytes.min(rest.len()));
            encoder.write_all(head).unwrap();
            rest = tail;
            if flush {
                encoder.flush().unwrap();
            }
        }
        encoder.write_all(rest).unwrap();
        let packed = encoder.finish().unwrap();
        for frame in inspect(&packed).unwrap().frames {
            prop_assert!(frame.content_bytes <= frame_bytes as u64);
        }
        let mut decoder = Decoder::new(Steps { rest: &packed, step: source_step });
        let mut out = Vec::new();
        let mut buffer = vec![0; read_step];
        loop {
            let bytes = decoder.read(&mut buffer).unwrap();
            if bytes == 0 {
                break;
            }
            out.extend_from_slice(&buffer[..bytes]);
        }
        prop_assert!(out == content);
        prop_assert_eq!(decoder.read(&mut buffer).unwrap(), 0);
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let content = data::mixed(60_000, 9);
    for bytes in [0, 1, 4095, 4096, 4097, 8192, 12_289, content.len()] {
        for flushed in [0, 3000.min(bytes), bytes] {
            let (front, back) = content[..bytes].split_at(flushed);
            let pack = |threads| {
                let config = Config::new().frame_bytes(4096).threads(threads);
                let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
                encoder.write_all(front).unwrap();
                encoder.flush().unwrap();
                for piece in back.chunks(1000) {
                    encoder.write_all(piece).unwrap();
                }
                encoder.finish().unwrap()
            };
            let one = pack(1);
            let mut out = Vec::new();
            Decoder::new(one.as_slice()).read_to_end(&mut out).unwrap();
            assert!(out == content[..bytes]);
            for threads in [2, 3, 8] {
                assert!(pack(threads) == one, "{bytes} bytes, {threads} threads");
            }
        }
    }
}

#[test]
fn what_was_flushed_can_be_read_before_the_end() {
    let mut encoder = Encoder::new(Vec::new(), &Config::new()).unwrap();
    for line in ["one\n", "two\n", "three\n"] {
        encoder.write_all(line.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let so_far = encoder.get_ref().clone();
        let last = BufReader::new(Decoder::new(so_far.as_slice()))
            .lines()
            .map_while(Result::ok)
            .last();
        assert_eq!(last.as_deref(), Some(line.trim_end()));
    }
}

#[test]
fn flush_without_content_writes_nothing() {
    let mut encoder = Encoder::new(Vec::new(), &Config::new()).unwrap();
    encoder.flush().unwrap();
    assert!(encoder.get_ref().is_empty());
    encoder.write_all(b"x").unwrap();
    encoder.flush().unwrap();
    let bytes = encoder.get_ref().len();
    encoder.flush().unwrap();
    assert_eq!(encoder.get_ref().len(), bytes);
}

#[test]
fn an_empty_stream_is_a_container() {
    let packed = Encoder::new(Vec::new(), &Config::new())
        .unwrap()
        .finish()
        .unwrap();
    for (name, decode) in decoders::DECODERS {
        assert_eq!(decode(&packed, &Limits::default()).unwrap(), b"", "{name}");
    }
}

#[test]
fn a_stream_without_an_end_is_an_error() {
    let mut encoder = Encoder::new(Vec::new(), &Config::new()).unwrap();
    encoder.write_all(&data::text(5000)).unwrap();
    encoder.flush().unwrap();
    let unfinished = encoder.get_ref().clone();
    let mut out = Vec::new();
    let error = Decoder::new(unfinished.as_slice())
        .read_to_end(&mut out)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(matches!(typed(error), SigmaError::Truncated { .. }));
    assert_eq!(
        out,
        data::text(5000),
        "frames before the end were given out"
    );
}

#[test]
fn bytes_behind_the_container_stay_in_the_reader() {
    for content in [data::text(5000), Vec::new(), data::noise(3000, 1)] {
        for frame_bytes in [1024, 1 << 20] {
            let config = Config::new().frame_bytes(frame_bytes);
            let mut bytes = sigma_lang::compress(&content, &config).unwrap();
            bytes.extend_from_slice(b"next");
            let mut decoder = Decoder::new(bytes.as_slice());
            let mut out = Vec::new();
            decoder.read_to_end(&mut out).unwrap();
            assert_eq!(out, content);
            assert_eq!(decoder.into_inner(), b"next");
        }
    }
}

#[test]
fn a_failed_stream_stays_failed() {
    let mut bytes = sigma_lang::compress(&data::text(5000), &Config::new()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let mut decoder = Decoder::new(bytes.as_slice());
    let mut buffer = [0; 100];
    let first = typed(decoder.read(&mut buffer).unwrap_err());
    assert!(matches!(first, SigmaError::Corrupt { .. }), "{first}");
    let second = typed(decoder.read(&mut buffer).unwrap_err());
    assert!(
        matches!(second, SigmaError::StreamFailed { .. }),
        "{second}"
    );
}

/// Takes `room` bytes, then fails.
struct Full {
    room: usize,
}

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "full"));
        }
        let bytes = data.len().min(self.room);
        self.room -= bytes;
        Ok(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_reported_and_the_encoder_stays_failed() {
    let total =
        sigma_lang::compress(&data::text(20_000), &Config::new().frame_bytes(4096)).unwrap();
    for room in [0, 10, total.len() / 2] {
        let config = Config::new().frame_bytes(4096);
        let mut encoder = Encoder::new(Full { room }, &config).unwrap();
        let error = encoder.write_all(&data::text(20_000)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(encoder.write_all(b"more").is_err());
        assert!(matches!(
            encoder.finish(),
            Err(SigmaError::StreamFailed { .. })
        ));
    }
    let mut encoder = Encoder::new(Full { room: 100 }, &Config::new()).unwrap();
    encoder.write_all(&data::noise(1000, 1)).unwrap();
    assert!(matches!(encoder.finish(), Err(SigmaError::Io { .. })));
}

#[test]
fn a_dictionary_serves_a_stream() {
    let config = Config::new().dictionary(data::dictionary());
    let messages = data::messages(20, 8);
    let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
    for message in &messages {
        encoder.write_all(message).unwrap();
        encoder.flush().unwrap();
    }
    let packed = encoder.finish().unwrap();
    let decompressor = Decompressor::new(Limits::default()).with_dictionary(data::dictionary());
    let mut out = Vec::new();
    Decoder::with_decompressor(packed.as_slice(), decompressor)
        .read_to_end(&mut out)
        .unwrap();
    assert_eq!(out, messages.concat());
    let error = Decoder::new(packed.as_slice())
        .read_to_end(&mut out)
        .unwrap_err();
    let id = data::dictionary().id();
    assert!(matches!(typed(error), SigmaError::DictionaryMissing { id: missing } if missing == id));
}
