//! A suite with known slowdowns and faults, which the tests of `neurectomy-bench` run.
//!
//! `PLANTED_PERCENT=15` makes ours do 15 % more of its work in each iteration. `PLANTED_FAULT` is
//! `panic`, `error`, `hang`, `hang with a child` or `abort`, after the first row is written; what hangs
//! leaves the number of its process, or of the child, in the suite's folder.

use neurectomy_bench::suite::Work;
use neurectomy_bench::{Comparison, Goal, Row};
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Words that a digest reads.
const WORDS: usize = 8192;

/// The measured function: a multiplicative digest, whose time is proportional to its input.
#[inline(never)]
fn digest(words: &[u64], seed: u64) -> u64 {
    words.iter().fold(seed, |hash, word| {
        (hash ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
    })
}

/// The peer: another digest with about the same work.
#[inline(never)]
fn peer_digest(words: &[u64], seed: u64) -> u64 {
    words.iter().fold(seed, |hash, word| {
        hash.rotate_left(5).wrapping_mul(0x0000_0100_0000_01b3) ^ word
    })
}

fn percent() -> usize {
    let text = std::env::var("PLANTED_PERCENT").unwrap_or_default();
    text.parse().unwrap_or(0)
}

fn fault() {
    match std::env::var("PLANTED_FAULT").as_deref() {
        Ok("panic") => panic!("planted panic"),
        Ok("abort") => std::process::abort(),
        Ok("hang") => hang(std::process::id()),
        Ok("hang with a child") => match Command::new("sleep").arg("600").spawn() {
            Ok(child) => hang(child.id()),
            Err(error) => eprintln!("sleep: {error}"),
        },
        _ => {}
    }
}

fn hang(process: u32) {
    let folder = std::env::var_os(neurectomy_bench::journal::OUTPUT_VARIABLE).unwrap_or_default();
    let file = Path::new(&folder).join("process");
    if let Err(error) = std::fs::write(&file, format!("{process}\n")) {
        eprintln!("{}: {error}", file.display());
    }
    std::thread::sleep(Duration::from_secs(600));
}

fn main() -> ExitCode {
    neurectomy_bench::run("sketches", |suite| {
        let words: Vec<u64> = (0..WORDS as u64).collect();
        let more = WORDS * percent() / 100;
        suite.record(Row::new("words", "byte", 8.0 * 8192.0).against("peer", 8.0 * 8192.0));
        fault();
        let mut group = suite.criterion().benchmark_group("digest");
        group.bench_function("ours", |b| {
            b.iter(|| {
                let first = digest(black_box(&words), 1);
                digest(black_box(&words[..more]), first)
            });
        });
        group.bench_function("peer", |b| b.iter(|| peer_digest(black_box(&words), 1)));
        group.finish();
        suite.compare(Comparison {
            measure: "digest of 64 KiB <b>&amp;",
            group: "digest",
            ours: "ours",
            peer: "peer",
            work: Work::Bytes(8 * WORDS as u64),
            goal: Some(Goal::RatioAtLeast(0.01)),
        });
        if std::env::var("PLANTED_FAULT").as_deref() == Ok("error") {
            return Err("planted error".into());
        }
        Ok(())
    })
}
