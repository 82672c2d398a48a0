//! What comes out of a generation.

use super::{FinishReason, Metrics};

/// A generated token with the text that it completes.
///
/// Every generated token gives one piece, in order. Its text is empty where a character is not
/// complete yet, and never contains a stop string.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Piece {
    /// The token.
    pub token: u32,
    /// The text that the token completes.
    pub text: String,
    /// Natural log probability of the token; present if the request asked for it.
    pub logprob: Option<f32>,
}

/// The whole of a finished generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// The generated text.
    pub text: String,
    /// The generated tokens, without an end-of-sequence token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub metrics: Metrics,
}
