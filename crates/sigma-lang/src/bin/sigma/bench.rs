//! `bench`: ratio and speed beside zstd at the same level, on one thread, checked before timed.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use sigma_lang::{Compressor, Config, Decompressor, Level, Limits};

use crate::args::Bench;
use crate::error::CliError;
use crate::files::read;
use crate::report::{Report, Table, ratio};

/// What one engine did with one file.
struct Figures {
    packed_bytes: u64,
    compress: Duration,
    decompress: Duration,
}

pub(crate) fn bench(command: &Bench, report: &Report) -> Result<(), CliError> {
    let head = ["file", "level", "engine", "ratio", "in MB/s", "out MB/s"];
    let mut table = Table::new(&head);
    let mut rows = Vec::new();
    let repetitions = command.repetitions.max(1);
    let runs = command.inputs.len() * command.levels.len();
    let bar = report.bar(None);
    for (input, path) in command.inputs.iter().enumerate() {
        let content = read(path)?;
        for (index, level) in command.levels.iter().enumerate() {
            bar.set_message(format!(
                "{} of {runs}",
                input * command.levels.len() + index
            ));
            let ours = sigma(&content, *level, repetitions)?;
            let zstd = zstd(path, &content, *level, repetitions)?;
            for (engine, figures) in [("sigma", ours), ("zstd", zstd)] {
                let ratio = ratio(content.len() as u64, figures.packed_bytes);
                let speeds = [figures.compress, figures.decompress]
                    .map(|time| megabytes_per_second(content.len(), time));
                table.row(vec![
                    path.display().to_string(),
                    level.to_string(),
                    engine.to_string(),
                    format!("{ratio:.3}"),
                    format!("{:.0}", speeds[0]),
                    format!("{:.0}", speeds[1]),
                ]);
                rows.push(json!({
                    "file": path.display().to_string(),
                    "level": level,
                    "engine": engine,
                    "content_bytes": content.len(),
                    "packed_bytes": figures.packed_bytes,
                    "ratio": ratio,
                    "compress_mb_per_s": speeds[0],
                    "decompress_mb_per_s": speeds[1],
                }));
            }
        }
    }
    bar.finish_and_clear();
    report.print(
        false,
        &table,
        &json!({ "repetitions": repetitions, "rows": rows }),
    );
    Ok(())
}

fn sigma(content: &[u8], level: i32, repetitions: u32) -> Result<Figures, CliError> {
    let mut compressor = Compressor::new(&Config::new().level(Level::Zstd(level)))?;
    let mut decompressor =
        Decompressor::new(Limits::default().output_bytes_max(content.len() as u64));
    let (mut packed, mut out) = (Vec::new(), Vec::new());
    compressor.compress_into(content, &mut packed)?;
    decompressor.decompress_into(&packed, &mut out)?;
    if out != content {
        return Err(CliError::new("sigma-lang gave wrong bytes back"));
    }
    let packed_bytes = packed.len() as u64;
    let compress = fastest(repetitions, || {
        packed.clear();
        compressor.compress_into(black_box(content), &mut packed)
    })?;
    let decompress = fastest(repetitions, || {
        out.clear();
        decompressor.decompress_into(black_box(&packed), &mut out)
    })?;
    Ok(Figures {
        packed_bytes,
        compress,
        decompress,
    })
}

fn zstd(path: &Path, content: &[u8], level: i32, repetitions: u32) -> Result<Figures, CliError> {
    let failed = |error| CliError::io("run zstd on", path, &error);
    let mut compressor = zstd::bulk::Compressor::new(level).map_err(failed)?;
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(failed)?;
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(content.len()));
    let mut out = Vec::with_capacity(content.len());
    compressor
        .compress_to_buffer(content, &mut packed)
        .map_err(failed)?;
    decompressor
        .decompress_to_buffer(&packed, &mut out)
        .map_err(failed)?;
    if out != content {
        return Err(CliError::new("zstd gave wrong bytes back"));
    }
    let packed_bytes = packed.len() as u64;
    let compress = fastest(repetitions, || {
        packed.clear();
        compressor.compress_to_buffer(black_box(content), &mut packed)
    })
    .map_err(failed)?;
    let decompress = fastest(repetitions, || {
        out.clear();
        decompressor.decompress_to_buffer(black_box(&packed), &mut out)
    })
    .map_err(failed)?;
    Ok(Figures {
        packed_bytes,
        compress,
        decompress,
    })
}

fn fastest<T, E>(repetitions: u32, mut work: impl FnMut() -> Result<T, E>) -> Result<Duration, E> {
    let mut least = Duration::MAX;
    for _ in 0..repetitions {
        let start = Instant::now();
        black_box(work()?);
        least = least.min(start.elapsed());
    }
    Ok(least)
}

#[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
fn megabytes_per_second(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9)
}
