//! Our decoder against candle-transformers on the very same files.
//!
//! What is compared is everything: kernels, weight names and shapes, norms, rotations, grouping of
//! heads, masks, the KV cache, biases, tying.

mod fixture;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    llama, quantized_llama, quantized_qwen2, quantized_qwen3, qwen2, qwen3,
};
use fixture::Family;
use ryot_inference::{Backend, LoadOptions, Model};

/// Dense weights: f32 sums in another order, and angles rounded later than the twin does.
const DENSE: f32 = 2e-5;
/// Quantised weights against the same numbers in f32: activations are rounded to eight bits, by us
/// as by candle. Relative to the largest logit.
const QUANTISED: f32 = 8e-2;
/// Our rounding against candle's on the same weights: both errors may meet in one logit.
const ROUNDED_TWICE: f32 = 1e-1;

fn tokens(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * 37 + 11) % 280).collect()
}

fn load(path: &Path) -> Model {
    Model::load(path, LoadOptions::new()).unwrap()
}

/// Largest difference over the spread of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let spread = b.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(spread > 0.5, "flat logits prove nothing: {spread}");
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
        / spread
}

/// A twin: logits after some tokens that start at a position.
type Twin = Box<dyn FnMut(&[u32], usize) -> Vec<f32>>;

fn flat(logits: Tensor) -> Vec<f32> {
    logits
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn input(tokens: &[u32]) -> Tensor {
    Tensor::new(tokens, &Device::Cpu)
        .unwrap()
        .unsqueeze(0)
        .unwrap()
}

fn gguf_twin(path: &Path, family: Family) -> Twin {
    let mut file = File::open(path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    macro_rules! twin {
        ($model:ty) => {{
            let mut model = <$model>::from_gguf(content, &mut file, &Device::Cpu).unwrap();
            Box::new(move |t: &[u32], at| flat(model.forward(&input(t), at).unwrap()))
        }};
    }
    match family {
        Family::Llama => twin!(quantized_llama::ModelWeights),
        Family::Qwen2 => twin!(quantized_qwen2::ModelWeights),
        Family::Qwen3 => twin!(quantized_qwen3::ModelWeights),
    }
}

fn folder_twin(family: Family, dtype: DType, config: &serde_json::Value) -> Twin {
    let rounded: HashMap<String, Tensor> = fixture::weights(1, family)
        .into_iter()
        .map(|(n, t)| (n, t.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap()))
        .collect();
    let weights = VarBuilder::from_tensors(rounded, DType::F32, &Device::Cpu);
    let mut config = config.clone();
    match family {
        Family::Llama => {
            let config: llama::LlamaConfig = serde_json::from_value(config).unwrap();
            let config = config.into_config(false);
            let model = llama::Llama::load(weights, &config).unwrap();
            let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
            Box::new(move |t, at| flat(model.forward(&input(t), at, &mut cache).unwrap()))
        }
        Family::Qwen2 => {
            config["sliding_window"] = fixture::CONTEXT.into();
            config["max_window_layers"] = 0.into();
            config["use_sliding_window"] = false.into();
            let config: qwen2::Config = serde_json::from_value(config).unwrap();
            let mut model = qwen2::ModelForCausalLM::new(&config, weights).unwrap();
            Box::new(move |t, at| flat(model.forward(&input(t), at).unwrap()))
        }
        Family::Qwen3 => {
            config["attention_bias"] = false.into();
            config["max_window_layers"] = 0.into();
            config["use_sliding_window"] = false.into();
            let config: qwen3::Config = serde_json::from_value(config).unwrap();
            let mut model = qwen3::ModelForCausalLM::new(&config, weights).unwrap();
            Box::new(move |t, at| flat(model.forward(&input(t), at).unwrap()))
        }
    }
}

/// Prompt in one call, then token by token; and for us also the prompt in uneven pieces.
fn compare(model: &Model, mut twin: Twin, tolerance: f32, name: &str) {
    let prompt = tokens(40);
    let mut state = model.new_state();
    let ours = model.forward(&mut state, &prompt).unwrap();
    let theirs = twin(&prompt, 0);
    let d = distance(ours.last(), &theirs);
    assert!(d < tolerance, "{name}: prompt {d}");
    for (step, token) in [5u32, 99, 250, 7].into_iter().enumerate() {
        let ours = model.forward(&mut state, &[token]).unwrap();
        let d = distance(ours.last(), &twin(&[token], 40 + step));
        assert!(d < tolerance, "{name}: step {step} {d}");
    }
    for pieces in [vec![1; 40], vec![3, 30, 7]] {
        let mut state = model.new_state();
        let mut at = 0;
        let mut last = None;
        for piece in pieces {
            last = Some(model.forward(&mut state, &prompt[at..at + piece]).unwrap());
            at += piece;
        }
        let d = distance(last.unwrap().last(), &theirs);
        assert!(d < tolerance, "{name}: pieces {d}");
    }
}

/// The largest differences from the widened weights after a prompt of 40 and 4 more tokens: ours,
/// and candle's on the quantised file.
fn errors(folder: &Path, family: Family, kind: GgmlDType) -> (f32, f32) {
    let path = fixture::gguf(folder, family, kind);
    let mut exact = gguf_twin(&fixture::gguf_widened(folder, family, kind), family);
    let mut candle = gguf_twin(&path, family);
    let model = load(&path);
    let mut state = model.new_state();
    let (mut ours_worst, mut candle_worst) = (0f32, 0f32);
    let prompt = tokens(40);
    let steps = [5u32, 99, 250, 7];
    let inputs = std::iter::once(&prompt[..]).chain(steps.chunks(1));
    let mut at = 0;
    for input in inputs {
        let exact = exact(input, at);
        let ours = model.forward(&mut state, input).unwrap();
        ours_worst = ours_worst.max(distance(ours.last(), &exact));
        candle_worst = candle_worst.max(distance(&candle(input, at), &exact));
        at += input.len();
    }
    (ours_worst, candle_worst)
}

#[test]
fn gguf_llama_in_every_type() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16] {
        let path = fixture::gguf(folder.path(), Family::Llama, kind);
        let twin = gguf_twin(&path, Family::Llama);
        compare(&load(&path), twin, DENSE, &format!("{kind:?}"));
    }
    for kind in [
        GgmlDType::Q8_0,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ] {
        let (ours, candle) = errors(folder.path(), Family::Llama, kind);
        println!("{kind:?}: ours {ours:.4}, candle {candle:.4}");
        assert!(
            ours < QUANTISED.min(1.5 * candle),
            "{kind:?}: {ours}, candle {candle}"
        );
        let path = fixture::gguf(folder.path(), Family::Llama, kind);
        let twin = gguf_twin(&path, Family::Llama);
        compare(&load(&path), twin, ROUNDED_TWICE, &format!("{kind:?}"));
    }
}

