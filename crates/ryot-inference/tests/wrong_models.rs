//! Files that parse and are wrong as models: one line that names what and why.

mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use candle_core::{DType, Tensor};
use fixture::{Family, Metadata, Noise};
use ryot_inference::{InferError, LoadOptions, Model};

fn load(path: &Path) -> Result<Model, InferError> {
    Model::load(path, LoadOptions::new())
}

fn message(path: &Path) -> String {
    load(path)
        .map(|m| format!("{m:?}"))
        .unwrap_err()
        .to_string()
}

/// Writes the usual file with changed metadata and gives the error of loading it.
fn with_metadata(change: impl FnOnce(&mut Metadata)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut metadata = fixture::metadata(Family::Llama);
    change(&mut metadata);
    fixture::write_gguf(
        &path,
        &metadata,
        &fixture::weights(1, Family::Llama),
        GgmlDType::Q8_0,
    );
    message(&path)
}

fn with_weights(change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.gguf");
    let mut weights = fixture::weights(1, Family::Llama);
    change(&mut weights);
    fixture::write_gguf(
        &path,
        &fixture::metadata(Family::Llama),
        &weights,
        GgmlDType::F32,
    );
    message(&path)
}

#[test]
fn wrong_metadata_is_named() {
    let set = |key: &'static str, value: Value| {
        with_metadata(move |m| {
            m.insert(key.to_owned(), value);
        })
    };
    let drop = |key: &'static str| with_metadata(move |m| drop(m.remove(key)));
    let text = |t: &str| Value::String(t.to_owned());
    let cases = [
        (
            drop("general.architecture"),
            "gguf: general.architecture is missing",
        ),
        (
            set("general.architecture", text("mamba")),
            "architecture `mamba` is not supported, supported: llama, qwen2, qwen3",
        ),
        (
            drop("llama.block_count"),
            "gguf: llama.block_count is missing",
        ),
        (
            set("llama.block_count", Value::U32(0)),
            "gguf: layer count is 0, allowed: 1 to 1024",
        ),
        (
            set("llama.block_count", Value::U32(3)),
            "tensor `blk.2.attn_norm.weight` is missing",
        ),
        (
            set("llama.block_count", Value::U32(1)),
            "tensor `blk.1.attn_norm.weight` does not belong to architecture llama",
        ),
        (
            set("llama.block_count", Value::U32(u32::MAX)),
            "gguf: layer count is 4294967295",
        ),
        (
            set("llama.block_count", text("two")),
            "gguf: llama.block_count is two, allowed: one non-negative integer",
        ),
        (
            set("llama.attention.head_count", Value::U32(0)),
            "gguf: head count is 0",
        ),
        (
            set("llama.attention.head_count", Value::U32(3)),
            "gguf: head count is 3",
        ),
        (
            set("llama.attention.head_count", Value::U32(8)),
            "gguf: rope dimension count is 64",
        ),
        (
            set("llama.attention.head_count_kv", Value::U32(3)),
            "gguf: head count is 4, allowed: a multiple of the 3 kv heads",
        ),
        (
            set("llama.attention.head_count_kv", Value::U32(4)),
            "tensor `blk.0.attn_k.weight` has shape [128, 256], expected [256, 256]",
        ),
        (
            set("llama.rope.dimension_count", Value::U32(32)),
            "gguf: rope dimension count is 32",
        ),
        (
            set("llama.expert_count", Value::U32(8)),
            "number of experts is 8, supported: 0",
        ),
        (
            set("llama.rope.scaling.type", text("yarn")),
            "rope scaling type is yarn, supported",
        ),
        (
            set("llama.rope.freq_base", Value::F32(f32::NAN)),
            "gguf: rope base is NaN",
        ),
        (
            set("llama.attention.layer_norm_rms_epsilon", Value::F32(-1.0)),
            "gguf: rms norm epsilon is -1",
        ),
        (
            set("llama.feed_forward_length", Value::U32(511)),
            "tensor `blk.0.ffn_gate.weight` has",
        ),
        (
            drop("tokenizer.ggml.model"),
            "no tokenizer: tokenizer.ggml.model in the file not found",
        ),
        (
            set("tokenizer.ggml.model", text("bert")),
            "tokenizer.ggml.model is bert, supported",
        ),
        (
            set("tokenizer.ggml.pre", text("odd")),
            "tokenizer.ggml.pre is odd, supported: default",
        ),
        (
            drop("tokenizer.ggml.tokens"),
            "gguf: tokenizer.ggml.tokens is missing",
        ),
        (
            set("tokenizer.ggml.merges", Value::Array(vec![text("nospace")])),
            "gguf: tokenizer.ggml.merges is nospace, allowed: two tokens",
        ),
        (
            set(
                "tokenizer.ggml.merges",
                Value::Array(vec![text("absent token")]),
            ),
            "tokenizer: cannot build byte-pair model",
        ),
        (
            set(
                "tokenizer.ggml.token_type",
                Value::Array(vec![Value::I32(1)]),
            ),
            "gguf: tokenizer.ggml.token_type is an array of 1, allowed: an array of 320",
        ),
        (
            set("tokenizer.ggml.eos_token_id", Value::U32(320)),
            "gguf: tokenizer.ggml.eos_token_id is 320, allowed: below the 320 tokens",
        ),
        (
            set("tokenizer.chat_template", text("{% if %}")),
            "chat template: cannot compile",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(expected),
            "expected `{expected}`, got `{message}`"
        );
    }
}

