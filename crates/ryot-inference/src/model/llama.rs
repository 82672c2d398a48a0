//! The decoder of the Llama family, plain: one candle operation per step of the paper.

use std::sync::Arc;

use candle_core::quantized::QMatMul;
use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};

use super::config::{Architecture, ModelConfig};
use super::rope::Rope;
use super::state::{LayerKv, State, Store};
use crate::error::{InferError, Result};
use crate::weights::{Matrix, Role, WeightSource};

/// Weights of the whole decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    embedding: QMatMul,
    blocks: Vec<Block>,
    output_norm: Tensor,
    output: QMatMul,
    rope: Rope,
    config: ModelConfig,
    device: Device,
}

#[derive(Debug)]
struct Block {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    attention_output: QMatMul,
    feed_forward_norm: Tensor,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

#[derive(Debug)]
struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let y = self.weight.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// What a call gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Logits after the last token of each sequence.
    Last,
    /// Logits after every token.
    All,
    /// The normed hidden state of every token.
    Hidden,
}

impl Decoder {
    /// Reads every tensor of the architecture from `source`.
    pub(super) fn build(config: &ModelConfig, source: &mut dyn WeightSource) -> Result<Self> {
        let device = source.device().clone();
        let table = source.matrix(Role::TokenEmbedding, None, config.vocab, config.hidden)?;
        let embedding = multiplier(table)?;
        let output = if source.has(Role::Output, None) {
            multiplier(source.matrix(Role::Output, None, config.vocab, config.hidden)?)?
        } else {
            embedding.clone()
        };
        let output_norm = source.vector(Role::OutputNorm, None, config.hidden)?;
        let blocks = (0..config.layers)
            .map(|layer| Block::build(config, source, layer))
            .collect::<Result<_>>()?;
        let rope = Rope::new(&config.rope, config.head_dim);
        Ok(Self {
            embedding,
            blocks,
            output_norm,
            output,
            rope,
            config: config.clone(),
            device,
        })
    }

    /// Evaluates `tokens` after those in `state`; logits are `[rows, vocab]` f32 on the host.
    ///
    /// The caller has checked ids and room. Keys and values are written in place; the state's
    /// length changes only when every layer succeeded, so a failure leaves the state as it was.
    pub(super) fn forward(
        &self,
        state: &mut State,
        tokens: &[u32],
        rows: Rows,
    ) -> Result<Vec<f32>> {
        state.reserve(tokens.len())?;
        let Store::Candle(kv) = &state.store else {
            return Err(InferError::ForeignState);
        };
        let run = || -> CandleResult<Vec<f32>> {
            let held = state.len();
            let step = Step::new(&self.rope, held, tokens.len(), &self.device)?;
            let ids = Tensor::new(tokens, &self.device)?;
            let mut x = self.embedding.embedding(&ids)?.to_dtype(DType::F32)?;
            for (block, kv) in self.blocks.iter().zip(&kv.layers) {
                x = block.forward(&x, kv, &step, &self.config)?;
            }
            if rows == Rows::Last {
                x = x.narrow(0, tokens.len() - 1, 1)?;
            }
            let x = rms_norm(&x, &self.output_norm, &self.config)?;
            if rows == Rows::Hidden {
                return x.flatten_all()?.to_vec1::<f32>();
            }
            self.output.forward(&x)?.flatten_all()?.to_vec1::<f32>()
        };
        let logits = run().map_err(InferError::backend("forward"))?;
        state.tokens.extend_from_slice(tokens);
        Ok(logits)
    }
}

/// What all blocks of one call share.
struct Step<'a> {
    rope: &'a Rope,
    cos: Tensor,
    sin: Tensor,
    mask: Option<Tensor>,
    held: usize,
    added: usize,
}

impl<'a> Step<'a> {
    fn new(rope: &'a Rope, held: usize, added: usize, device: &Device) -> CandleResult<Self> {
        let (cos, sin) = rope.angles(held, added, device)?;
        let mask = if added > 1 {
            Some(causal_mask(held, added, device)?)
        } else {
            None
        };
        Ok(Self {
            rope,
            cos,
            sin,
            mask,
            held,
            added,
        })
    }
}

/// `[added, held + added]`: 0 where a token may look, `-inf` where it may not.
fn causal_mask(held: usize, added: usize, device: &Device) -> CandleResult<Tensor> {
    let total = held + added;
    let mut mask = vec![0f32; added * total];
    for (row, line) in mask.chunks_exact_mut(total).enumerate() {
        line.iter_mut()
            .skip(held + row + 1)
            .for_each(|m| *m = f32::NEG_INFINITY);
    }
    Tensor::from_vec(mask, (added, total), device)
}