#[test]
fn gguf_qwen() {
    let folder = tempfile::tempdir().unwrap();
    for family in [Family::Qwen2, Family::Qwen3] {
        let path = fixture::gguf(folder.path(), family, GgmlDType::F32);
        let name = format!("{family:?}");
        compare(&load(&path), gguf_twin(&path, family), DENSE, &name);
        for kind in [GgmlDType::Q8_0, GgmlDType::Q4K] {
            let (ours, candle) = errors(folder.path(), family, kind);
            println!("{family:?} {kind:?}: ours {ours:.4}, candle {candle:.4}");
            assert!(
                ours < QUANTISED.min(1.5 * candle),
                "{name} {kind:?}: {ours}, candle {candle}"
            );
        }
    }
}

/// The candle backend stays what it was.
#[test]
fn the_candle_backend_agrees_with_candle() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), Family::Llama, GgmlDType::Q8_0);
    let options = LoadOptions::new().backend(Backend::Candle);
    let model = Model::load(&path, options).unwrap();
    let twin = gguf_twin(&path, Family::Llama);
    compare(&model, twin, QUANTISED, "candle backend");
}

#[test]
fn safetensors_folders() {
    let folder = tempfile::tempdir().unwrap();
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let path = fixture::folder(folder.path(), family, dtype);
            let twin = folder_twin(family, dtype, &fixture::config_json(family));
            compare(&load(&path), twin, DENSE, &format!("{family:?} {dtype:?}"));
        }
    }
}

#[test]
fn llama3_rope_scaling_and_tied_output() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = fixture::config_json(Family::Llama);
    config["tie_word_embeddings"] = true.into();
    // short wavelengths stay, long ones are divided, some lie on the ramp
    config["rope_scaling"] = serde_json::json!({"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64});
    let path = folder.path().join("tied");
    let mut weights = fixture::weights(1, Family::Llama);
    weights.remove("lm_head.weight");
    fixture::write_folder(&path, &config, &weights, DType::F32);
    let twin = folder_twin(Family::Llama, DType::F32, &config);
    compare(&load(&path), twin, DENSE, "llama3 tied");
}

/// The same weights as GGUF (rows reordered, adjacent pairs rotated) and as safetensors (halves
/// rotated) are the same model.
#[test]
fn both_formats_agree() {
    let folder = tempfile::tempdir().unwrap();
    let dense = load(&fixture::folder(folder.path(), Family::Llama, DType::F32));
    let mut weights = fixture::weights(1, Family::Llama);
    for (name, tensor) in &mut weights {
        if name.ends_with("q_proj.weight") {
            *tensor = fixture::permute(tensor, fixture::HEADS);
        } else if name.ends_with("k_proj.weight") {
            *tensor = fixture::permute(tensor, fixture::KV_HEADS);
        }
    }
    let path = folder.path().join("permuted.gguf");
    fixture::write_gguf(
        &path,
        &fixture::metadata(Family::Llama),
        &weights,
        GgmlDType::F32,
    );
    let file = load(&path);
    let prompt = tokens(60);
    let a = dense.forward(&mut dense.new_state(), &prompt).unwrap();
    let b = file.forward(&mut file.new_state(), &prompt).unwrap();
    assert!(distance(a.last(), b.last()) < DENSE);
    // and they are different files to the fingerprint
    assert_ne!(dense.info().fingerprint, file.info().fingerprint);
    assert_eq!(load(&path).info(), file.info());
    assert_eq!(dense.info().parameters, file.info().parameters);
}
