//! Vectors for texts: the last hidden states of a decoder, pooled.

mod config;
mod embedder;
mod pooling;

pub use config::{EmbedConfig, Pooling};
pub use embedder::Embedder;
