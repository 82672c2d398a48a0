//! Throughput against the size of the input, up to 100 MB, beside zstd: `NEURECTOMY_COMPRESSION_MB`
//! names the sizes.

use crate::{LEVEL, config, expect_equal, ratio, zstd_at};
use neurectomy_bench::corpus::generated;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Row, Suite};
use sigma_lang::{Compressor, Decompressor, Limits};
use std::hint::black_box;

/// Largest size, in MB.
const MB_MAX: usize = 1000;

/// The sizes in MB that the environment asks for.
pub(crate) fn asked() -> Result<Option<Vec<usize>>, BenchError> {
    let Some(text) = std::env::var_os("NEURECTOMY_COMPRESSION_MB") else {
        return Ok(None);
    };
    let parse = |part: &str| {
        let size: Option<usize> = part.trim().parse().ok();
        size.filter(|size| (1..=MB_MAX).contains(size))
    };
    let sizes: Option<Vec<usize>> = text
        .to_str()
        .and_then(|text| text.split(',').map(parse).collect());
    match sizes {
        Some(sizes) => Ok(Some(sizes)),
        None => Err(format!(
            "NEURECTOMY_COMPRESSION_MB is {}; allowed: sizes of 1 to {MB_MAX} MB with commas between",
            text.display()
        )
        .into()),
    }
}

/// Every size in and out, as one call of each side.
pub(crate) fn rows(suite: &mut Suite, sizes: &[usize]) -> Result<(), BenchError> {
    for size in sizes {
        let bytes = suite.size(20_000, size * 1_000_000);
        // Every class a part, so that a larger input is more of the same.
        let mut input = Vec::with_capacity(bytes);
        for class in generated(bytes.div_ceil(6)) {
            input.extend_from_slice(&class.bytes);
        }
        input.truncate(bytes);
        one(suite, &format!("{size} MB"), &input)?;
    }
    Ok(())
}

fn one(suite: &mut Suite, name: &str, input: &[u8]) -> Result<(), BenchError> {
    let (mut compressor, mut zstd) = (Compressor::new(&config())?, zstd_at(LEVEL)?);
    let mut packed = Vec::new();
    compressor.compress_into(input, &mut packed)?;
    let peer = zstd.compress(input)?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut peer_back = zstd::bulk::Decompressor::new()?;
    let mut plain = Vec::with_capacity(input.len());
    decompressor.decompress_into(&packed, &mut plain)?;
    expect_equal(name, input, &plain)?;
    let mut out = Vec::with_capacity(input.len() + input.len() / 4 + 1024);

    let group_name = format!("size compress {name}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.bench_function("sigma-lang", |b| {
        b.iter(|| {
            out.clear();
            compressor.compress_into(black_box(input), &mut out)
        });
    });
    group.bench_function("zstd 3", |b| {
        b.iter(|| {
            out.clear();
            zstd.compress_to_buffer(black_box(input), &mut out)
        });
    });
    group.finish();
    compare(suite, "compress", name, input.len());

    let group_name = format!("size decompress {name}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.bench_function("sigma-lang", |b| {
        b.iter(|| {
            plain.clear();
            decompressor.decompress_into(black_box(&packed), &mut plain)
        });
    });
    group.bench_function("zstd 3", |b| {
        b.iter(|| {
            out.clear();
            peer_back.decompress_to_buffer(black_box(&peer), &mut out)
        });
    });
    group.finish();
    compare(suite, "decompress", name, input.len());
    expect_equal(name, input, &plain)?;
    let row = Row::new(
        &format!("ratio of {name}"),
        "x",
        ratio(input.len(), packed.len()),
    );
    suite.record(row.against("zstd 3", ratio(input.len(), peer.len())));
    Ok(())
}

fn compare(suite: &mut Suite, direction: &str, name: &str, bytes: usize) {
    suite.compare(Comparison {
        measure: &format!("{direction} {name}"),
        group: &format!("size {direction} {name}"),
        ours: "sigma-lang",
        peer: "zstd 3",
        work: Work::Bytes(bytes as u64),
        goal: None,
    });
}
