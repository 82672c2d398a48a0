//! A tiny seeded model in memory: real code paths, no file, no training.

use candle_core::{Device, Tensor};
use xxhash_rust::xxh3::Xxh3;

use super::ModelConfig;
use super::config::{Architecture, RopeConfig, RopePairs, RopeScaling};
use crate::error::{InferError, Result};
use crate::sampler::SplitMix64;
use crate::weights::{Matrix, Role, Totals, WeightSource};

/// Template of the toy model's chats.
pub(crate) const TOY_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
    <|turn|>{{ message.role }}\n{{ message.content }}<|end|>{% endfor %}\
    {% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";

/// Special tokens of the toy model, from id 256 on.
pub(crate) const TOY_SPECIALS: [&str; 4] = ["<s>", "</s>", "<|turn|>", "<|end|>"];

/// Dimensions of the toy: 2 layers, width 64, 4 heads over 2 key heads, context 1,024.
pub(crate) fn toy_config() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Llama,
        layers: 2,
        hidden: 64,
        feed_forward: 128,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        vocab: 256 + TOY_SPECIALS.len(),
        context_tokens: 1024,
        rms_eps: 1e-5,
        rope: RopeConfig {
            base: 10_000.0,
            pairs: RopePairs::Adjacent,
            scaling: RopeScaling::None,
        },
    }
}

/// Makes weights uniform in `+-sqrt(3 / columns)` from SplitMix64, exact on every platform.
pub(crate) struct ToyWeights {
    rng: SplitMix64,
    hash: Xxh3,
    parameters: u64,
    device: Device,
}

impl ToyWeights {
    pub(crate) fn new(seed: u64, device: &Device) -> Self {
        Self {
            rng: SplitMix64::new(seed),
            hash: Xxh3::new(),
            parameters: 0,
            device: device.clone(),
        }
    }

    fn uniform(&mut self, count: usize, centre: f64, half_width: f64) -> Vec<f32> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let value = centre + half_width * (2.0 * self.rng.next_unit() - 1.0);
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let value = value as f32;
            self.hash.update(&value.to_le_bytes());
            values.push(value);
        }
        self.parameters += count as u64;
        values
    }
}

impl WeightSource for ToyWeights {
    fn has(&self, role: Role, _layer: Option<usize>) -> bool {
        role == Role::Output
    }

    fn matrix(
        &mut self,
        role: Role,
        _layer: Option<usize>,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix> {
        // a wider output makes the best token stand out from the others
        let gain = if role == Role::Output { 3.0 } else { 1.0 };
        let values = self.uniform(rows * columns, 0.0, gain * (3.0 / columns as f64).sqrt());
        Tensor::from_vec(values, (rows, columns), &self.device)
            .map(Matrix::Dense)
            .map_err(InferError::backend("make toy weights"))
    }

    fn vector(&mut self, _role: Role, _layer: Option<usize>, len: usize) -> Result<Tensor> {
        let values = self.uniform(len, 1.0, 0.1);
        Tensor::from_vec(values, len, &self.device).map_err(InferError::backend("make toy weights"))
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn finish(&mut self, config: &ModelConfig) -> Result<Totals> {
        self.hash.update(config.canonical().as_bytes());
        Ok(Totals {
            parameters: self.parameters,
            weight_bytes: self.parameters * 4,
            weight_type: "F32".to_owned(),
            fingerprint: self.hash.digest128(),
        })
    }
}
