//! Generated content for the tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use sigma_lang::Dictionary;

/// A small seeded generator (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Incompressible bytes.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Lines of words and numbers.
pub(crate) fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "agent", "context", "storage", "reads", "writes", "failed", "retry", "done",
    ];
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 32);
    while out.len() < length {
        let value = random.next();
        out.extend_from_slice(WORDS[(value % 8) as usize].as_bytes());
        if value & 0x700 == 0 {
            out.extend_from_slice(format!(" id={}\n", value >> 40).as_bytes());
        } else {
            out.push(b' ');
        }
    }
    out.truncate(length);
    out
}

/// Text, zeros and noise in turns.
pub(crate) fn mixed(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::new();
    while out.len() < length {
        let piece = (random.next() % 4000) as usize;
        match random.next() % 3 {
            0 => out.extend_from_slice(&noise(piece, random.next())),
            1 => out.extend_from_slice(&text(piece)),
            _ => out.resize(out.len() + piece, 0),
        }
    }
    out.truncate(length);
    out
}

/// Small JSON records.
pub(crate) fn messages(count: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let mut message = || {
        let (a, b) = (random.next(), random.next());
        format!(
            "{{\"role\":\"{}\",\"agent\":\"worker-{}\",\"tokens\":{},\"call\":{{\"name\":\"search\",\
             \"arguments\":{{\"query\":\"{}\",\"limit\":{}}}}},\"status\":\"{}\"}}",
            ["user", "assistant", "tool"][(a % 3) as usize],
            a >> 58,
            b >> 50,
            String::from_utf8_lossy(&text((b % 90) as usize)),
            a >> 60,
            ["ok", "failed", "retry"][(b % 3) as usize],
        )
        .into_bytes()
    };
    (0..count).map(|_| message()).collect()
}

/// A dictionary for [`messages`], trained once.
pub(crate) fn dictionary() -> Arc<Dictionary> {
    static DICTIONARY: OnceLock<Arc<Dictionary>> = OnceLock::new();
    let train = || Arc::new(Dictionary::train(&messages(3000, 5), 8 << 10).unwrap());
    Arc::clone(DICTIONARY.get_or_init(train))
}

/// Content of any kind: random bytes, few symbols, runs, text, mixed.
pub(crate) fn content(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..length_max.min(3000)),
        proptest::collection::vec(0u8..4, 0..length_max.min(3000)),
        (0..length_max, any::<u64>()).prop_map(|(length, seed)| noise(length, seed)),
        (0..length_max, any::<u64>()).prop_map(|(length, seed)| mixed(length, seed)),
        (0..length_max).prop_map(text),
        (0..length_max, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        any::<u64>().prop_map(|seed| messages(1, seed).remove(0)),
    ]
}

/// Lines of a log with times, numbers, addresses and names.
pub(crate) fn log(length: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 128);
    let mut time = 40_000u64;
    while out.len() < length {
        let value = random.next();
        time += value % 3;
        let clock = format!(
            "{:02}:{:02}:{:02}",
            time / 3600 % 24,
            time / 60 % 60,
            time % 60
        );
        let line = match value % 11 {
            0..=4 => format!(
                "agent-{} reads context {} in {} us",
                value >> 60,
                value >> 54,
                value >> 48
            ),
            5..=7 => format!(
                "from 10.0.{}.{}:80 session 0x{:08x}",
                value >> 62,
                value >> 56,
                value >> 32
            ),
            8..=9 => format!(
                "store flushed {} records, {} bytes",
                value >> 58,
                value >> 40
            ),
            _ => "nothing to do".to_string(),
        };
        out.extend_from_slice(format!("2026-03-01 {clock} INFO {line}\n").as_bytes());
    }
    out.truncate(length);
    out
}

