//! Suite `compression`: sigma-lang beside zstd and lz4 on the same bytes.
//!
//! Peers at their documented defaults: zstd through reused `bulk` contexts, lz4_flex in its block form.
//! Every output is decompressed and compared before anything is timed.

use criterion::Throughput;
use neurectomy_bench::corpus::{Input, load};
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use sigma_lang::{Compressor, Config, Decompressor, Dictionary, Level, Limits};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

/// zstd's level and ours: the same work for the match finder.
const LEVEL: i32 = 3;
/// A slower zstd, to see which level of it our ratio is worth.
const SLOWER_LEVEL: i32 = 9;
/// Size of a trained dictionary, zstd's own default.
const DICTIONARY_BYTES: usize = 110 << 10;

fn main() -> ExitCode {
    neurectomy_bench::run("compression", |suite| {
        let inputs = load(suite.size(20_000, 2_000_000))?;
        classes(suite, &inputs)?;
        noise(suite)?;
        records(suite, &inputs)?;
        growing_context(suite, &inputs)
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
    let mut logarithms = Vec::new();
    for (class, inputs) in by_class {
        let figures = one_class(suite, class, &inputs)?;
        worst = worst.min(figures.worst);
        logarithms.push(figures.gain.ln());
    }
    #[expect(clippy::cast_precision_loss, reason = "a few classes")]
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64).exp();
    suite.record(
        Row::new("ratio to zstd 3, geometric mean over classes", "x", mean)
            .goal(Goal::OursAtLeast(1.12)),
    );
    suite
        .record(Row::new("ratio to zstd 3, worst file", "x", worst).goal(Goal::OursAtLeast(0.995)));
    Ok(())
}

/// How a class did beside zstd at the same level.
struct Figures {
    /// Their bytes by ours, all inputs together.
    gain: f64,
    /// The same of the worst input.
    worst: f64,
}

fn one_class(suite: &mut Suite, class: &str, inputs: &[&[u8]]) -> Result<Figures, BenchError> {
    let mut compressor = Compressor::new(&config())?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
    let mut slower = zstd::bulk::Compressor::new(SLOWER_LEVEL)?;
    let mut unzstd = zstd::bulk::Decompressor::new()?;
    let (mut ours, mut theirs, mut fast) = (Vec::new(), Vec::new(), Vec::new());
    let mut slow = Vec::new();
    let mut worst = f64::INFINITY;
    for input in inputs {
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        compressor.compress_into(input, &mut packed)?;
        decompressor.decompress_into(&packed, &mut back)?;
        expect_equal("sigma-lang", input, &back)?;
        let peer = zstd.compress(input)?;
        expect_equal("zstd", input, &unzstd.decompress(&peer, input.len())?)?;
        worst = worst.min(ratio(peer.len(), packed.len()));
        fast.push(lz4_flex::block::compress(input));
        slow.push(slower.compress(input)?);
        ours.push(packed);
        theirs.push(peer);
    }
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    let packed_bytes = |packed: &[Vec<u8>]| packed.iter().map(Vec::len).sum::<usize>();
    let ours_ratio = ratio(bytes, packed_bytes(&ours));
    for (peer, packed) in [("zstd-3", &theirs), ("zstd-9", &slow), ("lz4_flex", &fast)] {
        let measure = format!("{class} ratio");
        let mut row =
            Row::new(&measure, "x", ours_ratio).against(peer, ratio(bytes, packed_bytes(packed)));
        if class.ends_with("log") && peer == "zstd-9" {
            row = row.goal(Goal::RatioAtLeast(1.25));
        }
        suite.record(row);
    }
    let group_name = format!("compress_{class}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.throughput(Throughput::Bytes(bytes as u64));
    let mut out = Vec::new();
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
                black_box(zstd.compress(black_box(input)).expect("checked before"));
            }
        });
    });
    group.bench_function("zstd-9", |bencher| {
        bencher.iter(|| {
            for input in inputs {
                black_box(slower.compress(black_box(input)).expect("checked before"));
            }
        });
    });
    group.finish();
    let group_name = format!("decompress_{class}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("sigma-lang", |bencher| {
        bencher.iter(|| {
            for packed in &ours {
                out.clear();
                decompressor
                    .decompress_into(black_box(packed), &mut out)
                    .expect("checked before");
            }
        });
    });
    let longest = inputs.iter().map(|input| input.len()).max().unwrap_or(0);
    let mut buffer = Vec::with_capacity(longest);
    group.bench_function("zstd-3", |bencher| {
        bencher.iter(|| {
            for packed in &theirs {
                buffer.clear();
                unzstd
                    .decompress_to_buffer(black_box(packed), &mut buffer)
                    .expect("checked before");
            }
        });
    });
    group.finish();
    for (direction, peer) in [
        ("compress", "zstd-3"),
        ("compress", "zstd-9"),
        ("decompress", "zstd-3"),
    ] {
        suite.compare(Comparison {
            measure: &format!("{class} {direction}"),
            group: &format!("{direction}_{class}"),
            ours: "sigma-lang",
            peer,
            work: Work::Bytes(bytes as u64),
            goal: None,
        });
    }
    Ok(Figures {
        gain: ratio(packed_bytes(&theirs), packed_bytes(&ours)),
        worst,
    })
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

