//! Local inference of Llama-architecture models: own kernels on the processor, candle elsewhere.
//!
//! # Layers
//! | layer | type | for |
//! |---|---|---|
//! | server | [`Server`], [`Ticket`], [`PieceStream`] | many requests in one batch |
//! | engine | [`Engine`], [`Request`], [`Generation`] | text in, streamed text out |
//! | embedder | [`Embedder`] | texts in, vectors out |
//! | model | [`Model`], [`State`], [`Logits`] | `(state, tokens) -> (state, logits)` for other engines |
//! | keys and values | [`KvState`], [`PrefixStore`] | context computed once, kept and moved as bytes |
//!
//! ```
//! use ryot_inference::{Engine, EngineConfig, Model, Request, Sampling};
//! # fn main() -> Result<(), ryot_inference::InferError> {
//! let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
//! let request = Request::new("hello").max_tokens(16).sampling(Sampling::random(7).top_k(40));
//! let completion = engine.generate(request)?.finish()?;
//! println!("{} ({:?})", completion.text, completion.finish_reason);
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

pub mod cascade;
mod chat;
#[allow(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "vector kernels, and memory that threads share"
)]
mod cpu;
mod embed;
mod engine;
mod error;
mod grammar;
mod kv;
mod model;
mod sampler;
mod speculate;
mod tokenizer;
mod weights;

pub use chat::Message;
pub use embed::{EmbedConfig, Embedder, Pooling};
pub use engine::{
    CancelToken, Completion, Engine, EngineConfig, FinishReason, Generation, Metrics, Piece,
    PieceStream, Prompt, Request, ServeConfig, ServeStats, Server, Ticket,
};
pub use error::{BoxError, InferError, Result};
#[cfg(feature = "grammar")]
pub use grammar::Constraint;
pub use grammar::ToolCall;
pub use kv::{
    BlockKey, KvBlock, KvElement, KvShape, KvState, KvValues, KvWindow, MemoryPrefixStore,
    PrefixStore,
};
pub use model::{Architecture, Logits, Model, ModelInfo, State};
pub use sampler::{Sampler, Sampling};
pub use speculate::{Speculation, SpeculationStats};
pub use tokenizer::{EncodeOptions, StreamDecoder, Tokenizer};
pub use weights::{Backend, LoadOptions, gguf};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
