//! A stream of any length goes through a bounded amount of memory: what the process holds at most
//! (`VmHWM` of Linux), zstd's own memory included. One test per process, because the mark never falls.

#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::thread;

use sigma_lang::{Config, Decoder, Encoder};

mod data;

/// What encoder and decoder together may hold, both with frames of 1 MiB: see the README.
const BOUND_BYTES: u64 = 32 << 20;

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

/// Sends `bytes` bytes of log, table, text, numbers and noise through both, over a pipe.
fn run(bytes: u64) -> u64 {
    let pieces = [
        data::log(900_000),
        data::table(700_000),
        data::text(800_000),
        data::walk(600_000, 4),
        data::noise(500_000, 3),
    ];
    let config = Config::new().frame_bytes(1 << 20);
    let before = peak_bytes();
    let (reader, writer) = io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut decoder = Decoder::new(io::BufReader::new(reader));
        let mut buffer = vec![0; 64 << 10];
        let mut total = 0;
        loop {
            match decoder.read(&mut buffer).unwrap() {
                0 => return total,
                read => total += read as u64,
            }
        }
    });
    let mut encoder = Encoder::new(writer, &config).unwrap();
    let mut sent = 0;
    while sent < bytes {
        let piece = &pieces[(sent / 7919 % 5) as usize];
        // Not a byte more: a gigabyte is what the default limits take.
        let left = usize::try_from(bytes - sent).unwrap();
        let piece = &piece[..piece.len().min(left)];
        encoder.write_all(piece).unwrap();
        sent += piece.len() as u64;
    }
    drop(encoder.finish().unwrap());
    assert_eq!(reading.join().unwrap(), sent);
    peak_bytes() - before
}

#[test]
fn a_stream_of_32_mb_holds_the_bound() {
    let held = run(32_000_000);
    println!("held at most {held} bytes");
    assert!(held < BOUND_BYTES, "{held}");
}

/// `cargo test --release -p sigma-lang --test stream_memory -- --ignored --nocapture gigabyte`
#[test]
#[ignore = "takes half a minute in release"]
fn a_stream_of_a_gigabyte_holds_the_bound() {
    let held = run(1 << 30);
    println!("held at most {held} bytes");
    assert!(held < BOUND_BYTES, "{held}");
}
