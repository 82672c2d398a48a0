//! What a forward pass gives back.

use crate::sampler::argmax;

/// Scores of every vocabulary entry for the token after each evaluated position.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    vocab: usize,
    values: Vec<f32>,
}

impl Logits {
    /// `values` is row major and not empty.
    pub(super) fn new(vocab: usize, values: Vec<f32>) -> Self {
        debug_assert!(vocab > 0 && !values.is_empty() && values.len().is_multiple_of(vocab));
        Self { vocab, values }
    }

    /// Number of vocabulary entries.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Number of positions: 1 from `forward`, one per token from `forward_all`.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab
    }

    /// Scores after position `row` of the evaluated tokens.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        let start = row.checked_mul(self.vocab)?;
        self.values.get(start..start.checked_add(self.vocab)?)
    }

    /// Scores after the last evaluated token.
    pub fn last(&self) -> &[f32] {
        self.values
            .get(self.values.len() - self.vocab..)
            .unwrap_or_default()
    }

    /// The best token after the last evaluated one; the lower id on a tie, `None` if all scores
    /// are `-inf` or NaN.
    pub fn argmax(&self) -> Option<u32> {
        argmax(self.last())
    }
}
