//! Settings of a collective.

use crate::error::NeurectomyError;
use crate::prefix::PrefixConfig;
use std::path::{Path, PathBuf};

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// The built-in toy: random weights from this seed, never trained. Its text means nothing; it
    /// shows that the machinery works, and everything it writes is marked as untrained.
    Toy {
        /// Seed of the weights.
        seed: u64,
    },
    /// A GGUF file, or a folder with `config.json`, `tokenizer.json` and safetensors.
    Path(PathBuf),
}

/// Settings of a [`Collective`](crate::Collective), checked when it is opened.
///
/// ```
/// use neurectomy::CollectiveConfig;
/// let config = CollectiveConfig::new("vault").workers(2).continuation_tokens_max(8);
/// assert_eq!(config.prompt_tokens_max, 64);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CollectiveConfig {
    /// Folder of the vault; created where absent. Required.
    pub vault_dir: PathBuf,
    /// The model. Default: the toy with seed 1.
    pub model: ModelSource,
    /// Worker threads, 1 to 1024. Default: the hardware threads that the process may use.
    pub workers: usize,
    /// Tasks that may wait in one team's queue, 16 to 65536. Default 256. It bounds memory: of
    /// a workflow's documents at most a quarter as many are in memory at a time, and at most eight
    /// per worker.
    pub queue_capacity: usize,
    /// Largest document in bytes, 1 to 1 GiB. Default 16 MiB. Larger files are skipped.
    pub document_bytes_max: u64,
    /// Tokens of a document that the model reads before it continues, 1 to 4096. Default 64.
    pub prompt_tokens_max: usize,
    /// Tokens that the model writes per document, 0 to 4096. Default 16; 0 turns inference off.
    pub continuation_tokens_max: usize,
    /// Seed of the sampler. Default 1. The same seed, model and document give the same text.
    pub sampling_seed: u64,
    /// Jaccard similarity of word shingles from which two documents are near-duplicates, above 0
    /// up to 1. Default 0.8.
    pub similarity_min: f64,
    /// Keeps what the model read in the vault, so that a prompt that begins as an earlier one is
    /// restored that far, also by a later process. Default none: for a small model reading again
    /// costs less than keeping.
    pub prefix: Option<PrefixConfig>,
}

impl CollectiveConfig {
    /// Settings with defaults for a vault in `vault_dir`.
    #[must_use]
    pub fn new(vault_dir: impl Into<PathBuf>) -> Self {
        Self {
            vault_dir: vault_dir.into(),
            model: ModelSource::Toy { seed: 1 },
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            queue_capacity: 256,
            document_bytes_max: 16 << 20,
            prompt_tokens_max: 64,
            continuation_tokens_max: 16,
            sampling_seed: 1,
            similarity_min: 0.8,
            prefix: None,
        }
    }

    /// Sets [`Self::model`] to the toy model with this seed.
    #[must_use]
    pub fn toy_model(mut self, seed: u64) -> Self {
        self.model = ModelSource::Toy { seed };
        self
    }

    /// Sets [`Self::model`] to a GGUF file or a safetensors folder.
    #[must_use]
    pub fn model_path(mut self, path: impl AsRef<Path>) -> Self {
        self.model = ModelSource::Path(path.as_ref().to_owned());
        self
    }

    /// Sets [`Self::workers`].
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets [`Self::queue_capacity`].
    #[must_use]
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.queue_capacity = tasks;
        self
    }

    /// Sets [`Self::document_bytes_max`].
    #[must_use]
    pub fn document_bytes_max(mut self, bytes: u64) -> Self {
        self.document_bytes_max = bytes;
        self
    }

    /// Sets [`Self::prompt_tokens_max`].
    #[must_use]
    pub fn prompt_tokens_max(mut self, tokens: usize) -> Self {
        self.prompt_tokens_max = tokens;
        self
    }

    /// Sets [`Self::continuation_tokens_max`].
    #[must_use]
    pub fn continuation_tokens_max(mut self, tokens: usize) -> Self {
        self.continuation_tokens_max = tokens;
        self
    }

    /// Sets [`Self::sampling_seed`].
    #[must_use]
    pub fn sampling_seed(mut self, seed: u64) -> Self {
        self.sampling_seed = seed;
        self
    }

    /// Sets [`Self::similarity_min`].
    #[must_use]
    pub fn similarity_min(mut self, jaccard: f64) -> Self {
        self.similarity_min = jaccard;
        self
    }

    /// Sets [`Self::prefix`].
    #[must_use]
    pub fn prefix(mut self, config: PrefixConfig) -> Self {
        self.prefix = Some(config);
        self
    }

    pub(crate) fn check(&self) -> Result<(), NeurectomyError> {
        let whole = [
            (
                "workers",
                self.workers as u64,
                1..=1024,
                "1 to 1024 threads",
            ),
            (
                "queue_capacity",
                self.queue_capacity as u64,
                16..=65_536,
                "16 to 65536 tasks",
            ),
            (
                "document_bytes_max",
                self.document_bytes_max,
                1..=1 << 30,
                "1 to 1073741824 bytes",
            ),
            (
                "prompt_tokens_max",
                self.prompt_tokens_max as u64,
                1..=4096,
                "1 to 4096 tokens",
            ),
            (
                "continuation_tokens_max",
                self.continuation_tokens_max as u64,
                0..=4096,
                "0 to 4096 tokens",
            ),
        ];
        for (name, value, range, allowed) in whole {
            if !range.contains(&value) {
                return Err(NeurectomyError::Config {
                    name,
                    value: value.to_string(),
                    allowed,
                });
            }
        }
        if let Some(prefix) = &self.prefix {
            prefix.check()?;
        }
        if !(self.similarity_min > 0.0 && self.similarity_min <= 1.0) {
            return Err(NeurectomyError::Config {
                name: "similarity_min",
                value: self.similarity_min.to_string(),
                allowed: "above 0 up to 1",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones_and_pass() {
        let config = CollectiveConfig::new("v");
        assert_eq!(config.model, ModelSource::Toy { seed: 1 });
        assert_eq!(
            (config.queue_capacity, config.document_bytes_max),
            (256, 16 << 20)
        );
        assert_eq!(
            (config.prompt_tokens_max, config.continuation_tokens_max),
            (64, 16)
        );
        assert!((config.similarity_min - 0.8).abs() < f64::EPSILON);
        config.check().unwrap();
    }

    #[test]
    fn each_setting_outside_its_range_is_named() {
        let base = || CollectiveConfig::new("v");
        let cases = [
            (base().workers(0), "workers is 0"),
            (base().queue_capacity(1), "queue_capacity is 1"),
            (base().document_bytes_max(0), "document_bytes_max is 0"),
            (base().prompt_tokens_max(5000), "prompt_tokens_max is 5000"),
            (
                base().continuation_tokens_max(5000),
                "continuation_tokens_max is 5000",
            ),
            (
                base().prefix(PrefixConfig::new().restore_threads(0)),
                "restore_threads is 0",
            ),
            (base().similarity_min(f64::NAN), "similarity_min is NaN"),
        ];
        for (config, expected) in cases {
            let message = config.check().unwrap_err().to_string();
            assert!(
                message.contains(expected) && message.contains("allowed"),
                "{message}"
            );
        }
    }
}
