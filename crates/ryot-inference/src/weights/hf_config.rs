//! `config.json` of a Hugging Face folder.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::read_bounded;
use crate::error::{InferError, Result};
use crate::model::{Architecture, ModelConfig, RopeConfig, RopePairs, RopeScaling};

/// Name in error messages.
pub(super) const FORMAT: &str = "config.json";
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The parts of `config.json` that decide how the decoder computes.
#[derive(Debug, Deserialize)]
struct Raw {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawScaling>,
    rope_parameters: Option<RawScaling>,
    hidden_act: Option<String>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    #[serde(default)]
    tie_word_embeddings: bool,
    eos_token_id: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct RawScaling {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// A folder's configuration.
#[derive(Debug)]
pub(super) struct FolderConfig {
    pub(super) model: ModelConfig,
    /// Whether the output matrix is the embedding table.
    pub(super) tied: bool,
    /// Tokens that end a generation.
    pub(super) end_tokens: Vec<u32>,
}

/// Reads and translates `config.json`; ranges are checked by [`ModelConfig::validate`].
pub(super) fn read(path: &Path) -> Result<FolderConfig> {
    let text = read_bounded(path, FORMAT, CONFIG_BYTES_MAX)?;
    let raw: Raw = serde_json::from_slice(&text).map_err(|source| InferError::Json {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    translate(raw)
}

fn translate(raw: Raw) -> Result<FolderConfig> {
    let architecture = match raw.model_type.as_str() {
        "llama" | "mistral" => Architecture::Llama,
        "qwen2" => Architecture::Qwen2,
        "qwen3" => Architecture::Qwen3,
        other => {
            return Err(InferError::UnsupportedArchitecture {
                found: other.chars().take(64).collect(),
                supported: "llama, mistral, qwen2, qwen3",
            });
        }
    };
    if let Some(act) = raw.hidden_act.as_deref().filter(|act| *act != "silu") {
        let value = act.chars().take(64).collect();
        return Err(InferError::Unsupported {
            feature: "hidden_act",
            value,
            supported: "silu",
        });
    }
    let head_dim = match raw.head_dim {
        Some(n) => n,
        None => raw
            .hidden_size
            .checked_div(raw.num_attention_heads)
            .unwrap_or(0),
    };
    // within its window, sliding attention is plain attention
    let window = raw
        .sliding_window
        .filter(|_| raw.use_sliding_window != Some(false));
    let context_tokens = window
        .unwrap_or(usize::MAX)
        .min(raw.max_position_embeddings);
    let parameters = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
    let base = raw
        .rope_theta
        .or_else(|| parameters.and_then(|p| p.rope_theta));
    let model = ModelConfig {
        architecture,
        layers: raw.num_hidden_layers,
        hidden: raw.hidden_size,
        feed_forward: raw.intermediate_size,
        heads: raw.num_attention_heads,
        kv_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
        head_dim,
        vocab: raw.vocab_size,
        context_tokens,
        rms_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        rope: RopeConfig {
            base: base.unwrap_or(10_000.0),
            pairs: RopePairs::Halves,
            scaling: scaling(parameters)?,
        },
    };
    let end_tokens = end_tokens(raw.eos_token_id.as_ref());
    Ok(FolderConfig {
        model,
        tied: raw.tie_word_embeddings,
        end_tokens,
    })
}

fn scaling(raw: Option<&RawScaling>) -> Result<RopeScaling> {
    let Some(raw) = raw else {
        return Ok(RopeScaling::None);
    };
    let field = |name: &str, value: Option<f64>| {
        value.ok_or_else(|| InferError::MissingField {
            format: FORMAT,
            field: format!("rope_scaling.{name}"),
        })
    };
    match raw.rope_type.as_deref() {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear(field("factor", raw.factor)?)),
        Some("llama3") => Ok(RopeScaling::Llama3 {
            factor: field("factor", raw.factor)?,
            low_freq_factor: field("low_freq_factor", raw.low_freq_factor)?,
            high_freq_factor: field("high_freq_factor", raw.high_freq_factor)?,
            original_context: field(
                "original_max_position_embeddings",
                raw.original_max_position_embeddings,
            )?,
        }),
        Some(other) => Err(InferError::Unsupported {
            feature: "rope scaling type",
            value: other.chars().take(64).collect(),
            supported: "default, linear, llama3",
        }),
    }
}

/// `eos_token_id` is a number or a list of numbers.
pub(super) fn end_tokens(value: Option<&Value>) -> Vec<u32> {
    let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(extra: &str) -> Result<FolderConfig> {
        let json = format!(
            r#"{{"model_type":"llama","hidden_size":64,"intermediate_size":128,
            "num_hidden_layers":2,"num_attention_heads":4,"vocab_size":260,
            "max_position_embeddings":512{extra}}}"#
        );
        translate(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn defaults_follow_the_llama_configuration() {
        let config = parse("").unwrap();
        assert_eq!((config.model.head_dim, config.model.kv_heads), (16, 4));
        assert_eq!(config.model.rope.base, 10_000.0);
        assert!(!config.tied);
        assert!(config.model.validate(FORMAT).is_ok());
    }

    #[test]
    fn a_window_limits_the_context() {
        assert_eq!(
            parse(r#","sliding_window":128"#)
                .unwrap()
                .model
                .context_tokens,
            128
        );
        let unused = r#","sliding_window":128,"use_sliding_window":false"#;
        assert_eq!(parse(unused).unwrap().model.context_tokens, 512);
        assert_eq!(
            parse(r#","sliding_window":null"#)
                .unwrap()
                .model
                .context_tokens,
            512
        );
    }

    #[test]
    fn llama3_scaling_is_read_and_others_are_refused() {
        let llama3 = r#","rope_theta":500000.0,"eos_token_id":[1,2],"rope_scaling":
            {"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
             "original_max_position_embeddings":8192}"#;
        let config = parse(llama3).unwrap();
        assert!(matches!(
            config.model.rope.scaling,
            RopeScaling::Llama3 { factor: 32.0, .. }
        ));
        assert_eq!(config.end_tokens, [1, 2]);
        let message = |extra: &str| parse(extra).unwrap_err().to_string();
        let yarn = message(r#","rope_scaling":{"type":"yarn","factor":4.0}"#);
        assert_eq!(
            yarn,
            "rope scaling type is yarn, supported: default, linear, llama3"
        );
        let missing = message(r#","rope_scaling":{"type":"linear"}"#);
        assert_eq!(missing, "config.json: rope_scaling.factor is missing");
        let act = message(r#","hidden_act":"gelu""#);
        assert_eq!(act, "hidden_act is gelu, supported: silu");
    }

    #[test]
    fn zero_heads_do_not_divide() {
        let json = r#"{"model_type":"llama","hidden_size":64,"intermediate_size":128,
            "num_hidden_layers":2,"num_attention_heads":0,"vocab_size":260,
            "max_position_embeddings":512}"#;
        let config = translate(serde_json::from_str(json).unwrap()).unwrap();
        assert!(config.model.validate(FORMAT).is_err());
    }
}