/// Messages of some hundred bytes, each packed alone with a dictionary trained on other messages.
fn records(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let Some(input) = inputs.iter().find(|input| input.class.ends_with("msgs")) else {
        return Ok(());
    };
    let lines: Vec<&[u8]> = input
        .bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let (train, test) = lines.split_at(lines.len() / 2);
    let dictionary = Arc::new(Dictionary::train(
        train,
        suite.size(4 << 10, DICTIONARY_BYTES),
    )?);
    let peer_dictionary = zstd::dict::EncoderDictionary::copy(dictionary.as_bytes(), LEVEL);
    let mut compressor = Compressor::new(&config().dictionary(dictionary.clone()))?;
    let mut decompressor = Decompressor::new(Limits::default()).with_dictionary(dictionary);
    let mut zstd = zstd::bulk::Compressor::with_prepared_dictionary(&peer_dictionary)?;
    let (mut plain, mut ours, mut theirs) = (0, 0, 0);
    for line in test {
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        compressor.compress_record_into(line, &mut packed)?;
        decompressor.decompress_record_into(&packed, &mut back)?;
        expect_equal("sigma-lang record", line, &back)?;
        plain += line.len();
        ours += packed.len();
        theirs += zstd.compress(line)?.len();
    }
    suite.record(
        Row::new("messages with dictionary, ratio", "x", ratio(plain, ours))
            .against("zstd-3+dictionary", ratio(plain, theirs))
            .goal(Goal::RatioAtLeast(1.15)),
    );
    let mut group = suite.criterion().benchmark_group("record_compress");
    group.throughput(Throughput::Bytes(plain as u64));
    let mut out = Vec::new();
    group.bench_function("sigma-lang", |bencher| {
        bencher.iter(|| {
            for line in test {
                out.clear();
                compressor
                    .compress_record_into(black_box(line), &mut out)
                    .expect("checked before");
            }
        });
    });
    group.bench_function("zstd-3+dictionary", |bencher| {
        bencher.iter(|| {
            for line in test {
                black_box(zstd.compress(black_box(line)).expect("checked before"));
            }
        });
    });
    group.finish();
    suite.compare(Comparison {
        measure: "messages with dictionary, per record",
        group: "record_compress",
        ours: "sigma-lang",
        peer: "zstd-3+dictionary",
        work: Work::Operations(test.len() as u64),
        goal: Some(Goal::OursAtMost(1_200.0)),
    });
    Ok(())
}

/// A conversation that grows: each state against the one before it, beside zstd on each state alone.
fn growing_context(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let Some(input) = inputs.iter().find(|input| input.class.ends_with("doc")) else {
        return Ok(());
    };
    let steps = suite.size(4, 40);
    let states: Vec<&[u8]> = (1..=steps)
        .map(|step| &input.bytes[..input.bytes.len() * step / steps])
        .collect();
    let (mut plain, mut ours, mut theirs) = (0, 0, 0);
    for pair in states.windows(2) {
        let packed = sigma_lang::compress_with_base(pair[0], pair[1], &config())?;
        let back = sigma_lang::decompress_with_base(pair[0], &packed, &Limits::default())?;
        expect_equal("sigma-lang with base", pair[1], &back)?;
        plain += pair[1].len();
        ours += packed.len();
        theirs += zstd::bulk::compress(pair[1], LEVEL)?.len();
    }
    suite.record(
        Row::new("growing context with base, ratio", "x", ratio(plain, ours))
            .against("zstd-3, each alone", ratio(plain, theirs))
            .goal(Goal::RatioAtLeast(9.0)),
    );
    Ok(())
}
