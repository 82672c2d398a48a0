//! Guesses of a smaller model.

use crate::error::Result;
use crate::model::{Model, State};

/// A draft model and its state for one generation.
pub(super) struct Draft {
    model: Model,
    state: State,
}

impl Draft {
    pub(super) fn new(model: Model) -> Self {
        let state = model.new_state();
        Self { model, state }
    }

    /// The `count` tokens that the draft takes for the most probable after `tokens`, fewer where
    /// its context ends. `tokens` goes on from what was kept of the guesses before.
    pub(super) fn guess(&mut self, tokens: &[u32], count: usize) -> Result<Vec<u32>> {
        let room = self
            .model
            .info()
            .context_tokens
            .saturating_sub(tokens.len());
        let pairs = self.state.tokens().iter().zip(tokens);
        let common = pairs.take_while(|(a, b)| a == b).count();
        // the last token is always evaluated: its logits are what is asked for
        self.state
            .truncate(common.min(tokens.len().saturating_sub(1)));
        let mut guesses = Vec::with_capacity(count.min(room));
        let mut new = tokens.get(self.state.len()..).unwrap_or_default().to_vec();
        while guesses.len() < count.min(room) && !new.is_empty() {
            let logits = self.model.forward(&mut self.state, &new)?;
            new.clear();
            if let Some(token) = logits.argmax() {
                guesses.push(token);
                new.push(token);
            }
        }
        Ok(guesses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_the_greedy_tokens_whatever_was_kept_before() {
        let model = Model::toy(5).unwrap();
        let greedy = |tokens: &[u32], count: usize| {
            let mut state = model.new_state();
            let (mut input, mut out) = (tokens.to_vec(), Vec::new());
            for _ in 0..count {
                out.push(model.forward(&mut state, &input).unwrap().argmax().unwrap());
                input = out[out.len() - 1..].to_vec();
            }
            out
        };
        let mut draft = Draft::new(model.clone());
        let mut tokens = vec![10, 20, 30];
        for (kept, other) in [(0, 7), (3, 8), (5, 9)] {
            let guesses = draft.guess(&tokens, 5).unwrap();
            assert_eq!(guesses, greedy(&tokens, 5));
            tokens.extend_from_slice(&guesses[..kept]);
            tokens.push(other);
        }
    }

    #[test]
    fn a_full_context_gives_fewer_guesses() {
        let model = Model::toy(5).unwrap();
        let context = model.info().context_tokens;
        let mut draft = Draft::new(model);
        assert_eq!(draft.guess(&vec![1; context - 2], 5).unwrap().len(), 2);
        assert!(draft.guess(&vec![1; context], 5).unwrap().is_empty());
        assert!(draft.guess(&vec![1; context + 3], 5).unwrap().is_empty());
    }
}
