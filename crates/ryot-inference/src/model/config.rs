//! Dimensions of a model, checked once.

use crate::error::{InferError, Result};

/// The families that run here; they differ in a few optional steps of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// Llama 2 and 3, SmolLM, Mistral (up to its window).
    Llama,
    /// Qwen 2 and 2.5: biases on query, key and value.
    Qwen2,
    /// Qwen 3: norms on query and key, head size independent of the width.
    Qwen3,
}

impl Architecture {
    /// Name as in GGUF's `general.architecture`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// Which two numbers of a head a rotation couples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RopePairs {
    /// `(2i, 2i + 1)`: GGUF files of architecture llama.
    Adjacent,
    /// `(i, i + d/2)`: Hugging Face files, and GGUF files of the other architectures.
    Halves,
}

/// Rotary position embedding: base and per-frequency divisors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RopeConfig {
    pub(crate) base: f64,
    pub(crate) pairs: RopePairs,
    pub(crate) scaling: RopeScaling,
}

/// How positions beyond the trained length are squeezed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    /// Every frequency divided by the factor.
    Linear(f64),
    /// Llama 3.1: low frequencies divided, a ramp in between.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_context: f64,
    },
    /// Divisors stored in the file (`rope_freqs.weight`), one per frequency.
    PerFrequency(Vec<f32>),
}

/// Dimensions of a decoder; every field is validated by [`ModelConfig::validate`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelConfig {
    pub(crate) architecture: Architecture,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    pub(crate) context_tokens: usize,
    pub(crate) rms_eps: f64,
    pub(crate) rope: RopeConfig,
}

/// Largest legal dimensions; past every published model, small enough that products fit `u64`.
const LAYERS_MAX: usize = 1024;
const WIDTH_MAX: usize = 1 << 20;
const HEADS_MAX: usize = 4096;
const VOCAB_MAX: usize = 1 << 24;
const CONTEXT_MAX: usize = 1 << 27;

impl ModelConfig {
    /// Checks ranges and divisibility; `format` names the source in errors.
    pub(crate) fn validate(&self, format: &'static str) -> Result<()> {
        let bad = |field: &str, value: String, allowed: String| InferError::BadField {
            format,
            field: field.to_owned(),
            value,
            allowed,
        };
        for (field, value, max) in [
            ("layer count", self.layers, LAYERS_MAX),
            ("hidden size", self.hidden, WIDTH_MAX),
            ("feed-forward size", self.feed_forward, WIDTH_MAX),
            ("head count", self.heads, HEADS_MAX),
            ("kv head count", self.kv_heads, HEADS_MAX),
            ("head size", self.head_dim, HEADS_MAX),
            ("vocabulary size", self.vocab, VOCAB_MAX),
            ("context length", self.context_tokens, CONTEXT_MAX),
        ] {
            if value == 0 || value > max {
                return Err(bad(field, value.to_string(), format!("1 to {max}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let allowed = format!("a multiple of the {} kv heads", self.kv_heads);
            return Err(bad("head count", self.heads.to_string(), allowed));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(bad(
                "head size",
                self.head_dim.to_string(),
                "an even number".into(),
            ));
        }
        if !(self.rms_eps > 0.0 && self.rms_eps < 1.0) {
            return Err(bad(
                "rms norm epsilon",
                self.rms_eps.to_string(),
                "0 to 1".into(),
            ));
        }
        if !(self.rope.base > 1.0 && self.rope.base.is_finite()) {
            return Err(bad(
                "rope base",
                self.rope.base.to_string(),
                "above 1, finite".into(),
            ));
        }
        self.rope.scaling.validate(format, self.head_dim / 2)
    }

    /// What decides the numbers that the model computes, in one line, as it enters the fingerprint.
    /// The context length does not: keys and values are the same whatever room there is.
    pub(crate) fn canonical(&self) -> String {
        let Self {
            architecture,
            layers,
            hidden,
            feed_forward,
            heads,
            kv_heads,
            ..
        } = self;
        let Self {
            head_dim,
            vocab,
            rms_eps,
            rope,
            ..
        } = self;
        let pairs = match rope.pairs {
            RopePairs::Adjacent => "adjacent",
            RopePairs::Halves => "halves",
        };
        let scaling = match &rope.scaling {
            RopeScaling::None => "none".to_owned(),
            RopeScaling::Linear(factor) => format!("linear {factor}"),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                format!("llama3 {factor} {low_freq_factor} {high_freq_factor} {original_context}")
            }
            RopeScaling::PerFrequency(factors) => format!("factors {factors:?}"),
        };
        format!(
            "{} {layers} {hidden} {feed_forward} {heads} {kv_heads} {head_dim} {vocab} {rms_eps} \
             rope {} {pairs} {scaling}",
            architecture.name(),
            rope.base
        )
    }
}

impl RopeScaling {
    fn validate(&self, format: &'static str, frequencies: usize) -> Result<()> {
        let bad = |field: &str, value: String, allowed: &str| {
            Err(InferError::BadField {
                format,
                field: field.to_owned(),
                value,
                allowed: allowed.to_owned(),
            })
        };
        let positive = |v: f64| v > 0.0 && v.is_finite();
        match self {
            Self::None => Ok(()),
            Self::Linear(factor) if positive(*factor) => Ok(()),
            Self::Linear(factor) => bad("rope factor", factor.to_string(), "above 0, finite"),
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let all = [
                    *factor,
                    *low_freq_factor,
                    *high_freq_factor,
                    *original_context,
                ];
                if let Some(v) = all.iter().find(|v| !positive(**v)) {
                    return bad("rope scaling value", v.to_string(), "above 0, finite");
                }
                if high_freq_factor <= low_freq_factor {
                    let value = high_freq_factor.to_string();
                    return bad("high_freq_factor", value, "above low_freq_factor");
                }
                Ok(())
            }
            Self::PerFrequency(factors) => {
                if factors.len() != frequencies {
                    let value = format!("{} values", factors.len());
                    return bad(
                        "rope_freqs.weight",
                        value,
                        "one value per two numbers of a head",
                    );
                }
                match factors.iter().find(|f| !positive(f64::from(**f))) {
                    Some(f) => bad("rope_freqs.weight", f.to_string(), "above 0, finite"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::toy::toy_config;

    #[test]
    fn wrong_dimensions_are_named() {
        type Change = fn(&mut ModelConfig);
        let cases: [(Change, &str); 7] = [
            (|c| c.layers = 0, "layer count"),
            (|c| c.kv_heads = 3, "head count"),
            (|c| c.head_dim = 15, "head size"),
            (|c| c.vocab = usize::MAX, "vocabulary size"),
            (|c| c.rms_eps = f64::NAN, "rms norm epsilon"),
            (|c| c.rope.base = 0.0, "rope base"),
            (
                |c| c.rope.scaling = RopeScaling::PerFrequency(vec![1.0]),
                "rope_freqs.weight",
            ),
        ];
        assert!(toy_config().validate("test").is_ok());
        for (change, field) in cases {
            let mut config = toy_config();
            change(&mut config);
            let message = config.validate("test").unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("test: {field} is")),
                "{message}"
            );
        }
    }
}
