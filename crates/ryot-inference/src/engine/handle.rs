//! The public handle on an engine.

use std::sync::Arc;
#[cfg(feature = "grammar")]
use std::sync::OnceLock;

use super::config::Settings;
use super::generation::Generation;
use super::sequence::Sequence;
use super::{EngineConfig, Prompt, Request, ServeConfig, Server};
use crate::error::{InferError, Result};
#[cfg(feature = "grammar")]
use crate::grammar::Vocabulary;
use crate::model::Model;
use crate::tokenizer::EncodeOptions;

/// Runs requests on a model.
///
/// Cloning is cheap; any number of threads may call [`Engine::generate`] at once, each generation
/// with its own state. What a generation produces depends on its request alone.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, Model, Request, Sampling};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let request = Request::new("hello").max_tokens(8).sampling(Sampling::random(7));
/// for piece in engine.generate(request)? {
///     print!("{}", piece?.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all generations of an engine share.
pub(super) struct Shared {
    pub(super) model: Model,
    pub(super) settings: Settings,
    /// Made when the first constraint comes.
    #[cfg(feature = "grammar")]
    vocabulary: OnceLock<Vocabulary>,
}

#[cfg(feature = "grammar")]
impl Shared {
    pub(super) fn vocabulary(&self) -> Result<&Vocabulary> {
        if let Some(known) = self.vocabulary.get() {
            return Ok(known);
        }
        let made = Vocabulary::new(self.model.tokenizer(), self.model.info().vocab)?;
        Ok(self.vocabulary.get_or_init(|| made))
    }
}

impl Engine {
    /// Checks the settings against the model.
    ///
    /// # Errors
    /// [`InferError::Parameter`] names the setting that is out of range;
    /// [`InferError::DraftMismatch`] for a draft model with another vocabulary.
    pub fn new(model: Model, config: EngineConfig) -> Result<Self> {
        let settings = config.validate(&model)?;
        Ok(Self {
            shared: Arc::new(Shared {
                model,
                settings,
                #[cfg(feature = "grammar")]
                vocabulary: OnceLock::new(),
            }),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Checks and encodes a request. Computing starts with the first `next()` of the result, on
    /// the caller's thread.
    ///
    /// # Errors
    /// [`InferError::Parameter`], [`InferError::EmptyPrompt`], [`InferError::PromptTooLong`],
    /// [`InferError::TokenOutOfRange`], [`InferError::BadConstraint`], and what encoding or the chat template can fail with.
    pub fn generate(&self, request: Request) -> Result<Generation> {
        let sequence = self.prepare(request)?;
        Ok(Generation::new(Arc::clone(&self.shared), sequence))
    }

    /// Starts a thread that runs requests in one batch; see [`Server`].
    ///
    /// # Errors
    /// [`InferError::Parameter`] names the setting that is out of range; [`InferError::Threads`]
    /// when the thread cannot be started.
    pub fn serve(&self, config: ServeConfig) -> Result<Server> {
        Server::start(self.clone(), config)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Checks and encodes a request.
    pub(super) fn prepare(&self, request: Request) -> Result<Sequence> {
        request.validate()?;
        let prompt = self.encode(&request)?;
        let limit = self.shared.settings.context_tokens - 1;
        if prompt.is_empty() {
            return Err(InferError::EmptyPrompt);
        }
        if prompt.len() > limit && self.shared.settings.window.is_none() {
            return Err(InferError::PromptTooLong {
                prompt_tokens: prompt.len(),
                limit,
                context_tokens: self.shared.settings.context_tokens,
            });
        }
        let vocab = self.shared.model.info().vocab;
        if let Some(&token) = prompt.iter().find(|t| **t as usize >= vocab) {
            return Err(InferError::TokenOutOfRange { token, vocab });
        }
        Sequence::new(Arc::clone(&self.shared), prompt, request)
    }

    fn encode(&self, request: &Request) -> Result<Vec<u32>> {
        let tokenizer = self.shared.model.tokenizer();
        match &request.prompt {
            Prompt::Text(text) => tokenizer.encode_with(text, request.encode),
            Prompt::Tokens(tokens) => Ok(tokens.clone()),
            Prompt::Chat(messages) => {
                let text = self.shared.model.chat_prompt(messages)?;
                tokenizer.encode_with(&text, EncodeOptions::default())
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("model", &self.shared.model)
            .finish_non_exhaustive()
    }
}
