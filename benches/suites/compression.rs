//! Suite `compression`: sigma-lang beside zstd, lz4, brotli and pco on the same bytes.
//!
//! Peers at their documented defaults: zstd through reused `bulk` contexts, with the content checksum that
//! the `zstd` program writes and sigma-lang always has; lz4_flex in its block form. Every output is
//! decompressed and compared before anything is timed. sigma-lang and zstd 3 are timed by criterion, the
//! other levels of zstd by a clock around a few passes.

#[path = "compression_goals.rs"]
mod compression_goals;
#[path = "compression_kv.rs"]
mod compression_kv;
#[path = "compression_records.rs"]
mod compression_records;
#[path = "compression_sizes.rs"]
mod compression_sizes;

use criterion::Throughput;
use neurectomy_bench::corpus::{Input, load};
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use sigma_lang::{Compressor, Config, Decompressor, Level, Limits};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// zstd's level and ours: the same work for the match finder.
const LEVEL: i32 = 3;
/// Other levels of zstd, to see which of them our ratio and speed are worth, and how many passes of
/// each are timed.
const OTHER_LEVELS: [(i32, usize); 4] = [(1, 5), (6, 3), (9, 2), (19, 1)];
/// Size of a trained dictionary, zstd's own default.
const DICTIONARY_BYTES: usize = 110 << 10;

fn main() -> ExitCode {
    neurectomy_bench::run("compression", |suite| {
        if let Some(sizes) = compression_sizes::asked()? {
            return compression_sizes::rows(suite, &sizes);
        }
        let inputs = load(suite.size(20_000, 2_000_000))?;
        classes(suite, &inputs)?;
        noise(suite)?;
        compression_goals::rows(suite, &inputs)?;
        compression_records::rows(suite, &inputs)?;
        compression_kv::rows(suite, &inputs)?;
        if suite.smoke() {
            compression_sizes::rows(suite, &[1])?;
        }
        Ok(())
    })
}

fn config() -> Config {
    Config::new().level(Level::Zstd(LEVEL))
}

fn expect_equal(what: &str, expected: &[u8], found: &[u8]) -> Result<(), BenchError> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{what}: wrong bytes back").into())
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes below 2^52")]
fn ratio(plain: usize, packed: usize) -> f64 {
    plain as f64 / packed as f64
}

/// Ratio, compression and decompression speed per class, all inputs of a class in one iteration.
fn classes(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let mut by_class: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for input in inputs {
        by_class.entry(&input.class).or_default().push(&input.bytes);
    }
    let mut worst = f64::INFINITY;
    let (mut gains, mut speeds) = (Vec::new(), Vec::new());
    for (class, inputs) in by_class {
        let figures = one_class(suite, class, &inputs)?;
        worst = worst.min(figures.worst);
        gains.push(figures.gain);
        speeds.extend(figures.speed);
    }
    let all_timed = speeds.len() == gains.len();
    suite.record(
        Row::new(
            "ratio to zstd 3, geometric mean over classes",
            "x",
            geometric_mean(&gains),
        )
        .goal(Goal::OursAtLeast(1.12)),
    );
    if all_timed {
        suite.record(
            Row::new(
                "compression speed to zstd 3, geometric mean over classes",
                "x",
                geometric_mean(&speeds),
            )
            .goal(Goal::OursAtLeast(1.0)),
        );
    }
    suite
        .record(Row::new("ratio to zstd 3, worst file", "x", worst).goal(Goal::OursAtLeast(0.995)));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few classes")]
fn geometric_mean(values: &[f64]) -> f64 {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (logarithms / values.len().max(1) as f64).exp()
}

/// How a class did beside zstd at the same level.
struct Figures {
    /// Their bytes by ours, all inputs together.
    gain: f64,
    /// The same of the worst input.
    worst: f64,
    /// Their compression time by ours, where it was measured.
    speed: Option<f64>,
}

/// The inputs of a class, packed by us and by zstd at the same level.
struct Packed {
    ours: Vec<Vec<u8>>,
    theirs: Vec<Vec<u8>>,
    lz4: Vec<Vec<u8>>,
    worst: f64,
}

fn total(parts: &[Vec<u8>]) -> usize {
    parts.iter().map(Vec::len).sum()
}

/// zstd with a checksum.
pub(crate) fn zstd_at(level: i32) -> Result<zstd::bulk::Compressor<'static>, BenchError> {
    let mut zstd = zstd::bulk::Compressor::new(level)?;
    zstd.include_checksum(true)?;
    Ok(zstd)
}

