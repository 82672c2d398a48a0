//! Where guesses come from.

use std::sync::{Arc, Mutex};

use super::controller::Costs;
use crate::error::{InferError, Result};
use crate::model::Model;

/// Speculation of an engine's generations.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, Model, Request, Speculation};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let config = EngineConfig::new().speculation(Speculation::prompt_lookup());
/// let engine = Engine::new(Model::toy(42)?, config)?;
/// let request = Request::new("one two one two one two").max_tokens(32).ignore_end(true);
/// let completion = engine.generate(request)?.finish()?;
/// let stats = completion.metrics.speculation;
/// assert!(stats.accepted <= stats.proposed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Speculation {
    draft: Option<Model>,
    lookup: bool,
    tokens_max: usize,
    adaptive: bool,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub(crate) struct SpeculationSettings {
    pub(super) draft: Option<Model>,
    pub(super) lookup: bool,
    pub(super) tokens_max: usize,
    pub(super) adaptive: bool,
    /// What the generations of an engine learn together.
    pub(super) costs: Arc<Mutex<Costs>>,
}

const TOKENS_DEFAULT: usize = 16;
const TOKENS_MAX: usize = 64;

impl Speculation {
    /// Guesses what followed the latest place in prompt or answer that ends in the same tokens
    /// (Saxena 2023). Costs next to nothing where nothing repeats.
    pub fn prompt_lookup() -> Self {
        Self {
            draft: None,
            lookup: true,
            tokens_max: TOKENS_DEFAULT,
            adaptive: true,
        }
    }

    /// Guesses with `model`, a smaller one with the same vocabulary; takes its most probable
    /// tokens. Each generation has a state of the draft as well.
    pub fn draft(model: Model) -> Self {
        Self {
            draft: Some(model),
            lookup: false,
            ..Self::prompt_lookup()
        }
    }

    /// Looks the prompt up first and asks the draft where that finds nothing. Default: only what
    /// the constructor says.
    pub fn with_prompt_lookup(mut self) -> Self {
        self.lookup = true;
        self
    }

    /// Most guesses of a step. Default 16, legal 1 to 64.
    ///
    /// The working memory for logits grows with it.
    pub fn tokens_max(mut self, tokens: usize) -> Self {
        self.tokens_max = tokens;
        self
    }

    /// Whether the number of guesses follows measured times and kept guesses, down to none where
    /// speculation loses. Default true; false always guesses as many as it can, for measurements.
    pub fn adaptive(mut self, adaptive: bool) -> Self {
        self.adaptive = adaptive;
        self
    }

    /// Checks the settings against the model that will check the guesses.
    pub(crate) fn validate(self, model: &Model) -> Result<SpeculationSettings> {
        if !(1..=TOKENS_MAX).contains(&self.tokens_max) {
            let value = format!("{} tokens", self.tokens_max);
            let allowed = format!("1 to {TOKENS_MAX} tokens");
            return Err(InferError::parameter(
                "speculation tokens_max",
                value,
                allowed,
            ));
        }
        if let Some(draft) = &self.draft {
            same_vocabulary(draft, model)?;
        }
        Ok(SpeculationSettings {
            draft: self.draft,
            lookup: self.lookup,
            tokens_max: self.tokens_max,
            adaptive: self.adaptive,
            costs: Arc::default(),
        })
    }
}

/// Token for token, or every guess would be of another text.
fn same_vocabulary(draft: &Model, model: &Model) -> Result<()> {
    let (theirs, ours) = (draft.tokenizer(), model.tokenizer());
    let vocab = draft.info().vocab;
    let mismatch = |detail: String| InferError::DraftMismatch { detail };
    if vocab != model.info().vocab {
        let detail = format!("{vocab} tokens where the model has {}", model.info().vocab);
        return Err(mismatch(detail));
    }
    let tokens = 0..u32::try_from(vocab).unwrap_or(u32::MAX);
    match { tokens }.find(|t| theirs.token_bytes(*t) != ours.token_bytes(*t)) {
        Some(token) => Err(mismatch(format!("token {token} stands for other bytes"))),
        None => Ok(()),
    }
}
