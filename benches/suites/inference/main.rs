//! Suite `inference`: ryot-inference beside candle-transformers and, with feature `peer-llama-cpp`,
//! llama.cpp, each on the same GGUF file.
//!
//! Files have random weights of real shapes (or the file is the one named by `NEURECTOMY_GGUF`);
//! speed does not depend on what weights say. The shape of 1.2 B parameters takes minutes and 3 GB,
//! so it is measured only where `NEURECTOMY_LARGE` is set. Logits are compared before anything is
//! timed.
//!
//! `NEURECTOMY_CANDLE=0` leaves candle's rows out, which take minutes for a large model; with it,
//! logits are compared only where llama.cpp runs, too.
//!
//! llama.cpp is compiled for the machine that runs the suite only if its compiler is told to:
//! `CFLAGS=-march=native CXXFLAGS=-march=native LLAMA_LIB_PROFILE=Release`.

mod candle;
#[cfg(feature = "peer-llama-cpp")]
mod llama_cpp;
mod machine;
mod speculation;
mod streams;
mod window;

use neurectomy_bench::models::{LARGE, MEDIUM, Quantisation, SMALL, Shape, TINY, write_gguf};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use ryot_inference::{Engine, EngineConfig, LoadOptions, Model};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Greatest difference of a logit, as a part of the largest logit's size: each side rounds
/// activations to eight bits in its own way (the tests of the crate hold ours to f32 sums).
const TOLERANCE: f32 = 1e-1;

fn main() -> ExitCode {
    neurectomy_bench::run("inference", |suite| {
        let bound = machine::bounds(suite);
        if let Some(file) = std::env::var_os("NEURECTOMY_GGUF") {
            let file = Path::new(&file);
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            return measure(suite, file, &name, bound);
        }
        if is_asked("speculation") {
            speculation::measure(suite)?;
        }
        if is_asked("window") {
            window::measure(suite)?;
        }
        let dir = tempfile::tempdir()?;
        for (name, quantisation, shape) in files(suite.smoke()) {
            if !is_asked(name) {
                continue;
            }
            let file = dir.path().join(format!("{name}.gguf"));
            write_gguf(&file, shape, quantisation, 1)?;
            measure(suite, &file, name, bound)?;
            std::fs::remove_file(&file)?;
        }
        Ok(())
    })
}

/// Whether a model, `speculation` or `window` is asked for: all are, unless `NEURECTOMY_MODELS` names some with
/// commas between.
fn is_asked(name: &str) -> bool {
    std::env::var("NEURECTOMY_MODELS").map_or(true, |asked| {
        asked.split(',').any(|asked| asked.trim() == name)
    })
}

fn files(smoke: bool) -> Vec<(&'static str, Quantisation, Shape)> {
    let mut files = vec![
        ("33M Q8_0", Quantisation::Q8_0, SMALL),
        ("33M Q4_K_M", Quantisation::Q4KM, SMALL),
        ("135M Q8_0", Quantisation::Q8_0, MEDIUM),
        ("135M Q4_0", Quantisation::Q4_0, MEDIUM),
        ("135M Q4_K_M", Quantisation::Q4KM, MEDIUM),
    ];
    if smoke {
        files.truncate(2);
        for (_, _, shape) in &mut files {
            *shape = TINY;
        }
    } else if std::env::var_os("NEURECTOMY_LARGE").is_some() {
        files.push(("1.2B Q8_0", Quantisation::Q8_0, LARGE));
        files.push(("1.2B Q4_0", Quantisation::Q4_0, LARGE));
        files.push(("1.2B Q4_K_M", Quantisation::Q4KM, LARGE));
    }
    files
}

fn measure(suite: &mut Suite, file: &Path, name: &str, bound: f64) -> Result<(), BenchError> {
    let file_bytes = std::fs::metadata(file)?.len();
    let resident = machine::watch_peak_memory();
    let start = Instant::now();
    let model = Model::load(file, LoadOptions::new())?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let tokens = suite.size(8, 512);
    let peak = || Some(machine::grown(resident?)? as f64 / file_bytes as f64);
    let row = |when: &str, over| {
        let measure = format!("{name} peak memory over file bytes, {when}");
        Row::new(&measure, "x", over).goal(Goal::OursAtMost(1.2))
    };
    if let Some(over) = peak() {
        suite.record(row("loaded", over));
    }
    model.forward(&mut model.new_state(), &prompt(tokens))?;
    if let Some(over) = peak() {
        let row = row("loaded and 512 tokens read", over);
        #[cfg(feature = "peer-llama-cpp")]
        let row = match llama_cpp::peak_memory(file, &prompt(tokens))? {
            Some(peak) => row.against("llama.cpp", peak as f64 / file_bytes as f64),
            None => row,
        };
        suite.record(row);
    }
    machine::decode_bandwidth(suite, &model, (file, name), bound)?;
    if std::env::var("NEURECTOMY_CANDLE").as_deref() == Ok("0") {
        suite.record(Row::new(&format!("{name} load, checked"), "ms", load_ms));
    } else {
        candle::rows(suite, &model, load_ms, file, name)?;
    }
    #[cfg(feature = "peer-llama-cpp")]
    llama_cpp::rows(suite, &model, file, name)?;
    let engine = Engine::new(model, EngineConfig::new())?;
    streams::rows(suite, &engine, name)?;
    #[cfg(feature = "peer-llama-cpp")]
    llama_cpp::stream_rows(suite, &engine, file, name)?;
    Ok(())
}

/// `tokens` ids that every vocabulary has.
fn prompt(tokens: usize) -> Vec<u32> {
    (0_u32..).map(|i| (i * 7919) % 250).take(tokens).collect()
}

/// Whether the last logits of two engines agree.
fn compare_logits(ours: &[f32], theirs: &[f32]) -> Result<(), BenchError> {
    let largest = theirs
        .iter()
        .fold(0.0_f32, |most, logit| most.max(logit.abs()));
    let apart = ours
        .iter()
        .zip(theirs)
        .fold(0.0_f32, |most, (ours, theirs)| {
            most.max((ours - theirs).abs())
        });
    if ours.len() == theirs.len() && apart <= TOLERANCE * largest {
        return Ok(());
    }
    Err(format!("logits differ by {apart} where the largest is {largest}").into())
}
