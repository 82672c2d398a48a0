//! The state of a constraint in one generation.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use super::Constraint;
use super::constraint::bad;
use crate::error::{InferError, Result};
use crate::tokenizer::Tokenizer;

/// A tokenizer's vocabulary as the compiler of grammars wants it; made once per engine.
pub(crate) struct Vocabulary {
    factory: ParserFactory,
}

impl Vocabulary {
    /// `vocab` is the model's, which may have more rows than the tokenizer has tokens.
    ///
    /// Cost: a trie over all tokens.
    pub(crate) fn new(tokenizer: &Tokenizer, vocab: usize) -> Result<Self> {
        let failed = |reason: String| bad("vocabulary", reason);
        let Some(&end) = tokenizer.end_tokens().first() else {
            return Err(failed("it has no token that ends a text".to_owned()));
        };
        let count = u32::try_from(vocab).map_err(|e| failed(e.to_string()))?;
        let word = |token: u32| -> Vec<u8> {
            let bytes = tokenizer.token_bytes(token).unwrap_or_default();
            match tokenizer.is_special(token) {
                true => [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat(),
                false => bytes.to_vec(),
            }
        };
        let words: Vec<Vec<u8>> = (0..count).map(word).collect();
        let trie = TokTrie::from(&TokRxInfo::new(count, end), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory =
            ParserFactory::new_simple(&environment).map_err(|e| failed(e.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// Compiles `constraint`.
    pub(crate) fn matcher(&self, constraint: &Constraint) -> Result<Matcher> {
        let parser = self.factory.create_parser(constraint.grammar());
        let inner = llguidance::Matcher::new(parser);
        if let Some(reason) = inner.get_error() {
            let line = reason.lines().next().unwrap_or_default();
            let line = line.chars().take(300).collect();
            return Err(bad(constraint.name(), line));
        }
        Ok(Matcher {
            inner,
            masked: Vec::new(),
        })
    }
}

/// Which tokens may come next.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    masked: Vec<f32>,
}

impl Matcher {
    /// `logits` with `-inf` for every token that may not come next.
    pub(crate) fn mask(&mut self, logits: &[f32]) -> Result<&[f32]> {
        let mask = self.inner.compute_mask_or_eos().map_err(failed)?;
        self.masked.clear();
        self.masked.extend_from_slice(logits);
        for (token, logit) in (0_u32..).zip(&mut self.masked) {
            if !mask.is_allowed(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(&self.masked)
    }

    /// Goes on by `token`.
    pub(crate) fn consume(&mut self, token: u32) -> Result<()> {
        match self.inner.is_stopped() {
            // only the end may follow, and it changes nothing
            true => Ok(()),
            false => self.inner.consume_token(token).map_err(failed),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> InferError {
    let reason = error.to_string();
    let line = reason.lines().next().unwrap_or_default();
    InferError::ConstraintFailed {
        reason: line.chars().take(300).collect(),
    }
}