fn pack(inputs: &[&[u8]]) -> Result<Packed, BenchError> {
    let mut compressor = Compressor::new(&config())?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut zstd = zstd_at(LEVEL)?;
    let mut unzstd = zstd::bulk::Decompressor::new()?;
    let mut all = Packed {
        ours: Vec::new(),
        theirs: Vec::new(),
        lz4: Vec::new(),
        worst: f64::INFINITY,
    };
    for input in inputs {
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        compressor.compress_into(input, &mut packed)?;
        decompressor.decompress_into(&packed, &mut back)?;
        expect_equal("sigma-lang", input, &back)?;
        let peer = zstd.compress(input)?;
        expect_equal("zstd", input, &unzstd.decompress(&peer, input.len())?)?;
        all.worst = all.worst.min(ratio(peer.len(), packed.len()));
        all.lz4.push(lz4_flex::block::compress(input));
        all.ours.push(packed);
        all.theirs.push(peer);
    }
    Ok(all)
}

fn one_class(suite: &mut Suite, class: &str, inputs: &[&[u8]]) -> Result<Figures, BenchError> {
    let packed = pack(inputs)?;
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    let ours_ratio = ratio(bytes, total(&packed.ours));
    for (peer, theirs) in [("zstd-3", &packed.theirs), ("lz4_flex", &packed.lz4)] {
        let measure = format!("{class} ratio");
        suite
            .record(Row::new(&measure, "x", ours_ratio).against(peer, ratio(bytes, total(theirs))));
    }
    time_class(suite, class, inputs, &packed)?;
    for (direction, peer) in [("compress", "zstd-3"), ("decompress", "zstd-3")] {
        suite.compare(Comparison {
            measure: &format!("{class} {direction}"),
            group: &format!("{direction}_{class}"),
            ours: "sigma-lang",
            peer,
            work: Work::Bytes(bytes as u64),
            goal: None,
        });
    }
    other_levels(suite, class, inputs, ours_ratio)?;
    let group = format!("compress_{class}");
    let median = |name| suite.median_ns(&group, name);
    Ok(Figures {
        gain: ratio(total(&packed.theirs), total(&packed.ours)),
        worst: packed.worst,
        speed: median("zstd-3")
            .zip(median("sigma-lang"))
            .map(|(theirs, ours)| theirs / ours),
    })
}

