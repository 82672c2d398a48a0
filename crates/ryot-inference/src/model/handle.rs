//! The public handle on a model.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use xxhash_rust::xxh3::xxh3_128;

use super::config::ModelConfig;
use super::llama::{Decoder, Rows};
use super::logits::Logits;
use super::rope::Rope;
use super::state::{Place, State, Store};
use super::toy::{TOY_SPECIALS, TOY_TEMPLATE, ToyWeights, toy_config};
use super::{ModelInfo, info};
use crate::chat::{ChatTemplate, Message};
use crate::cpu::{self, CpuDecoder, Part, Phase, Pool};
use crate::error::{InferError, Result};
use crate::kv::KvElement;
use crate::tokenizer::Tokenizer;
use crate::weights::{Backend, LoadOptions, Loaded, Totals, WeightSource};

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

/// What computes.
enum Engine {
    Cpu(CpuDecoder),
    Candle(Decoder),
}

struct Inner {
    engine: Engine,
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
        let wishes = options.clone();
        let loaded = crate::weights::load(path.as_ref(), options)?;
        Self::assemble(loaded, &wishes)
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
        let loaded = Loaded {
            name: format!("toy (untrained, seed {seed})"),
            trained: false,
            config: toy_config(),
            source: Box::new(ToyWeights::new(seed, &device)),
            tokenizer: Tokenizer::bytes(&TOY_SPECIALS),
            template: Some(ChatTemplate::new(TOY_TEMPLATE.to_owned())?),
        };
        // too small for a second thread to help
        Self::assemble(loaded, &LoadOptions::new().threads(1))
    }

    fn assemble(loaded: Loaded, options: &LoadOptions) -> Result<Self> {
        let Loaded {
            name,
            trained,
            config,
            mut source,
            tokenizer,
            template,
        } = loaded;
        let source: &mut dyn WeightSource = source.as_mut();
        let engine = if options.backend == Backend::Native && source.device().is_cpu() {
            let pool = Arc::new(team(options.threads)?);
            let rope = Rope::new(&config.rope, config.head_dim).table();
            Engine::Cpu(cpu::build(&config, source, rope, pool, options.kv_element)?)
        } else {
            Engine::Candle(Decoder::build(&config, source)?)
        };
        let kv_element = match &engine {
            Engine::Cpu(decoder) => decoder.kv_layout().element,
            Engine::Candle(_) => KvElement::F32,
        };
        let totals = source.finish(&config)?;
        let info = describe(name, trained, &config, totals, kv_element);
        let device = source.device().clone();
        let inner = Inner {
            engine,
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
            match &self.inner.engine {
                Engine::Cpu(decoder) => Place::Cpu(decoder.kv_layout()),
                Engine::Candle(_) => Place::Candle(&self.inner.device),
            },
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
        self.run(state, tokens, Rows::Last, phase_of(tokens))
    }

    /// Like [`Model::forward`], with logits after every one of `tokens`.
    ///
    /// Memory: `tokens * vocabulary` numbers.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(&self, state: &mut State, tokens: &[u32]) -> Result<Logits> {
        self.run(state, tokens, Rows::All, phase_of(tokens))
    }

    /// Like [`Model::forward_all`] for generated tokens: on the native backend the logits have the
    /// same bits as those of [`Model::forward`] token by token.
    pub(crate) fn forward_generated(&self, state: &mut State, tokens: &[u32]) -> Result<Logits> {
        self.run(state, tokens, Rows::All, Phase::Decode)
    }

    /// Drops the tokens of a range of those that `state` holds; the later ones move up by as many
    /// places, and their keys are turned accordingly. What was computed with the dropped tokens in
    /// sight stays as it is. For texts that grow beyond a window; see [`KvWindow`](crate::KvWindow).
    ///
    /// Cost: the keys and values behind the range are copied once. Keys are rounded again where they
    /// are kept as bfloat16.
    ///
    /// # Errors
    /// [`InferError::ModelMismatch`] for a state of another model, [`InferError::Parameter`] for a
    /// range that is not held or is of a single token, [`InferError::Unsupported`] on the candle
    /// backend.
    pub fn forget(&self, state: &mut State, tokens: std::ops::Range<usize>) -> Result<()> {
        self.check_state(state)?;
        let (start, end, held) = (tokens.start, tokens.end, state.len());
        if start > end || end > held || end - start == 1 {
            let (value, allowed) = (
                format!("{start}..{end}"),
                format!("none or two and more of the {held} tokens held"),
            );
            return Err(InferError::parameter("forget", value, allowed));
        }
        match (&self.inner.engine, &mut state.store) {
            (Engine::Cpu(decoder), Store::Cpu(kv)) => decoder.forget(kv, [start, end, held]),
            _ => {
                return Err(InferError::Unsupported {
                    feature: "forget",
                    value: "the candle backend".to_owned(),
                    supported: "the native backend",
                });
            }
        }
        state.tokens.drain(start..end);
        Ok(())
    }

    /// Whether [`Model::forget`] is there.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.inner.engine, Engine::Cpu(_))
    }

    fn run(&self, state: &mut State, tokens: &[u32], rows: Rows, phase: Phase) -> Result<Logits> {
        self.check_call(state, tokens)?;
        let values = match &self.inner.engine {
            Engine::Candle(decoder) => decoder.forward(state, tokens, rows)?,
            Engine::Cpu(decoder) => {
                let mut values = Vec::new();
                run_native(decoder, &mut [(state, tokens)], phase, rows, &mut values)?;
                values
            }
        };
        Ok(Logits::new(self.inner.config.vocab, values))
    }

    /// Evaluates several sequences together: `tokens` of each after those in its state; fills
    /// `logits` with those after the last token of each, in order. What `logits` held before is
    /// memory to be used again.
    ///
    /// A sequence's logits do not depend on the others in the call. All of them must be in the same
    /// phase: `prompt` says that tokens are of prompts, else they are generated ones. On an error
    /// every state still holds what it held before.
    pub(crate) fn forward_batch(
        &self,
        sequences: &mut [(&mut State, &[u32])],
        prompt: bool,
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        let phase = if prompt { Phase::Prompt } else { Phase::Decode };
        self.run_together(sequences, phase, Rows::Last, logits)
    }

    /// Evaluates the tokens of several texts together, as prompts; fills `hidden` with the normed
    /// hidden states of all of them, in order. A text's do not depend on the others in the call.
    pub(crate) fn hidden_states(
        &self,
        sequences: &mut [(&mut State, &[u32])],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        self.run_together(sequences, Phase::Prompt, Rows::Hidden, hidden)
    }

    fn run_together(
        &self,
        sequences: &mut [(&mut State, &[u32])],
        phase: Phase,
        rows: Rows,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        for (state, tokens) in &*sequences {
            self.check_call(state, tokens)?;
        }
        match &self.inner.engine {
            Engine::Candle(decoder) => {
                out.clear();
                for (state, tokens) in sequences {
                    out.extend(decoder.forward(state, tokens, rows)?);
                }
                Ok(())
            }
            Engine::Cpu(decoder) => run_native(decoder, sequences, phase, rows, out),
        }
    }

    /// Calls `work` once for every number below `items`, on the model's threads where it has some.
    pub(crate) fn share(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        match &self.inner.engine {
            Engine::Candle(_) => (0..items).for_each(work),
            Engine::Cpu(decoder) => decoder.pool.run(items, work),
        }
    }

    /// What a call must fulfil: a state of this model, and tokens of its vocabulary.
    fn check_call(&self, state: &State, tokens: &[u32]) -> Result<()> {
        self.check_state(state)?;
        if tokens.is_empty() {
            return Err(InferError::NoTokens);
        }
        let vocab = self.inner.config.vocab;
        match tokens.iter().find(|token| **token as usize >= vocab) {
            Some(&token) => Err(InferError::TokenOutOfRange { token, vocab }),
            None => Ok(()),
        }
    }

    fn check_state(&self, state: &State) -> Result<()> {
        let expected = self.inner.info.fingerprint;
        if state.fingerprint() != expected {
            return Err(InferError::ModelMismatch {
                what: "state",
                found: state.fingerprint(),
                expected,
            });
        }
        Ok(())
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

/// A single token counts as generated, several as a prompt.
fn phase_of(tokens: &[u32]) -> Phase {
    match tokens {
        [_] => Phase::Decode,
        _ => Phase::Prompt,
    }
}

/// Evaluates sequences of checked tokens; states change only when all went well.
fn run_native(
    decoder: &CpuDecoder,
    sequences: &mut [(&mut State, &[u32])],
    phase: Phase,
    rows: Rows,
    out: &mut Vec<f32>,
) -> Result<()> {
    for (state, tokens) in &mut *sequences {
        state.reserve(tokens.len())?;
    }
    let mut parts = Vec::with_capacity(sequences.len());
    for (state, tokens) in &mut *sequences {
        let held = state.len();
        let Store::Cpu(kv) = &mut state.store else {
            return Err(InferError::ForeignState);
        };
        parts.push(Part { kv, held, tokens });
    }
    decoder.forward(&mut parts, phase, rows, out);
    for (state, tokens) in sequences {
        state.tokens.extend_from_slice(tokens);
    }
    Ok(())
}

/// The threads of a model.
fn team(threads: Option<usize>) -> Result<Pool> {
    let threads = match threads {
        Some(threads) if (1..=THREADS_MAX).contains(&threads) => threads,
        Some(threads) => {
            let (value, allowed) = (threads.to_string(), format!("1 to {THREADS_MAX}"));
            return Err(InferError::parameter("threads", value, allowed));
        }
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Pool::new(threads).map_err(|source| InferError::Threads { threads, source })
}

/// More threads than any machine of today has use for.
const THREADS_MAX: usize = 1024;

fn describe(
    name: String,
    trained: bool,
    config: &ModelConfig,
    totals: Totals,
    kv_element: KvElement,
) -> ModelInfo {
    // other roundings of keys and values are other numbers
    let rounding = match kv_element {
        KvElement::F32 => 0,
        KvElement::Bf16 => xxh3_128(b"keys and values: bf16"),
    };
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
        kv_element,
        fingerprint: totals.fingerprint ^ rounding,
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("info", &self.inner.info)
            .finish_non_exhaustive()
    }
}
