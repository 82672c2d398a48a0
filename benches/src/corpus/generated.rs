//! Seeded stand-ins for real data, one per class that agents store.

use super::{Input, SplitMix64};
use std::fmt::Write as _;

const WORDS: [&str; 48] = [
    "the", "of", "to", "agent", "a", "and", "task", "in", "store", "is", "block", "for", "token",
    "queue", "that", "model", "value", "with", "record", "key", "on", "read", "state", "plan",
    "be", "prefix", "worker", "cache", "from", "write", "result", "error", "context", "step",
    "file", "tool", "call", "reply", "search", "index", "merge", "page", "segment", "count",
    "limit", "retry", "batch", "stream",
];

/// One input of about `bytes` bytes for each class; the same bytes every time.
#[must_use]
pub fn generated(bytes: usize) -> Vec<Input> {
    type Generator = fn(&mut SplitMix64, usize) -> Vec<u8>;
    let generators: [(&str, Generator); 6] = [
        ("gen-log", log),
        ("gen-msgs", messages),
        ("gen-doc", text),
        ("gen-tok", tokens),
        ("gen-kv", bf16),
        ("gen-rnd", noise),
    ];
    generators
        .iter()
        .zip(1..)
        .map(|((class, generate), seed)| Input {
            name: format!("{class}_{bytes}"),
            class: (*class).to_owned(),
            bytes: generate(&mut SplitMix64::new(seed), bytes),
        })
        .collect()
}

fn sentence(seeded: &mut SplitMix64, out: &mut String) {
    for position in 0..6 + seeded.below(12) {
        if position > 0 {
            out.push(' ');
        }
        out.push_str(WORDS[seeded.zipf(WORDS.len())]);
    }
}

fn text(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    let mut out = String::new();
    while out.len() < bytes {
        sentence(seeded, &mut out);
        out.push_str(if seeded.below(8) == 0 { ".\n\n" } else { ". " });
    }
    out.into_bytes()
}

fn log(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    const LEVELS: [&str; 4] = ["INFO", "INFO", "WARN", "ERROR"];
    let (mut out, mut millis) = (String::new(), 0);
    while out.len() < bytes {
        millis += seeded.below(900);
        let (second, milli) = (millis / 1000, millis % 1000);
        let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
        let level = LEVELS[seeded.below(4)];
        let worker = seeded.below(16);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "2026-01-05 {hour:02}:{minute:02}:{:02},{milli:03} {level} ",
            second % 60
        );
        let _ = match seeded.below(3) {
            0 => writeln!(
                out,
                "worker-{worker} took block blk_{} from queue",
                seeded.bits() >> 20
            ),
            1 => writeln!(
                out,
                "worker-{worker} finished in {} us",
                seeded.below(90_000)
            ),
            _ => writeln!(
                out,
                "10.0.{worker}.{} closed: timeout=30",
                seeded.below(256)
            ),
        };
    }
    out.into_bytes()
}

fn messages(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    const ROLES: [&str; 3] = ["user", "assistant", "tool"];
    let mut out = String::new();
    for id in 0.. {
        if out.len() >= bytes {
            break;
        }
        let role = ROLES[id % 3];
        let _ = write!(
            out,
            "{{\"id\":{id},\"role\":\"{role}\",\"tokens\":{},",
            seeded.below(900)
        );
        out.push_str("\"content\":\"");
        for _ in 0..2 + seeded.below(4) {
            sentence(seeded, &mut out);
            out.push_str(". ");
        }
        out.push_str("\"}\n");
    }
    out.into_bytes()
}

fn tokens(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    (0..bytes / 4)
        .flat_map(|_| {
            u32::try_from(seeded.zipf(32_000))
                .unwrap_or(0)
                .to_le_bytes()
        })
        .collect()
}

/// Sums of four uniform numbers, cut to bfloat16: values around zero, as in keys and values.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the top half of an f32 is its bf16"
)]
fn bf16(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    (0..bytes / 2)
        .flat_map(|_| {
            let sum: f64 = (0..4).map(|_| seeded.unit() - 0.5).sum();
            ((sum as f32).to_bits() >> 16).to_le_bytes()[..2].to_vec()
        })
        .collect()
}

fn noise(seeded: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8))
        .flat_map(|_| seeded.bits().to_le_bytes())
        .take(bytes)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_about_the_size_asked_for_and_repeats() {
        let (first, second) = (generated(10_000), generated(10_000));
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a.bytes, b.bytes, "{}", a.name);
            assert!(
                (9_990..12_000).contains(&a.bytes.len()),
                "{}: {}",
                a.name,
                a.bytes.len()
            );
        }
    }
}
