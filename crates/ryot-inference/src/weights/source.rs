//! One door for weights, whatever file they come from.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::BlockReader;
use crate::error::Result;
use crate::model::ModelConfig;

/// The tensors of a decoder by role, not by file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    TokenEmbedding,
    OutputNorm,
    Output,
    AttentionNorm,
    Query,
    Key,
    Value,
    QueryBias,
    KeyBias,
    ValueBias,
    QueryNorm,
    KeyNorm,
    AttentionOutput,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
}

/// A matrix as it is stored: dense, or in blocks of a quantised type.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    Dense(Tensor),
    Quantised(Arc<QTensor>),
}

/// Where the builder of a model gets its tensors from.
///
/// Layer is `None` for the tensors outside the blocks. Shapes are rows first; every implementation
/// checks them before it reads data.
pub(crate) trait WeightSource {
    /// Whether the tensor is there.
    fn has(&self, role: Role, layer: Option<usize>) -> bool;

    /// A `[rows, columns]` matrix.
    fn matrix(
        &mut self,
        role: Role,
        layer: Option<usize>,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix>;

    /// The blocks of a `[rows, columns]` matrix as they are stored, if the file has them in a type
    /// that `wanted` accepts; all of them are to be read.
    fn blocks(
        &mut self,
        _role: Role,
        _layer: Option<usize>,
        _shape: [usize; 2],
        _wanted: &dyn Fn(GgmlDType) -> bool,
    ) -> Result<Option<BlockReader<'_>>> {
        Ok(None)
    }

    /// A vector in f32.
    fn vector(&mut self, role: Role, layer: Option<usize>, len: usize) -> Result<Tensor>;

    /// The device that tensors are put on.
    fn device(&self) -> &Device;

    /// Fails when a tensor is left that the architecture has no place for; called once at the end.
    fn finish(&mut self, config: &ModelConfig) -> Result<Totals>;
}

/// What was read in all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Totals {
    /// Numbers in all tensors.
    pub(crate) parameters: u64,
    /// Bytes of all tensors as stored.
    pub(crate) weight_bytes: u64,
    /// The type that holds most bytes.
    pub(crate) weight_type: String,
    /// Hash of names, types, shapes and bytes.
    pub(crate) fingerprint: u128,
}
