//! Vectors of texts: against candle-transformers on the same weights, and against themselves.

mod fixture;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{qwen2, qwen3};
use fixture::Family;
use ryot_inference::{Backend, EmbedConfig, Embedder, InferError, LoadOptions, Model, Pooling};

fn tokens(from: u32, count: u32) -> Vec<u32> {
    (from..from + count).map(|i| (i * 37 + 11) % 280).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Hidden states `[tokens][HIDDEN]` of candle-transformers.
fn twin(family: Family, tokens: &[u32]) -> Vec<Vec<f32>> {
    let weights = fixture::weights(1, family).into_iter().collect();
    let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let input = Tensor::new(tokens, &Device::Cpu).unwrap();
    let input = input.unsqueeze(0).unwrap();
    let mut config = fixture::config_json(family);
    config["max_window_layers"] = 0.into();
    config["use_sliding_window"] = false.into();
    let hidden = match family {
        Family::Qwen3 => {
            config["attention_bias"] = false.into();
            let config: qwen3::Config = serde_json::from_value(config).unwrap();
            let mut model = qwen3::Model::new(&config, weights).unwrap();
            model.forward(&input, 0).unwrap()
        }
        _ => {
            config["sliding_window"] = fixture::CONTEXT.into();
            let config: qwen2::Config = serde_json::from_value(config).unwrap();
            let mut model = qwen2::Model::new(&config, weights).unwrap();
            model.forward(&input, 0, None).unwrap()
        }
    };
    hidden.squeeze(0).unwrap().to_vec2().unwrap()
}

#[test]
fn vectors_are_those_of_the_twin() {
    let dir = tempfile::tempdir().unwrap();
    let text = tokens(0, 40);
    for family in [Family::Qwen2, Family::Qwen3] {
        let hidden = twin(family, &text);
        let count = hidden.len() as f32;
        let mean: Vec<f32> = (0..fixture::HIDDEN)
            .map(|d| hidden.iter().map(|row| row[d]).sum::<f32>() / count)
            .collect();
        let last = hidden.last().unwrap();
        let path = fixture::folder(dir.path(), family, DType::F32);
        for backend in [Backend::Native, Backend::Candle] {
            let model = Model::load(&path, LoadOptions::new().backend(backend)).unwrap();
            for (pooling, expected) in [(Pooling::Mean, &mean), (Pooling::Last, last)] {
                // whole, and in pieces
                for batch in [512, 7] {
                    let config = EmbedConfig::new()
                        .pooling(pooling)
                        .normalise(false)
                        .batch_tokens(batch);
                    let embedder = Embedder::new(model.clone(), config).unwrap();
                    let ours = embedder.embed_tokens(&text).unwrap();
                    let size = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
                    let apart = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
                    let apart = apart.fold(0f32, f32::max) / size;
                    assert!(
                        size > 0.01 && apart < 1e-4,
                        "{family:?} {backend:?} {pooling:?}: {apart} of {size}"
                    );
                }
            }
        }
    }
}

/// Rounded weights and activations turn vectors a little; other texts lie elsewhere.
#[test]
fn rounded_weights_give_nearly_the_same_direction() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = |path| {
        let model = Model::load(path, LoadOptions::new()).unwrap();
        Embedder::new(model, EmbedConfig::new()).unwrap()
    };
    let exact = embedder(fixture::gguf(dir.path(), Family::Llama, GgmlDType::F32));
    let rounded = embedder(fixture::gguf(dir.path(), Family::Llama, GgmlDType::Q8_0));
    let (text, other) = (tokens(0, 40), tokens(100, 23));
    let [a, b] = [&exact, &rounded].map(|e| e.embed_tokens(&text).unwrap());
    let c = rounded.embed_tokens(&other).unwrap();
    assert!((cosine(&a, &a) - 1.0).abs() < 1e-6);
    assert!(cosine(&a, &b) > 0.999, "{}", cosine(&a, &b));
    assert!(cosine(&a, &c) < cosine(&a, &b), "{}", cosine(&a, &c));
    let length: f32 = b.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
}

/// Short and long texts in one call have the bits that they have alone, whatever the pieces.
#[test]
fn a_text_does_not_see_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = fixture::gguf(dir.path(), Family::Llama, GgmlDType::Q8_0);
    let model = Model::load(path, LoadOptions::new()).unwrap();
    let texts: Vec<String> = [3, 40, 1, 90, 17, 2]
        .iter()
        .enumerate()
        .map(|(i, len)| {
            "the cat sat on a mat. "
                .chars()
                .skip(i)
                .cycle()
                .take(*len)
                .collect()
        })
        .collect();
    for batch in [1, 16, 64, 512] {
        let config = EmbedConfig::new().batch_tokens(batch);
        let embedder = Embedder::new(model.clone(), config).unwrap();
        let together = embedder.embed_all(&texts).unwrap();
        assert_eq!(together.len(), texts.len());
        let default = Embedder::new(model.clone(), EmbedConfig::new()).unwrap();
        for (text, vector) in texts.iter().zip(&together) {
            assert_eq!(&default.embed(text).unwrap(), vector, "{batch}: {text}");
        }
    }
}

#[test]
fn wrong_texts_are_refused() {
    let config = EmbedConfig::new().text_tokens_max(5);
    let embedder = Embedder::new(Model::toy(3).unwrap(), config).unwrap();
    let error = embedder.embed_tokens(&[]).unwrap_err();
    assert!(matches!(error, InferError::EmptyPrompt), "{error}");
    let error = embedder.embed_all(&["a", "far too long"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text has 13 tokens, allowed: at most 5"
    );
    let error = embedder.embed_tokens(&[1, 99_999]).unwrap_err();
    assert!(
        matches!(error, InferError::TokenOutOfRange { token: 99_999, .. }),
        "{error}"
    );
    assert!(embedder.embed_all::<&str>(&[]).unwrap().is_empty());
}
