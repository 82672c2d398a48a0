//! Suite `inference`: ryot-inference beside candle-transformers on the same GGUF file.
//!
//! The file has random weights of a real shape (or is the one named by `NEURECTOMY_GGUF`); speed does
//! not depend on what weights say. Logits are compared before anything is timed.

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use criterion::Throughput;
use neurectomy_bench::models::{MEDIUM, SMALL, TINY, write_gguf};
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Row, Suite};
use ryot_inference::{Engine, EngineConfig, LoadOptions, Model, Request, Sampling, ServeConfig};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Greatest difference of a logit, as a part of the largest logit's size: both sides round
/// activations to eight bits, each in its own way (the tests of the crate hold ours to f32 sums).
const TOLERANCE: f32 = 1e-1;

fn main() -> ExitCode {
    neurectomy_bench::run("inference", |suite| {
        if let Some(file) = std::env::var_os("NEURECTOMY_GGUF") {
            return measure(suite, Path::new(&file), "file");
        }
        let dir = tempfile::tempdir()?;
        let small = if suite.smoke() { TINY } else { SMALL };
        let medium = if suite.smoke() { TINY } else { MEDIUM };
        for (name, dtype, shape) in [
            ("33M Q8_0", GgmlDType::Q8_0, small),
            ("33M Q4_K", GgmlDType::Q4K, small),
            ("135M Q8_0", GgmlDType::Q8_0, medium),
            ("135M Q4_0", GgmlDType::Q4_0, medium),
        ] {
            let file = dir.path().join(format!("{name}.gguf"));
            write_gguf(&file, shape, dtype, 1)?;
            measure(suite, &file, name)?;
        }
        Ok(())
    })
}

fn load_peer(file: &Path) -> Result<ModelWeights, BenchError> {
    let mut reader = std::io::BufReader::new(std::fs::File::open(file)?);
    let content = gguf_file::Content::read(&mut reader)?;
    Ok(ModelWeights::from_gguf(content, &mut reader, &Device::Cpu)?)
}

/// The peer's logits for the last token of `tokens`, which follow `position` others.
fn peer_logits(
    peer: &mut ModelWeights,
    tokens: &[u32],
    position: usize,
) -> Result<Vec<f32>, BenchError> {
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    Ok(peer.forward(&input, position)?.flatten_all()?.to_vec1()?)
}

fn measure(suite: &mut Suite, file: &Path, name: &str) -> Result<(), BenchError> {
    let start = Instant::now();
    let model = Model::load(file, LoadOptions::new())?;
    let ours_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let mut peer = load_peer(file)?;
    let peer_ms = start.elapsed().as_secs_f64() * 1e3;
    suite.record(
        Row::new(&format!("{name} load, checked"), "ms", ours_ms)
            .against("candle-transformers", peer_ms),
    );
    let prompt: Vec<u32> = (0_u32..)
        .map(|i| (i * 7919) % 250)
        .take(suite.size(8, 128))
        .collect();
    compare_logits(&model, &mut peer, &prompt)?;
    prefill(suite, &model, &mut peer, &prompt, name);
    decode(suite, &model, &mut peer, name);
    stream(suite, model, &prompt, name)
}

fn compare_logits(
    model: &Model,
    peer: &mut ModelWeights,
    prompt: &[u32],
) -> Result<(), BenchError> {
    let ours = model.forward(&mut model.new_state(), prompt)?;
    let theirs = peer_logits(peer, prompt, 0)?;
    let largest = theirs
        .iter()
        .fold(0.0_f32, |most, logit| most.max(logit.abs()));
    let apart = ours
        .last()
        .iter()
        .zip(&theirs)
        .fold(0.0_f32, |most, (ours, theirs)| {
            most.max((ours - theirs).abs())
        });
    if ours.last().len() == theirs.len() && apart <= TOLERANCE * largest {
        return Ok(());
    }
    Err(format!("logits differ by {apart} where the largest is {largest}").into())
}

