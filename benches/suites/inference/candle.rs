//! candle-transformers on the same file.

use crate::{compare_logits, prompt};
use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use criterion::Throughput;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Row, Suite};
use ryot_inference::Model;
use std::path::Path;
use std::time::Instant;

/// Load, one prompt of 128 tokens, 64 tokens one by one.
pub(crate) fn rows(
    suite: &mut Suite,
    model: &Model,
    load_ms: f64,
    file: &Path,
    name: &str,
) -> Result<(), BenchError> {
    let start = Instant::now();
    let mut peer = load_peer(file)?;
    let peer_ms = start.elapsed().as_secs_f64() * 1e3;
    suite.record(
        Row::new(&format!("{name} load, checked"), "ms", load_ms)
            .against("candle-transformers", peer_ms),
    );
    let prompt = prompt(suite.size(8, 128));
    let ours = model.forward(&mut model.new_state(), &prompt)?;
    compare_logits(ours.last(), &peer_logits(&mut peer, &prompt, 0)?)?;
    prefill(suite, model, &mut peer, &prompt, name);
    decode(suite, model, &mut peer, name);
    Ok(())
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
