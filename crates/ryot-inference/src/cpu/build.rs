//! A decoder out of the tensors of a file.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use super::decoder::{CpuBlock, CpuDecoder};
use super::dense::DenseMatrix;
use super::matrix::{PackMemory, PackedMatrix};
use super::pack::Stored;
use super::pool::Pool;
use super::rope::RopeTable;
use super::weights::Weights;
use crate::error::{InferError, Result};
use crate::kv::KvElement;
use crate::model::{Architecture, ModelConfig};
use crate::weights::{Matrix, Role, WeightSource};

/// Reads every tensor of the architecture from `source`; quantised ones are repacked as they are
/// read. Keys and values are kept as `element`, by default as f32 where no matrix is quantised.
pub(crate) fn build(
    config: &ModelConfig,
    source: &mut dyn WeightSource,
    rope: RopeTable,
    pool: Arc<Pool>,
    element: Option<KvElement>,
) -> Result<CpuDecoder> {
    let mut builder = Builder {
        source,
        pool,
        memory: PackMemory::default(),
    };
    let table = (Role::TokenEmbedding, None, [config.vocab, config.hidden]);
    let embedding = builder.matrix(table)?;
    let output = if builder.source.has(Role::Output, None) {
        builder.matrix((Role::Output, None, [config.vocab, config.hidden]))?
    } else {
        embedding.clone()
    };
    let output_norm = builder.vector(Role::OutputNorm, None, config.hidden)?;
    let blocks = (0..config.layers)
        .map(|layer| builder.block(config, layer))
        .collect::<Result<Vec<_>>>()?;
    let is_rounded = |block: &CpuBlock| matches!(block.key, Weights::Packed(_));
    let element = element.unwrap_or(if blocks.iter().any(is_rounded) {
        KvElement::Bf16
    } else {
        KvElement::F32
    });
    let Builder { pool, .. } = builder;
    Ok(CpuDecoder::new(
        config.clone(),
        embedding,
        blocks,
        output_norm,
        output,
        rope,
        pool,
        element,
    ))
}

struct Builder<'a> {
    source: &'a mut dyn WeightSource,
    pool: Arc<Pool>,
    memory: PackMemory,
}

impl Builder<'_> {
    fn block(&mut self, config: &ModelConfig, layer: usize) -> Result<CpuBlock> {
        let at = Some(layer);
        let ModelConfig {
            hidden,
            feed_forward,
            head_dim,
            ..
        } = *config;
        let (q, kv) = (config.heads * head_dim, config.kv_heads * head_dim);
        let attention_norm = self.vector(Role::AttentionNorm, at, hidden)?;
        let query = self.matrix((Role::Query, at, [q, hidden]))?;
        let query_bias = self.bias(config, Role::QueryBias, at, q)?;
        let key = self.matrix((Role::Key, at, [kv, hidden]))?;
        let key_bias = self.bias(config, Role::KeyBias, at, kv)?;
        let value = self.matrix((Role::Value, at, [kv, hidden]))?;
        let value_bias = self.bias(config, Role::ValueBias, at, kv)?;
        let mut head_norm = |role| match config.architecture {
            Architecture::Qwen3 => self.vector(role, at, head_dim).map(Some),
            Architecture::Llama | Architecture::Qwen2 => Ok(None),
        };
        Ok(CpuBlock {
            attention_norm,
            query,
            key,
            value,
            biases: [query_bias, key_bias, value_bias],
            query_norm: head_norm(Role::QueryNorm)?,
            key_norm: head_norm(Role::KeyNorm)?,
            attention_output: self.matrix((Role::AttentionOutput, at, [hidden, q]))?,
            feed_forward_norm: self.vector(Role::FeedForwardNorm, at, hidden)?,
            gate: self.matrix((Role::Gate, at, [feed_forward, hidden]))?,
            up: self.matrix((Role::Up, at, [feed_forward, hidden]))?,
            down: self.matrix((Role::Down, at, [hidden, feed_forward]))?,
        })
    }

    /// Qwen 2 must have biases, others may.
    fn bias(
        &mut self,
        config: &ModelConfig,
        role: Role,
        layer: Option<usize>,
        len: usize,
    ) -> Result<Option<Vec<f32>>> {
        if config.architecture == Architecture::Qwen2 || self.source.has(role, layer) {
            self.vector(role, layer, len).map(Some)
        } else {
            Ok(None)
        }
    }

    fn vector(&mut self, role: Role, layer: Option<usize>, len: usize) -> Result<Vec<f32>> {
        let tensor = self.source.vector(role, layer, len)?;
        numbers(&tensor)
    }

    fn matrix(
        &mut self,
        (role, layer, [rows, columns]): (Role, Option<usize>, [usize; 2]),
    ) -> Result<Weights> {
        let dense = |tensor: &Tensor| {
            let values = numbers(tensor)?;
            let matrix = DenseMatrix::pack(rows, columns, &values);
            Ok(Weights::Dense(Arc::new(matrix)))
        };
        let shape = [rows, columns];
        let wanted = |kind| stored(kind).is_some();
        if let Some(mut blocks) = self.source.blocks(role, layer, shape, &wanted)?
            && let Some(stored) = stored(blocks.kind())
        {
            let read = &mut |buffer: &mut [u8]| blocks.fill(buffer);
            let matrix = PackedMatrix::pack(stored, shape, &self.pool, &mut self.memory, read)?;
            return Ok(Weights::Packed(Arc::new(matrix)));
        }
        match self.source.matrix(role, layer, rows, columns)? {
            Matrix::Dense(tensor) => dense(&tensor),
            Matrix::Quantised(blocks) => {
                let widened = blocks.dequantize(&Device::Cpu);
                dense(&widened.map_err(InferError::backend("widen tensor"))?)
            }
        }
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor
        .to_dtype(DType::F32)
        .and_then(|t| t.flatten_all())
        .and_then(|t| t.to_vec1())
        .map_err(InferError::backend("read tensor"))
}

/// The types that are computed with as they are; others are widened to f32.
fn stored(kind: GgmlDType) -> Option<Stored> {
    Some(match kind {
        GgmlDType::Q8_0 => Stored::Q8_0,
        GgmlDType::Q4_0 => Stored::Q4_0,
        GgmlDType::Q4_1 => Stored::Q4_1,
        GgmlDType::Q5_0 => Stored::Q5_0,
        GgmlDType::Q5_1 => Stored::Q5_1,
        GgmlDType::Q3K => Stored::Q3K,
        GgmlDType::Q4K => Stored::Q4K,
        GgmlDType::Q5K => Stored::Q5K,
        GgmlDType::Q6K => Stored::Q6K,
        _ => return None,
    })
}
