//! Settings of a load.

use std::path::PathBuf;

use candle_core::Device;

use crate::kv::KvElement;

/// What computes a model on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// This crate's kernels; on other devices than the processor, candle's.
    #[default]
    Native,
    /// candle's tensor operations, one per step: the plain twin that the kernels are held to.
    Candle,
}

/// How a model is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    pub(super) device: Device,
    pub(super) context_tokens_max: Option<usize>,
    pub(super) tokenizer_path: Option<PathBuf>,
    pub(super) chat_template: Option<String>,
    pub(crate) backend: Backend,
    pub(crate) threads: Option<usize>,
    pub(crate) kv_element: Option<KvElement>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LoadOptions {
    /// The defaults: CPU, the file's own context, tokenizer and template.
    pub fn new() -> Self {
        Self {
            device: Device::Cpu,
            context_tokens_max: None,
            tokenizer_path: None,
            chat_template: None,
            backend: Backend::Native,
            threads: None,
            kv_element: None,
        }
    }

    /// The device that weights and states live on. Default CPU.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What computes on the processor. Default: [`Backend::Native`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Threads that one call computes with, 1 to 1,024. Default: as many as the process may run
    /// at once. Only for [`Backend::Native`]; results do not depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// How states keep keys and values. Default: [`KvElement::Bf16`] where weights are quantised,
    /// half the memory of [`KvElement::F32`], which other models have. Only for
    /// [`Backend::Native`]; it is part of the model's fingerprint.
    pub fn kv_element(mut self, element: KvElement) -> Self {
        self.kv_element = Some(element);
        self
    }

    /// Lowers the context. Default: what the file says; a larger number changes nothing. Bounds
    /// the memory that a state can grow to.
    pub fn context_tokens_max(mut self, tokens: usize) -> Self {
        self.context_tokens_max = Some(tokens);
        self
    }

    /// A `tokenizer.json` to use instead of the model's own tokenizer.
    pub fn tokenizer_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.tokenizer_path = Some(path.into());
        self
    }

    /// A Jinja chat template to use instead of the model's own.
    pub fn chat_template(mut self, source: impl Into<String>) -> Self {
        self.chat_template = Some(source.into());
        self
    }
}