/// Lines of a table of small numbers and names.
pub(crate) fn table(length: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = b"id,kind,age,zip,area,name\r\n".to_vec();
    let mut id = 1000;
    while out.len() < length {
        let value = random.next();
        id += 1 + value % 2;
        let name = ["alpha", "beta, or \"\"b\"\"", "gamma"][(value % 3) as usize];
        let zip = if value.is_multiple_of(7) {
            String::new()
        } else {
            format!("{:05}", value >> 52)
        };
        let line = format!(
            "{id},{},{},{zip},{},\"{name}\"\r\n",
            value % 5,
            value >> 57,
            value >> 30
        );
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(length);
    out
}

/// JSON records, one per line.
pub(crate) fn json_lines(length: usize) -> Vec<u8> {
    let mut out = messages(1 + length as u64 / 100, length as u64).join(&b'\n');
    out.truncate(length);
    out
}

/// Floats around 1 in bf16, f32 or f64, by `width`.
#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
pub(crate) fn floats(length: usize, width: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        let sum: f64 = (0..6)
            .map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64)
            .sum();
        let value = sum - 3.0;
        match width {
            2 => out.extend_from_slice(&(value as f32).to_le_bytes()[2..]),
            4 => out.extend_from_slice(&(value as f32).to_le_bytes()),
            _ => out.extend_from_slice(&value.to_le_bytes()),
        }
    }
    out.truncate(length);
    out
}

/// A slow walk of integers of `width` bytes.
pub(crate) fn walk(length: usize, width: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 8);
    let mut value = 1_000_000_007u64;
    while out.len() < length {
        value = value.wrapping_add(random.next() % 41).wrapping_sub(20);
        out.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    out.truncate(length);
    out
}

/// Integers of `width` bytes that stay as they are mostly, and else change by a little.
pub(crate) fn steps(length: usize, width: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 8);
    let mut value = 1_000_000_007u64;
    while out.len() < length {
        if random.next() >> 62 == 0 {
            value = value
                .wrapping_add((random.next() >> 40) % 7)
                .wrapping_sub(3);
        }
        out.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    out.truncate(length);
    out
}

/// A walk of decimal numbers with two digits behind the point in f64, some of them missing.
pub(crate) fn decimals(length: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 8);
    let mut cents = 10_000i32;
    while out.len() < length {
        let value = random.next();
        cents += (value % 41) as i32 - 20;
        let number = if value >> 58 == 0 {
            f64::NAN
        } else {
            f64::from(cents) / 100.0
        };
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Rows of five numbers of 4 bytes: a time, a multiple of 250, a decimal float, a scaled float, a constant.
#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
pub(crate) fn rows(length: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let mut out = Vec::with_capacity(length + 20);
    let mut time = 1_700_000_000u32;
    while out.len() < length {
        let value = random.next();
        time += 1 + (value % 3) as u32;
        let multiple = 250 * ((value >> 8) % 100) as i32 - 9_000;
        let decimal = ((value >> 20) % 500) as f32 / 10.0;
        let scaled = (((value >> 32) % 200) as f64 * 0.01) as f32;
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&multiple.to_le_bytes());
        out.extend_from_slice(&decimal.to_le_bytes());
        out.extend_from_slice(&scaled.to_le_bytes());
        out.extend_from_slice(&7u32.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Token ids below 2^15 in 4 bytes, some phrases again and again.
pub(crate) fn tokens(length: usize) -> Vec<u8> {
    wide_tokens(length, 15, 4)
}

/// The same of so many bits in so many bytes.
pub(crate) fn wide_tokens(length: usize, bits: u32, width: usize) -> Vec<u8> {
    let mut random = Random(length as u64);
    let phrases: Vec<Vec<u64>> = (0..200)
        .map(|_| {
            (0..3 + random.next() % 9)
                .map(|_| random.next() >> (64 - bits))
                .collect()
        })
        .collect();
    let mut out = Vec::with_capacity(length + 64);
    while out.len() < length {
        let first = random.next() % 200;
        for token in &phrases[(first * first / 200) as usize] {
            out.extend(token.to_le_bytes().into_iter().take(width));
        }
    }
    out.truncate(length);
    out
}

/// Content that transforms are made for.
pub(crate) fn structured(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let width = prop_oneof![Just(2usize), Just(4), Just(8)];
    prop_oneof![
        (0..length_max).prop_map(log),
        (0..length_max).prop_map(table),
        (0..length_max).prop_map(json_lines),
        (0..length_max).prop_map(tokens),
        (0..length_max, 1u32..=32, width.clone())
            .prop_map(|(length, bits, width)| { wide_tokens(length, bits, width) }),
        (0..length_max).prop_map(decimals),
        (0..length_max).prop_map(rows),
        (0..length_max, width.clone()).prop_map(|(length, width)| floats(length, width)),
        (0..length_max, width).prop_map(|(length, width)| walk(length, width)),
    ]
}
