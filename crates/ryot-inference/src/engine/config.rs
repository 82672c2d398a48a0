//! Settings of an engine.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{InferError, Result};
use crate::kv::{KvWindow, PrefixStore, WINDOW_MIN};
use crate::model::Model;
use crate::speculate::{Speculation, SpeculationSettings};

/// Settings of an [`Engine`](crate::Engine), checked once by
/// [`Engine::new`](crate::Engine::new).
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct EngineConfig {
    prefill_chunk_tokens: Option<usize>,
    context_tokens_max: Option<usize>,
    prefix_store: Option<Arc<dyn PrefixStore>>,
    prefix_block_tokens: Option<usize>,
    prefix_keep_generated: bool,
    speculation: Option<Speculation>,
    kv_window: Option<KvWindow>,
}

/// Checked settings.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) prefill_chunk_tokens: usize,
    pub(super) context_tokens: usize,
    pub(super) prefix: Option<PrefixSettings>,
    pub(super) speculation: Option<SpeculationSettings>,
    pub(super) window: Option<KvWindow>,
}

#[derive(Clone)]
pub(super) struct PrefixSettings {
    pub(super) store: Arc<dyn PrefixStore>,
    pub(super) block_tokens: usize,
    pub(super) keep_generated: bool,
}

const PREFILL_CHUNK_DEFAULT: usize = 256;
const PREFILL_CHUNK_MAX: usize = 8192;
const BLOCK_DEFAULT: usize = 64;
const BLOCK_MAX: usize = 4096;

impl EngineConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prompt tokens evaluated at once. Default 256, legal 1 to 8,192.
    ///
    /// Larger pieces use the processor better; cancellation and deadlines are looked at between
    /// pieces, and the memory for attention scores grows with piece times context.
    pub fn prefill_chunk_tokens(mut self, tokens: usize) -> Self {
        self.prefill_chunk_tokens = Some(tokens);
        self
    }

    /// Tokens that prompt and answer may have together. Default and upper limit: the model's
    /// context; at least 2.
    pub fn context_tokens_max(mut self, tokens: usize) -> Self {
        self.context_tokens_max = Some(tokens);
        self
    }

    /// Where prompts' keys and values are kept for reuse. Default: nowhere.
    pub fn prefix_store(mut self, store: Arc<dyn PrefixStore>) -> Self {
        self.prefix_store = Some(store);
        self
    }

    /// Tokens per stored block. Default 64, legal 1 to 4,096.
    ///
    /// Only whole blocks are reused: smaller ones reuse more of a prompt and cost more look-ups.
    /// Blocks of different sizes do not find each other.
    pub fn prefix_block_tokens(mut self, tokens: usize) -> Self {
        self.prefix_block_tokens = Some(tokens);
        self
    }

    /// Whether blocks with generated tokens are kept as well as those of prompts. Default false.
    ///
    /// With false, output with a store equals output without one bit by bit. With true, the next
    /// turn of a conversation starts sooner; its output can differ where two tokens are as close as
    /// rounding, because generated tokens are evaluated by other kernels than prompts.
    pub fn prefix_keep_generated(mut self, keep: bool) -> Self {
        self.prefix_keep_generated = keep;
        self
    }

    /// Guesses of the next tokens that the model checks together. Default: none.
    ///
    /// The tokens stay the same on the native backend; on others they can differ where two tokens
    /// are as close as rounding. Used by [`Engine::generate`](crate::Engine::generate); a
    /// [`Server`](crate::Server), which fills its steps with other requests, makes no guesses.
    pub fn speculation(mut self, speculation: Speculation) -> Self {
        self.speculation = Some(speculation);
        self
    }

    /// Forgets the middle of texts that grow longer than a window, so that they may grow beyond the
    /// context in constant memory. Default: none, a text ends where the context does.
    ///
    /// With a window, prompts may be of any length, and [`EngineConfig::context_tokens_max`] limits
    /// the window alone. Only on the native backend. What it costs in quality stands in the rows of
    /// the suite `inference`. Blocks for a prefix store are made of what came before anything was
    /// forgotten.
    pub fn kv_window(mut self, window: KvWindow) -> Self {
        self.kv_window = Some(window);
        self
    }

    pub(super) fn validate(self, model: &Model) -> Result<Settings> {
        if self.kv_window.is_some() && !model.forgets() {
            return Err(InferError::Unsupported {
                feature: "kv_window",
                value: "the candle backend".to_owned(),
                supported: "the native backend",
            });
        }
        let speculation = self.speculation.clone();
        let mut settings = self.validate_sizes(model.info().context_tokens)?;
        settings.speculation = speculation.map(|s| s.validate(model)).transpose()?;
        Ok(settings)
    }

    fn validate_sizes(self, model_context: usize) -> Result<Settings> {
        let context_tokens = match self.context_tokens_max {
            None => model_context,
            Some(n) => check("context_tokens_max", n, "tokens", 2..=model_context)?,
        };
        let chunk = self.prefill_chunk_tokens.unwrap_or(PREFILL_CHUNK_DEFAULT);
        let block = self.prefix_block_tokens.unwrap_or(BLOCK_DEFAULT);
        if let Some(window) = self.kv_window {
            check(
                "kv_window",
                window.tokens(),
                "tokens",
                WINDOW_MIN..=context_tokens,
            )?;
            let sinks = 0..=window.tokens() / 2;
            check("kv_window sinks", window.sink_tokens(), "tokens", sinks)?;
        }
        let block_tokens = check("prefix_block_tokens", block, "tokens", 1..=BLOCK_MAX)?;
        Ok(Settings {
            prefill_chunk_tokens: check_chunk(chunk)?,
            context_tokens,
            prefix: self.prefix_store.map(|store| PrefixSettings {
                store,
                block_tokens,
                keep_generated: self.prefix_keep_generated,
            }),
            speculation: None,
            window: self.kv_window,
        })
    }
}

