//! Settings of an embedder.

use crate::error::{InferError, Result};

/// How the hidden states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean. For models that were trained to write text, and most embedders.
    #[default]
    Mean,
    /// That of the last token, which has seen all others. For decoders trained to embed this way.
    Last,
}

/// Settings of an [`Embedder`](crate::Embedder), checked once by
/// [`Embedder::new`](crate::Embedder::new).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EmbedConfig {
    pooling: Pooling,
    keep_length: bool,
    text_tokens_max: Option<usize>,
    batch_tokens: Option<usize>,
}

/// Checked settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) pooling: Pooling,
    pub(super) normalise: bool,
    pub(super) text_tokens_max: usize,
    pub(super) batch_tokens: usize,
}

const BATCH_TOKENS_DEFAULT: usize = 512;
const BATCH_TOKENS_MAX: usize = 8192;

impl EmbedConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How hidden states become one vector. Default [`Pooling::Mean`].
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Whether vectors are scaled to the length one, so that the dot product of two is the cosine of
    /// their angle. Default true. A vector of zeros stays so.
    pub fn normalise(mut self, normalise: bool) -> Self {
        self.keep_length = !normalise;
        self
    }

    /// Tokens that a text may have; longer ones are refused, not cut. Default and upper limit: the
    /// model's context; at least 1.
    pub fn text_tokens_max(mut self, tokens: usize) -> Self {
        self.text_tokens_max = Some(tokens);
        self
    }

    /// Tokens that are evaluated at once, of one text or of several. Default 512, legal 1 to 8,192.
    ///
    /// More use the processor better, and take more memory: keys and values of all of them, and
    /// some ten times their hidden states.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens);
        self
    }

    pub(super) fn validate(self, context_tokens: usize) -> Result<Settings> {
        let check = |name, value: usize, limit: usize| {
            if (1..=limit).contains(&value) {
                return Ok(value);
            }
            let allowed = format!("1 to {limit} tokens");
            Err(InferError::parameter(name, value, allowed))
        };
        let text = self.text_tokens_max.unwrap_or(context_tokens);
        let batch = self.batch_tokens.unwrap_or(BATCH_TOKENS_DEFAULT);
        Ok(Settings {
            pooling: self.pooling,
            normalise: !self.keep_length,
            text_tokens_max: check("text_tokens_max", text, context_tokens)?,
            batch_tokens: check("batch_tokens", batch, BATCH_TOKENS_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        for (config, expected) in [
            (
                EmbedConfig::new().batch_tokens(0),
                "batch_tokens is 0, allowed: 1 to 8192 tokens",
            ),
            (
                EmbedConfig::new().text_tokens_max(1025),
                "text_tokens_max is 1025, allowed: 1 to 1024 tokens",
            ),
        ] {
            let error = config.validate(1024).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