fn prefill(suite: &mut Suite, model: &Model, peer: &mut ModelWeights, prompt: &[u32], name: &str) {
    let group_name = format!("prefill_{name}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.throughput(Throughput::Elements(prompt.len() as u64));
    group.bench_function("ryot-inference", |b| {
        b.iter(|| {
            model
                .forward(&mut model.new_state(), prompt)
                .expect("checked before")
        });
    });
    group.bench_function("candle-transformers", |b| {
        b.iter(|| peer_logits(peer, prompt, 0).expect("checked before"));
    });
    group.finish();
    suite.compare(Comparison {
        measure: &format!("{name} prefill {}", prompt.len()),
        group: &group_name,
        ours: "ryot-inference",
        peer: "candle-transformers",
        work: Work::Rate(prompt.len() as u64, "token/s"),
        goal: None,
    });
}

/// One token at a time from an empty state; the peer cannot cut its cache back to a longer one.
fn decode(suite: &mut Suite, model: &Model, peer: &mut ModelWeights, name: &str) {
    let steps: Vec<u32> = (0..).take(suite.size(2, 64)).collect();
    let group_name = format!("decode_{name}");
    let mut group = suite.criterion().benchmark_group(&group_name);
    group.throughput(Throughput::Elements(steps.len() as u64));
    group.bench_function("ryot-inference", |b| {
        b.iter(|| {
            let mut state = model.new_state();
            for token in steps.chunks(1) {
                model.forward(&mut state, token).expect("checked before");
            }
        });
    });
    group.bench_function("candle-transformers", |b| {
        b.iter(|| {
            for (position, token) in steps.chunks(1).enumerate() {
                peer_logits(peer, token, position).expect("checked before");
            }
        });
    });
    group.finish();
    suite.compare(Comparison {
        measure: &format!("{name} decode {}", steps.len()),
        group: &group_name,
        ours: "ryot-inference",
        peer: "candle-transformers",
        work: Work::Rate(steps.len() as u64, "token/s"),
        goal: None,
    });
}

/// The engine's own metrics: first token and the time between tokens, sampling and text included.
fn stream(suite: &mut Suite, model: Model, prompt: &[u32], name: &str) -> Result<(), BenchError> {
    let engine = Engine::new(model, EngineConfig::new())?;
    let request = Request::new(prompt.to_vec())
        .max_tokens(suite.size(4, 128))
        .sampling(Sampling::random(1))
        .ignore_end(true);
    let completion = engine.generate(request)?.finish()?;
    if completion.tokens.len() != suite.size(4, 128) {
        return Err(format!("{} tokens came", completion.tokens.len()).into());
    }
    let metrics = completion.metrics;
    let millis = |time: Option<std::time::Duration>| {
        time.map(|time| time.as_secs_f64() * 1e3)
            .ok_or("no token was timed")
    };
    for (measure, value) in [
        ("first token", millis(metrics.time_to_first_token)?),
        (
            "between tokens, p50",
            millis(metrics.inter_token_quantile(0.5))?,
        ),
        (
            "between tokens, p99",
            millis(metrics.inter_token_quantile(0.99))?,
        ),
    ] {
        suite.record(Row::new(&format!("{name} {measure}"), "ms", value));
    }
    served(suite, &engine, name)
}

/// Tokens a second over all streams of a server, prompts included; every stream gets the tokens
/// that its request gets alone.
fn served(suite: &mut Suite, engine: &Engine, name: &str) -> Result<(), BenchError> {
    let tokens = suite.size(4, 64);
    let request = |stream: u32| {
        let prompt: Vec<u32> = (0..32).map(|i| (i * 31 + stream * 7) % 250).collect();
        let request = Request::new(prompt).max_tokens(tokens);
        request.sampling(Sampling::greedy()).ignore_end(true)
    };
    let alone = |stream| Ok::<_, BenchError>(engine.generate(request(stream))?.finish()?.tokens);
    let mut single = None;
    for streams in [1, 4, 16] {
        let server = engine.serve(ServeConfig::new().batch_max(streams as usize))?;
        let start = Instant::now();
        let tickets = (0..streams).map(|stream| server.submit(request(stream)));
        let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
        let results: Vec<_> = tickets.into_iter().map(|t| t.finish()).collect();
        let seconds = start.elapsed().as_secs_f64();
        for (stream, result) in (0..).zip(results) {
            if result?.tokens != alone(stream)? {
                return Err(format!("stream {stream} of {streams} differs from alone").into());
            }
        }
        let rate = f64::from(streams) * tokens as f64 / seconds;
        let one = *single.get_or_insert(rate);
        let measure = format!("{name} served, {streams} streams");
        suite.record(Row::new(&measure, "token/s", rate).against("one stream", one));
    }
    Ok(())
}