pub(super) fn check_chunk(tokens: usize) -> Result<usize> {
    let legal = 1..=PREFILL_CHUNK_MAX;
    check("prefill_chunk_tokens", tokens, "tokens", legal)
}

/// `value` if it is in `legal`.
pub(super) fn check(
    name: &'static str,
    value: usize,
    unit: &str,
    legal: RangeInclusive<usize>,
) -> Result<usize> {
    if legal.contains(&value) {
        return Ok(value);
    }
    let (low, high) = legal.into_inner();
    Err(InferError::parameter(
        name,
        format!("{value} {unit}"),
        format!("{low} to {high} {unit}"),
    ))
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("prefill_chunk_tokens", &self.prefill_chunk_tokens)
            .field("context_tokens_max", &self.context_tokens_max)
            .field("prefix_store", &self.prefix_store.is_some())
            .field("prefix_block_tokens", &self.prefix_block_tokens)
            .field("prefix_keep_generated", &self.prefix_keep_generated)
            .field("speculation", &self.speculation)
            .field("kv_window", &self.kv_window)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_as_documented() {
        let s = EngineConfig::new().validate_sizes(1000).unwrap();
        assert_eq!((s.prefill_chunk_tokens, s.context_tokens), (256, 1000));
        assert!(s.prefix.is_none());
    }

    #[test]
    fn out_of_range_settings_are_named() {
        for (config, name) in [
            (
                EngineConfig::new().prefill_chunk_tokens(0),
                "prefill_chunk_tokens",
            ),
            (
                EngineConfig::new().prefill_chunk_tokens(8193),
                "prefill_chunk_tokens",
            ),
            (
                EngineConfig::new().context_tokens_max(1),
                "context_tokens_max",
            ),
            (
                EngineConfig::new().context_tokens_max(1001),
                "context_tokens_max",
            ),
            (
                EngineConfig::new().prefix_block_tokens(0),
                "prefix_block_tokens",
            ),
            (
                EngineConfig::new().kv_window(KvWindow::new(15)),
                "kv_window is 15 tokens",
            ),
            (
                EngineConfig::new().kv_window(KvWindow::new(1001)),
                "kv_window is 1001 tokens",
            ),
            (
                EngineConfig::new().kv_window(KvWindow::new(100).sinks(51)),
                "kv_window sinks",
            ),
        ] {
            let message = config.validate_sizes(1000).err().unwrap().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