/// Times both directions by criterion, all inputs of the class in one iteration.
fn time_class(
    suite: &mut Suite,
    class: &str,
    inputs: &[&[u8]],
    packed: &Packed,
) -> Result<(), BenchError> {
    let mut compressor = Compressor::new(&config())?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut zstd = zstd_at(LEVEL)?;
    let mut unzstd = zstd::bulk::Decompressor::new()?;
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    let longest = inputs.iter().map(|input| input.len()).max().unwrap_or(0);
    let mut out = Vec::new();
    let mut buffer = Vec::with_capacity(zstd::zstd_safe::compress_bound(longest));
    let mut group = suite
        .criterion()
        .benchmark_group(format!("compress_{class}"));
    group.throughput(Throughput::Bytes(bytes as u64));
    group
        .sample_size(15)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    group.bench_function("sigma-lang", |bencher| {
        bencher.iter(|| {
            for input in inputs {
                out.clear();
                compressor
                    .compress_into(black_box(input), &mut out)
                    .expect("checked before");
            }
        });
    });
    group.bench_function("zstd-3", |bencher| {
        bencher.iter(|| {
            for input in inputs {
                buffer.clear();
                zstd.compress_to_buffer(black_box(input), &mut buffer)
                    .expect("checked before");
            }
        });
    });
    group.finish();
    let mut group = suite
        .criterion()
        .benchmark_group(format!("decompress_{class}"));
    group.throughput(Throughput::Bytes(bytes as u64));
    group
        .sample_size(15)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    group.bench_function("sigma-lang", |bencher| {
        bencher.iter(|| {
            for packed in &packed.ours {
                out.clear();
                decompressor
                    .decompress_into(black_box(packed), &mut out)
                    .expect("checked before");
            }
        });
    });
    group.bench_function("zstd-3", |bencher| {
        bencher.iter(|| {
            for packed in &packed.theirs {
                buffer.clear();
                unzstd
                    .decompress_to_buffer(black_box(packed), &mut buffer)
                    .expect("checked before");
            }
        });
    });
    group.finish();
    Ok(())
}

/// Ratio and speed beside the other levels of zstd. A smoke run does without.
fn other_levels(
    suite: &mut Suite,
    class: &str,
    inputs: &[&[u8]],
    ours_ratio: f64,
) -> Result<(), BenchError> {
    if suite.smoke() {
        return Ok(());
    }
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    let ours_ns = suite.median_ns(&format!("compress_{class}"), "sigma-lang");
    #[expect(clippy::cast_precision_loss, reason = "sizes below 2^52")]
    let speed = |seconds: f64| bytes as f64 / seconds / 1e6;
    for (level, passes) in OTHER_LEVELS {
        let peer = format!("zstd-{level}");
        let mut zstd = zstd_at(level)?;
        let (mut packed, mut best) = (0, f64::INFINITY);
        for _ in 0..passes {
            let start = Instant::now();
            packed = 0;
            for input in inputs {
                packed += zstd.compress(black_box(input))?.len();
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        let is_log = class.ends_with("log");
        let mut row = Row::new(&format!("{class} ratio"), "x", ours_ratio)
            .against(&peer, ratio(bytes, packed));
        match level {
            9 if is_log => row = row.goal(Goal::RatioAtLeast(1.25)),
            19 if is_log => row = row.goal(Goal::RatioAtLeast(1.15)),
            _ => {}
        }
        suite.record(row);
        if let Some(ns) = ours_ns {
            let mut row = Row::new(&format!("{class} compress"), "MB/s", speed(ns / 1e9))
                .against(&peer, speed(best));
            match level {
                9 if is_log => row = row.goal(Goal::RatioAtLeast(1.0)),
                19 if is_log => row = row.goal(Goal::OursAtLeast(50.0)),
                _ => {}
            }
            suite.record(row);
        }
    }
    Ok(())
}

/// Bytes that no coder can shrink: what does packing add?
fn noise(suite: &mut Suite) -> Result<(), BenchError> {
    let mut seeded = neurectomy_bench::corpus::SplitMix64::new(7);
    let input: Vec<u8> = (0..suite.size(1_000, 250_000))
        .flat_map(|_| seeded.bits().to_le_bytes())
        .collect();
    let packed = sigma_lang::compress(&input, &config())?;
    expect_equal(
        "sigma-lang",
        &input,
        &sigma_lang::decompress(&packed, &Limits::default())?,
    )?;
    let peer = zstd::bulk::compress(&input, LEVEL)?;
    #[expect(clippy::cast_precision_loss, reason = "a few bytes")]
    let added = |packed: &[u8]| packed.len() as f64 - input.len() as f64;
    suite.record(
        Row::new("incompressible, bytes added", "B", added(&packed))
            .against("zstd-3", added(&peer))
            .goal(Goal::OursAtMost(32.0)),
    );
    Ok(())
}