impl Block {
    fn build(config: &ModelConfig, source: &mut dyn WeightSource, layer: usize) -> Result<Self> {
        let at = Some(layer);
        let ModelConfig {
            hidden,
            feed_forward,
            head_dim,
            ..
        } = *config;
        let (query_rows, kv_rows) = (config.heads * head_dim, config.kv_heads * head_dim);
        let head_norm = |source: &mut dyn WeightSource, role| match config.architecture {
            Architecture::Qwen3 => source.vector(role, at, head_dim).map(Some),
            Architecture::Llama | Architecture::Qwen2 => Ok(None),
        };
        Ok(Self {
            attention_norm: source.vector(Role::AttentionNorm, at, hidden)?,
            query: linear(
                source,
                config,
                [Role::Query, Role::QueryBias],
                at,
                query_rows,
            )?,
            key: linear(source, config, [Role::Key, Role::KeyBias], at, kv_rows)?,
            value: linear(source, config, [Role::Value, Role::ValueBias], at, kv_rows)?,
            query_norm: head_norm(source, Role::QueryNorm)?,
            key_norm: head_norm(source, Role::KeyNorm)?,
            attention_output: multiplier(source.matrix(
                Role::AttentionOutput,
                at,
                hidden,
                query_rows,
            )?)?,
            feed_forward_norm: source.vector(Role::FeedForwardNorm, at, hidden)?,
            gate: multiplier(source.matrix(Role::Gate, at, feed_forward, hidden)?)?,
            up: multiplier(source.matrix(Role::Up, at, feed_forward, hidden)?)?,
            down: multiplier(source.matrix(Role::Down, at, hidden, feed_forward)?)?,
        })
    }

    /// One transformer block on `x` `[added, hidden]`.
    fn forward(
        &self,
        x: &Tensor,
        kv: &LayerKv,
        step: &Step<'_>,
        config: &ModelConfig,
    ) -> CandleResult<Tensor> {
        let normed = rms_norm(x, &self.attention_norm, config)?;
        let x = (x + self.attention(&normed, kv, step, config)?)?;
        let normed = rms_norm(&x, &self.feed_forward_norm, config)?;
        let gated = candle_nn::ops::silu(&self.gate.forward(&normed)?)?;
        let inner = (gated * self.up.forward(&normed)?)?;
        x + self.down.forward(&inner)?
    }

    /// Causal attention with grouped keys and values.
    ///
    /// Query heads that share a key head are laid side by side as rows of one matrix product, so
    /// keys and values are never repeated in memory.
    fn attention(
        &self,
        x: &Tensor,
        kv: &LayerKv,
        step: &Step<'_>,
        config: &ModelConfig,
    ) -> CandleResult<Tensor> {
        let ModelConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = *config;
        let (added, total) = (step.added, step.held + step.added);
        let per_head = |y: Tensor, heads: usize, norm: Option<&Tensor>| -> CandleResult<Tensor> {
            let y = y.reshape((added, heads, head_dim))?;
            let y = match norm {
                Some(norm) => rms_norm(&y, norm, config)?,
                None => y,
            };
            y.transpose(0, 1)?.unsqueeze(0)?.contiguous()
        };
        let q = per_head(self.query.forward(x)?, heads, self.query_norm.as_ref())?;
        let k = per_head(self.key.forward(x)?, kv_heads, self.key_norm.as_ref())?;
        let v = per_head(self.value.forward(x)?, kv_heads, None)?;
        let q = step.rope.apply(&q, &step.cos, &step.sin)?;
        let k = step.rope.apply(&k, &step.cos, &step.sin)?;
        kv.keys.slice_set(&k, 2, step.held)?;
        kv.values.slice_set(&v, 2, step.held)?;
        let keys = kv.keys.narrow(2, 0, total)?;
        let values = kv.values.narrow(2, 0, total)?;

        let group = heads / kv_heads;
        let q = q.reshape((1, kv_heads, group * added, head_dim))?;
        let scores = (q.matmul(&keys.t()?)? * (1.0 / (head_dim as f64).sqrt()))?;
        let scores = match &step.mask {
            Some(mask) => scores
                .reshape((kv_heads, group, added, total))?
                .broadcast_add(mask)?
                .reshape((1, kv_heads, group * added, total))?,
            None => scores,
        };
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let mixed = weights.matmul(&values)?.reshape((heads, added, head_dim))?;
        let mixed = mixed
            .transpose(0, 1)?
            .contiguous()?
            .reshape((added, heads * head_dim))?;
        self.attention_output.forward(&mixed)
    }
}

/// A projection of the residual stream; Qwen 2 must have biases, others may.
fn linear(
    source: &mut dyn WeightSource,
    config: &ModelConfig,
    [weight, bias]: [Role; 2],
    layer: Option<usize>,
    rows: usize,
) -> Result<Linear> {
    let weight = multiplier(source.matrix(weight, layer, rows, config.hidden)?)?;
    let biased = config.architecture == Architecture::Qwen2 || source.has(bias, layer);
    let bias = if biased {
        Some(source.vector(bias, layer, rows)?)
    } else {
        None
    };
    Ok(Linear { weight, bias })
}

fn multiplier(matrix: Matrix) -> Result<QMatMul> {
    match matrix {
        Matrix::Dense(tensor) => Ok(QMatMul::Tensor(tensor)),
        Matrix::Quantised(blocks) => {
            QMatMul::from_arc(Arc::clone(&blocks)).map_err(InferError::backend("prepare matrix"))
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "candle takes the epsilon as f32"
)]
fn rms_norm(x: &Tensor, weight: &Tensor, config: &ModelConfig) -> CandleResult<Tensor> {
    candle_nn::ops::rms_norm(&x.contiguous()?, weight, config.rms_eps as f32)
}
