//! Choosing the next token from logits.

mod candidates;
mod penalty;
mod rng;
mod sample;
mod sampling;

pub(crate) use rng::SplitMix64;
pub use sample::Sampler;
pub(crate) use sample::{argmax, log_probability};
pub use sampling::Sampling;
