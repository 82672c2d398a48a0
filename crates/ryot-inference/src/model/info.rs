//! What a model is, for people and logs.

use super::config::Architecture;
use crate::kv::KvElement;

/// Facts about a loaded model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Name from the file, or the file's own name.
    pub name: String,
    /// Whether the weights come from training; `false` only for the toy model.
    pub trained: bool,
    /// Family of the decoder.
    pub architecture: Architecture,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward part.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Tokens the context can hold.
    pub context_tokens: usize,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors as stored in the file.
    pub weight_bytes: u64,
    /// The number format that holds most of the bytes, for example `Q4_K`.
    pub weight_type: String,
    /// How states keep keys and values.
    pub kv_element: KvElement,
    /// Hash of configuration, weights and [`Self::kv_element`]; KV state of one model is refused by another.
    pub fingerprint: u128,
}
