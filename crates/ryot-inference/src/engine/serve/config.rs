//! Settings of a server.

use crate::engine::config::{check, check_chunk};
use crate::error::Result;

/// Settings of a [`Server`](crate::Server), checked once by
/// [`Engine::serve`](crate::Engine::serve).
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, Model, ServeConfig};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let server = engine.serve(ServeConfig::new().batch_max(8).kv_bytes_max(64 << 20))?;
/// let error = engine.serve(ServeConfig::new().batch_max(0)).unwrap_err();
/// assert_eq!(error.to_string(), "batch_max is 0 requests, allowed: 1 to 1024 requests");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ServeConfig {
    batch_max: Option<usize>,
    queue_max: Option<usize>,
    kv_bytes_max: Option<usize>,
    prefill_chunk_tokens: Option<usize>,
}

/// Checked settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) batch_max: usize,
    pub(super) queue_max: usize,
    pub(super) kv_bytes_max: usize,
    pub(super) prefill_chunk_tokens: usize,
}

const BATCH_DEFAULT: usize = 16;
const BATCH_MAX: usize = 1024;
const QUEUE_DEFAULT: usize = 256;
const QUEUE_MAX: usize = 16_384;
const KV_BYTES_DEFAULT: usize = 1 << 30;

impl ServeConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests that run at once. Default 16, legal 1 to 1,024.
    ///
    /// More of them give more tokens per second in all and a longer time between the tokens of
    /// each; every one holds its keys and values.
    pub fn batch_max(mut self, requests: usize) -> Self {
        self.batch_max = Some(requests);
        self
    }

    /// Requests that wait, at most; one more is rejected with
    /// [`InferError::QueueFull`](crate::InferError::QueueFull). Default 256, legal 1 to 16,384 (all
    /// of them are looked at in every step).
    pub fn queue_max(mut self, requests: usize) -> Self {
        self.queue_max = Some(requests);
        self
    }

    /// Bytes for keys and values of all running requests. Default 1 GiB, at least 1.
    ///
    /// A request reserves what its prompt and its most generated tokens would need, so that a
    /// running one never runs out; it waits until that is free. While one grows, its old and its
    /// new memory exist together for the time of a copy. A prefix store is not part of this.
    pub fn kv_bytes_max(mut self, bytes: usize) -> Self {
        self.kv_bytes_max = Some(bytes);
        self
    }

    /// Prompt tokens evaluated in one step, over all requests. Default that of the engine, legal 1
    /// to 8,192.
    ///
    /// Running requests get one token per step, so this bounds how long new prompts hold them up:
    /// smaller is steadier, larger reads prompts faster.
    pub fn prefill_chunk_tokens(mut self, tokens: usize) -> Self {
        self.prefill_chunk_tokens = Some(tokens);
        self
    }

    pub(super) fn validate(self, engine_chunk: usize) -> Result<Limits> {
        let batch = self.batch_max.unwrap_or(BATCH_DEFAULT);
        let queue = self.queue_max.unwrap_or(QUEUE_DEFAULT);
        let kv = self.kv_bytes_max.unwrap_or(KV_BYTES_DEFAULT);
        let chunk = self.prefill_chunk_tokens.unwrap_or(engine_chunk);
        Ok(Limits {
            batch_max: check("batch_max", batch, "requests", 1..=BATCH_MAX)?,
            queue_max: check("queue_max", queue, "requests", 1..=QUEUE_MAX)?,
            kv_bytes_max: check("kv_bytes_max", kv, "bytes", 1..=usize::MAX)?,
            prefill_chunk_tokens: check_chunk(chunk)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_as_documented() {
        let limits = ServeConfig::new().validate(77).unwrap();
        assert_eq!((limits.batch_max, limits.queue_max), (16, 256));
        assert_eq!(limits.kv_bytes_max, 1_073_741_824);
        assert_eq!(limits.prefill_chunk_tokens, 77);
    }
}
