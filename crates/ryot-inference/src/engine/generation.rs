//! One running generation on the caller's thread.

use std::sync::Arc;

use super::handle::Shared;
use super::sequence::Sequence;
use super::{Completion, FinishReason, Metrics, Piece};
use crate::error::{InferError, Result};
use crate::speculate::Speculator;

/// A running generation: an iterator of [`Piece`]s.
///
/// Computing happens inside `next()`; dropping the value ends it. After an error or the last piece
/// the iterator gives `None`.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, FinishReason, Model, Request};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let request = Request::new("hello").max_tokens(5).ignore_end(true);
/// let completion = engine.generate(request)?.finish()?;
/// assert_eq!(completion.tokens.len(), 5);
/// assert_eq!(completion.finish_reason, FinishReason::MaxTokens);
/// # Ok(())
/// # }
/// ```
pub struct Generation {
    shared: Arc<Shared>,
    sequence: Sequence,
    speculator: Option<Speculator>,
    /// After all tokens; memory that every step uses again.
    logits: Vec<f32>,
    failed: bool,
    /// An error that waits for the held pieces to go out first.
    error: Option<InferError>,
}

impl Generation {
    pub(super) fn new(shared: Arc<Shared>, sequence: Sequence) -> Self {
        let speculation = shared.settings.speculation.clone();
        Self {
            shared,
            sequence,
            speculator: speculation.map(Speculator::new),
            logits: Vec::new(),
            failed: false,
            error: None,
        }
    }

    /// Why the generation ended; `None` while it runs or after an error.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.sequence.finish_reason()
    }

    /// Counts and times up to now.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.sequence.update(&mut metrics);
        metrics.speculation = self
            .speculator
            .as_ref()
            .map_or_else(Default::default, Speculator::stats);
        metrics
    }

    /// Prompt tokens, then the tokens generated so far.
    pub fn tokens(&self) -> &[u32] {
        self.sequence.tokens()
    }

    /// Runs to the end. Pieces already taken are not part of the text; the tokens are all there.
    ///
    /// # Errors
    /// The error that ended the generation; [`InferError::AlreadyFailed`] if `next()` has given it.
    pub fn finish(mut self) -> Result<Completion> {
        let mut text = String::new();
        for piece in &mut self {
            text.push_str(&piece?.text);
        }
        let metrics = self.metrics();
        let finish_reason = self.finish_reason().ok_or(InferError::AlreadyFailed)?;
        Ok(Completion {
            text,
            tokens: self.sequence.into_generated(),
            finish_reason,
            metrics,
        })
    }

    /// Evaluates what is not evaluated yet and generates one token, or ends.
    fn step(&mut self) -> Result<()> {
        // the prompt is kept after its first token went out, which must not wait for a store
        if self.sequence.generated_tokens() == 1 {
            self.sequence.keep();
        }
        match self.speculator.is_some() && self.sequence.generated_tokens() > 0 {
            true => self.speculate()?,
            false => {
                if self.evaluate()? {
                    self.sequence.accept(&self.logits)?;
                }
            }
        }
        if self.sequence.finish_reason().is_some() {
            self.sequence.keep();
        }
        Ok(())
    }

    /// One step with guesses: evaluates the last token and the guesses together, and keeps those
    /// that the sampler chooses.
    fn speculate(&mut self) -> Result<()> {
        let (sequence, model) = (&mut self.sequence, &self.shared.model);
        if let Some(reason) = sequence.interrupted() {
            sequence.end(reason);
            return Ok(());
        }
        let Some(speculator) = &mut self.speculator else {
            return Ok(());
        };
        sequence.make_way()?;
        // a guess in the last place would have nothing to follow it
        let most = sequence.tokens_left().saturating_sub(1);
        let most = most.min(sequence.room().saturating_sub(1));
        let guesses = speculator.guess(sequence.tokens(), most)?;
        let held = sequence.state.len();
        let new = sequence.evaluated()..;
        let mut input = sequence.tokens().get(new).unwrap_or_default().to_vec();
        let first = input.len().saturating_sub(1);
        input.extend_from_slice(&guesses);
        let logits = model.forward_generated(&mut sequence.state, &input)?;
        let mut accepted = 0;
        for row in first..logits.rows() {
            sequence.accept(logits.row(row).unwrap_or_default())?;
            let guess = guesses.get(accepted);
            if sequence.finish_reason().is_some() || guess != sequence.tokens().last() {
                break;
            }
            accepted += 1;
        }
        sequence.state.truncate(held + first + accepted + 1);
        speculator.learn(guesses.len(), accepted);
        Ok(())
    }

    /// Computes the logits after all tokens; false when cancelled or late.
    fn evaluate(&mut self) -> Result<bool> {
        let Shared {
            model, settings, ..
        } = &*self.shared;
        let sequence = &mut self.sequence;
        if sequence.state.is_empty() && sequence.interrupted().is_none() {
            sequence.restore();
        }
        loop {
            if let Some(reason) = sequence.interrupted() {
                sequence.end(reason);
                return Ok(false);
            }
            let prompt = sequence.prompt_left() > 0;
            sequence.make_way()?;
            let part = sequence.part(settings.prefill_chunk_tokens);
            model.forward_batch(&mut [part], prompt, &mut self.logits)?;
            if sequence.prompt_left() == 0 {
                return Ok(true);
            }
        }
    }
}

impl Iterator for Generation {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.sequence.ready.pop_front() {
                return Some(Ok(piece));
            }
            if let Some(error) = self.error.take() {
                return Some(Err(error));
            }
            if self.failed || self.sequence.finish_reason().is_some() {
                return None;
            }
            if let Err(error) = self.step() {
                self.failed = true;
                self.error = Some(error);
                self.sequence.flush();
            }
        }
    }
}

impl std::iter::FusedIterator for Generation {}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("prompt_tokens", &self.sequence.prompt().len())
            .field("tokens", &self.sequence.tokens().len())
            .field("finished", &self.sequence.finish_reason())
            .finish_non_exhaustive()
    }
}
