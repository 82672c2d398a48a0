//! The public handle on a model.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use super::config::ModelConfig;
use super::llama::{Decoder, Rows};
use super::logits::Logits;
use super::state::State;
use super::toy::{TOY_SPECIALS, TOY_TEMPLATE, ToyWeights, toy_config};
use super::{ModelInfo, info};
use crate::chat::{ChatTemplate, Message};
use crate::error::{InferError, Result};
use crate::tokenizer::Tokenizer;
use crate::weights::{LoadOptions, Loaded, Totals, WeightSource};

/// A model: weights, tokenizer and chat template, immutable and shared.
///
/// Cloning is cheap and every method takes `&self`, so one model serves any number of threads,
/// each with its own [`State`].
///
/// ```
/// use ryot_inference::Model;
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let model = Model::toy(1)?;
/// let mut state = model.new_state();
/// let prompt = model.tokenizer().encode("hello")?;
/// let logits = model.forward(&mut state, &prompt)?;
/// assert_eq!(logits.vocab(), model.info().vocab);
/// assert_eq!(state.len(), prompt.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    decoder: Decoder,
    config: ModelConfig,
    info: ModelInfo,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    device: Device,
}

impl Model {
    /// Loads a GGUF file, or a folder with `config.json`, `tokenizer.json` and safetensors.
    ///
    /// Headers are parsed with caps on every count and length and checked against the file's size
    /// before a tensor is read. The files must not change while they are loaded.
    ///
    /// Cost: reads every byte once; f16 and bf16 weights are widened to f32 in memory.
    ///
    /// # Errors
    /// One typed error per kind of defect: I/O, truncation, caps, unknown types, missing or
    /// mis-shaped tensors, missing tokenizer, unsupported architecture; see [`InferError`].
    pub fn load(path: impl AsRef<Path>, options: LoadOptions) -> Result<Self> {
        Self::assemble(crate::weights::load(path.as_ref(), options)?)
    }

    /// A tiny untrained model: 2 layers of width 64, byte tokenizer, context of 1,024 tokens.
    ///
    /// Its text is noise; it exists so that examples, tests and downstream crates run the real
    /// engine without a download. The same seed gives the same weights on every machine.
    ///
    /// # Errors
    /// [`InferError::Backend`] when the tensor library cannot allocate.
    pub fn toy(seed: u64) -> Result<Self> {
        let device = Device::Cpu;
        Self::assemble(Loaded {
            name: format!("toy (untrained, seed {seed})"),
            trained: false,
            config: toy_config(),
            source: Box::new(ToyWeights::new(seed, &device)),
            tokenizer: Tokenizer::bytes(&TOY_SPECIALS),
            template: Some(ChatTemplate::new(TOY_TEMPLATE.to_owned())?),
        })
    }

    fn assemble(loaded: Loaded) -> Result<Self> {
        let Loaded {
            name,
            trained,
            config,
            mut source,
            tokenizer,
            template,
        } = loaded;
        let source: &mut dyn WeightSource = source.as_mut();
        let decoder = Decoder::build(&config, source)?;
        let totals = source.finish(&config)?;
        let info = describe(name, trained, &config, totals);
        let device = source.device().clone();
        let inner = Inner {
            decoder,
            config,
            info,
            tokenizer,
            template,
            device,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Facts about the model.
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// The device that the weights are on.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// An empty state for this model; allocates nothing until the first token.
    pub fn new_state(&self) -> State {
        State::new(
            &self.inner.config,
            self.inner.info.fingerprint,
            &self.inner.device,
        )
    }

    /// Evaluates `tokens` after those in `state` and gives the logits after the last of them.
    ///
    /// This is the low level door: `(state, tokens) -> (state, logits)`. A prompt may be given
    /// whole, in pieces or token by token; the logits agree up to rounding. On an error the state
    /// still holds what it held before.
    ///
    /// # Errors
    /// [`InferError::NoTokens`], [`InferError::TokenOutOfRange`], [`InferError::ContextFull`],
    /// [`InferError::ModelMismatch`] for a state of another model, [`InferError::Backend`].
    pub fn forward(&self, state: &mut State, tokens: &[u32]) -> Result<Logits> {
        self.run(state, tokens, Rows::Last)
    }

    /// Like [`Model::forward`], with logits after every one of `tokens`.
    ///
    /// Memory: `tokens * vocabulary` numbers.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(&self, state: &mut State, tokens: &[u32]) -> Result<Logits> {
        self.run(state, tokens, Rows::All)
    }

    fn run(&self, state: &mut State, tokens: &[u32], rows: Rows) -> Result<Logits> {
        self.check_state(state)?;
        if tokens.is_empty() {
            return Err(InferError::NoTokens);
        }
        let vocab = self.inner.config.vocab;
        if let Some(&token) = tokens.iter().find(|t| **t as usize >= vocab) {
            return Err(InferError::TokenOutOfRange { token, vocab });
        }
        let values = self.inner.decoder.forward(state, tokens, rows)?;
        Ok(Logits::new(vocab, values))
    }

    fn check_state(&self, state: &State) -> Result<()> {
        let expected = self.inner.info.fingerprint;
        if state.fingerprint() == expected {
            return Ok(());
        }
        Err(InferError::ModelMismatch {
            what: "state",
            found: state.fingerprint(),
            expected,
        })
    }

    /// Renders a conversation with the model's own template, ready for the assistant's turn.
    ///
    /// # Errors
    /// [`InferError::MissingChatTemplate`], or [`InferError::ChatTemplate`] when the template
    /// rejects the messages.
    pub fn chat_prompt(&self, messages: &[Message]) -> Result<String> {
        let template = self
            .inner
            .template
            .as_ref()
            .ok_or(InferError::MissingChatTemplate)?;
        template.render(
            messages,
            self.tokenizer().bos_text(),
            self.tokenizer().eos_text(),
        )
    }
}

fn describe(name: String, trained: bool, config: &ModelConfig, totals: Totals) -> ModelInfo {
    info::ModelInfo {
        name,
        trained,
        architecture: config.architecture,
        layers: config.layers,
        hidden: config.hidden,
        feed_forward: config.feed_forward,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        vocab: config.vocab,
        context_tokens: config.context_tokens,
        parameters: totals.parameters,
        weight_bytes: totals.weight_bytes,
        weight_type: totals.weight_type,
        fingerprint: totals.fingerprint,
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("info", &self.inner.info)
            .finish_non_exhaustive()
    }
}