#[test]
fn wrong_tensors_are_named() {
    let mut noise = Noise(1);
    let cases = [
        (
            with_weights(|w| drop(w.remove("model.layers.1.mlp.up_proj.weight"))),
            "tensor `blk.1.ffn_up.weight` is missing",
        ),
        (
            with_weights(|w| drop(w.remove("model.embed_tokens.weight"))),
            "tensor `token_embd.weight` is missing",
        ),
        (
            with_weights(|w| {
                w.insert(
                    "blk.0.surprise.weight".into(),
                    noise.tensor(&[4, 4], 0.0, 1.0),
                );
            }),
            "tensor `blk.0.surprise.weight` does not belong to architecture llama",
        ),
        (
            with_weights(|w| {
                let norm = Noise(1).tensor(&[fixture::HIDDEN + 1], 1.0, 0.1);
                w.insert("model.norm.weight".into(), norm);
            }),
            "tensor `output_norm.weight` has shape [257], expected [256] (rows first)",
        ),
        (
            with_weights(|w| {
                let freqs = Noise(1).tensor(&[3], 1.0, 0.1);
                w.insert("rope_freqs.weight".into(), freqs);
            }),
            "gguf: rope_freqs.weight is 3 values",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(expected),
            "expected `{expected}`, got `{message}`"
        );
    }
}

#[test]
fn not_a_number_in_the_weights_stops_a_generation() {
    use ryot_inference::{Engine, EngineConfig, Request};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.gguf");
    let mut weights = fixture::weights(1, Family::Llama);
    let norm = vec![f32::NAN; fixture::HIDDEN];
    let norm = Tensor::from_vec(norm, fixture::HIDDEN, &candle_core::Device::Cpu).unwrap();
    weights.insert("model.norm.weight".into(), norm);
    fixture::write_gguf(
        &path,
        &fixture::metadata(Family::Llama),
        &weights,
        GgmlDType::F32,
    );
    let engine = Engine::new(load(&path).unwrap(), EngineConfig::new()).unwrap();
    let mut generation = engine.generate(Request::new("hi")).unwrap();
    let error = generation.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "logit of token 0 is NaN at position 3");
    assert!(generation.next().is_none());
    assert_eq!(generation.finish_reason(), None);
    assert!(matches!(
        generation.finish(),
        Err(InferError::AlreadyFailed)
    ));
}

/// A good folder with one thing changed, and the error of loading it.
fn with_folder(change: impl FnOnce(&Path)) -> String {
    let parent = tempfile::tempdir().unwrap();
    let path = fixture::folder(parent.path(), Family::Llama, DType::F32);
    change(&path);
    message(&path)
}

#[test]
fn wrong_folders_are_named() {
    let set = |key: &'static str, value: serde_json::Value| {
        with_folder(move |path| {
            let mut config = fixture::config_json(Family::Llama);
            config[key] = value;
            std::fs::write(path.join("config.json"), config.to_string()).unwrap();
        })
    };
    let remove = |name: &'static str| {
        with_folder(move |path| std::fs::remove_file(path.join(name)).unwrap())
    };
    let write = |name: &'static str, bytes: &'static [u8]| {
        with_folder(move |path| std::fs::write(path.join(name), bytes).unwrap())
    };
    const SHARD: &str = "model-00002-of-00002.safetensors";
    let cases = [
        (remove("config.json"), "cannot open"),
        (remove("tokenizer.json"), "no tokenizer: "),
        (remove(SHARD), "tensor `model."),
        (write("config.json", b"{"), "cannot parse"),
        (write("config.json", b"{}"), "cannot parse"),
        (
            write("tokenizer.json", b"{}"),
            "tokenizer: cannot parse tokenizer.json",
        ),
        (write("tokenizer_config.json", b"["), "cannot parse"),
        (
            write("chat_template.jinja", b"{% if %}"),
            "chat template: cannot compile",
        ),
        (
            write(SHARD, b"short"),
            "safetensors: header length at byte 0 needs 8 bytes",
        ),
        (
            write(SHARD, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
            "safetensors: header length in bytes",
        ),
        (
            set("model_type", "gpt_neox".into()),
            "architecture `gpt_neox` is not supported",
        ),
        (
            set("num_hidden_layers", 3.into()),
            "tensor `model.layers.2.input_layernorm.weight` is",
        ),
        (
            set("num_hidden_layers", 1.into()),
            "tensor `model.layers.1.input_layernorm.weight` does",
        ),
        (
            set("num_attention_heads", 5.into()),
            "config.json: head count is 5, allowed",
        ),
        (
            set("hidden_size", 128.into()),
            "tensor `model.embed_tokens.weight` has shape [320, 256]",
        ),
        (
            set("vocab_size", u64::MAX.into()),
            "config.json: vocabulary size is",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(expected),
            "expected `{expected}`, got `{message}`"
        );
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(message(empty.path()).starts_with("cannot open"));
    assert!(message(&empty.path().join("absent.gguf")).starts_with("cannot open"));
}

#[test]
fn flipped_tokenizer_files_never_panic() {
    let parent = tempfile::tempdir().unwrap();
    let path = fixture::folder(parent.path(), Family::Llama, DType::F32);
    let file = path.join("tokenizer.json");
    let good = std::fs::read(&file).unwrap();
    let mut noise = Noise(9);
    let mut refused = 0u32;
    for _ in 0..300 {
        let mut bad = good.clone();
        let at = noise.below(good.len());
        bad[at] ^= 1 << (at % 7);
        std::fs::write(&file, &bad).unwrap();
        match load(&path) {
            Ok(model) => drop(model.tokenizer().encode("the hello <|eot_id|> 123")),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "{refused}");
}
