//! Speculation: cheap guesses of the next tokens, checked together by the model.
//!
//! The tokens of a request do not change. The model evaluates the last token and all guesses in one
//! call, as generated tokens, so with the same bits as one by one; the request's own sampler then
//! chooses at every position from the model's logits, and the first choice that is not the guess
//! ends the step. A guess is kept with exactly the probability that the model gives it, which is the
//! acceptance rule of Leviathan et al. (2023) for guesses without a distribution of their own.
//!
//! | part | does |
//! |---|---|
//! | [`Speculation`] | says where guesses come from |
//! | `Lookup` | guesses what followed the same tokens before, in prompt and answer |
//! | `Draft` | guesses with a smaller model |
//! | `Controller` | chooses how many, from measured times and kept guesses |

mod config;
mod controller;
mod draft;
mod lookup;
mod speculator;

pub use config::Speculation;
pub(crate) use config::SpeculationSettings;
pub use controller::SpeculationStats;
pub(crate) use speculator::Speculator;
