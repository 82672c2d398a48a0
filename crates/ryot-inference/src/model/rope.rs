//! Rotary position embedding: frequencies once per model, cosines and sines per call.

use std::f64::consts::TAU;

use candle_core::{Device, Result, Tensor};

use super::config::{RopeConfig, RopePairs, RopeScaling};
use crate::cpu::RopeTable;

/// Angles per position of each coupled pair.
///
/// # Source
/// Su et al., "RoFormer", 2021; the Llama 3 ramp as in the model's reference implementation.
/// Angles are computed in f64 and only their cosine and sine are rounded, so long positions do
/// not lose bits as they do where the angle itself is an f32.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    frequencies: Vec<f64>,
    pairs: RopePairs,
}

impl Rope {
    pub(crate) fn new(config: &RopeConfig, head_dim: usize) -> Self {
        let frequencies = (0..head_dim / 2)
            .map(|i| config.base.powf(-((2 * i) as f64) / head_dim as f64))
            .enumerate()
            .map(|(i, f)| scaled(f, i, &config.scaling))
            .collect();
        Self {
            frequencies,
            pairs: config.pairs,
        }
    }

    /// The angles as the processor's own decoder takes them.
    pub(crate) fn table(&self) -> RopeTable {
        RopeTable {
            frequencies: self.frequencies.clone(),
            pairs: self.pairs,
        }
    }

    /// Cosines and sines for `count` positions from `start`, each `[count, head_dim / 2]` f32.
    pub(crate) fn angles(
        &self,
        start: usize,
        count: usize,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let n = self.frequencies.len();
        let mut cos = Vec::with_capacity(count * n);
        let mut sin = Vec::with_capacity(count * n);
        for position in start..start + count {
            for f in &self.frequencies {
                let (s, c) = (position as f64 * f).sin_cos();
                #[expect(clippy::cast_possible_truncation, reason = "the tables are f32")]
                {
                    cos.push(c as f32);
                    sin.push(s as f32);
                }
            }
        }
        let cos = Tensor::from_vec(cos, (count, n), device)?;
        let sin = Tensor::from_vec(sin, (count, n), device)?;
        Ok((cos, sin))
    }

    /// Rotates `x` `[1, heads, tokens, head_dim]`, contiguous.
    pub(crate) fn apply(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        match self.pairs {
            RopePairs::Adjacent => candle_nn::rotary_emb::rope_i(x, cos, sin),
            RopePairs::Halves => candle_nn::rotary_emb::rope(x, cos, sin),
        }
    }
}

fn scaled(frequency: f64, index: usize, scaling: &RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear(factor) => frequency / factor,
        RopeScaling::PerFrequency(factors) => {
            frequency / factors.get(index).copied().map_or(1.0, f64::from)
        }
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => {
            let wavelength = TAU / frequency;
            if wavelength < original_context / high_freq_factor {
                frequency
            } else if wavelength > original_context / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (original_context / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}
