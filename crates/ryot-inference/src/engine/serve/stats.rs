//! What a server has done and is doing.

use std::time::Duration;

use crate::engine::FinishReason;
use crate::error::InferError;

/// Counters of a [`Server`](crate::Server).
///
/// Every request that was let in ends in exactly one of `finished`, `cancelled`,
/// `deadline_exceeded` and `failed`:
/// `submitted = waiting + running + finished + cancelled + deadline_exceeded + failed`.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, Model, Request, ServeConfig};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let server = engine.serve(ServeConfig::new())?;
/// server.submit(Request::new("hello").max_tokens(4).ignore_end(true))?.finish()?;
/// let stats = server.stats();
/// assert_eq!((stats.submitted, stats.finished), (1, 1));
/// assert_eq!((stats.running, stats.kv_bytes), (0, 0));
/// assert_eq!(stats.generated_tokens, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ServeStats {
    /// Requests in the batch now.
    pub running: usize,
    /// Requests that wait now.
    pub waiting: usize,
    /// Most requests that have waited at once.
    pub waiting_peak: usize,
    /// Bytes allocated for keys and values of running requests now.
    pub kv_bytes: usize,
    /// Bytes reserved for them now.
    pub kv_bytes_reserved: usize,
    /// Most bytes that were reserved at once.
    pub kv_bytes_reserved_peak: usize,
    /// Requests let in.
    pub submitted: u64,
    /// Requests refused: the queue was full, the server closed, or the request too large for it.
    /// Malformed requests are not counted.
    pub rejected: u64,
    /// Requests that ended by themselves.
    pub finished: u64,
    /// Requests that were cancelled or whose ticket was dropped.
    pub cancelled: u64,
    /// Requests that were late.
    pub deadline_exceeded: u64,
    /// Requests that ended with an error.
    pub failed: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Time spent in steps.
    pub busy: Duration,
    /// Prompt tokens evaluated (restored ones are not).
    pub prompt_tokens: u64,
    /// Prompt tokens whose keys and values came from the prefix store, where another request or an
    /// earlier one had left them.
    pub restored_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// `batch_sizes[n]`: decode steps with `n` requests; index 0 stays 0.
    pub batch_sizes: Vec<u64>,
}

impl ServeStats {
    /// Generated tokens per second of busy time, prompts included in the time; `None` before the
    /// first step.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.busy.as_secs_f64();
        (seconds > 0.0).then(|| self.generated_tokens as f64 / seconds)
    }

    /// Part of all prompt tokens that was restored and not computed, 0 to 1; `None` before the first.
    pub fn restored_share(&self) -> Option<f64> {
        let all = self.prompt_tokens + self.restored_tokens;
        (all > 0).then(|| self.restored_tokens as f64 / all as f64)
    }

    /// Requests per decode step on average; `None` before the first.
    pub fn batch_mean(&self) -> Option<f64> {
        let steps: u64 = self.batch_sizes.iter().sum();
        let tokens: u64 = (0u64..).zip(&self.batch_sizes).map(|(n, s)| n * s).sum();
        (steps > 0).then(|| tokens as f64 / steps as f64)
    }

    pub(super) fn count(&mut self, outcome: &Result<FinishReason, InferError>) {
        let counter = match outcome {
            Ok(FinishReason::Cancelled) => &mut self.cancelled,
            Ok(FinishReason::DeadlineExceeded) => &mut self.deadline_exceeded,
            Ok(_) => &mut self.finished,
            Err(_) => &mut self.failed,
        };
        *counter += 1;
    }

    pub(super) fn count_batch(&mut self, size: usize) {
        if let Some(steps) = self.batch_sizes.get_mut(size).filter(|_| size > 0) {
            *steps += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_rates() {
        let mut stats = ServeStats {
            batch_sizes: vec![0; 4],
            busy: Duration::from_millis(500),
            generated_tokens: 30,
            prompt_tokens: 30,
            restored_tokens: 90,
            ..ServeStats::default()
        };
        assert_eq!(stats.batch_mean(), None);
        for size in [0, 1, 3, 3, 3, 9] {
            stats.count_batch(size);
        }
        assert_eq!(stats.batch_sizes, [0, 1, 0, 3]);
        assert_eq!(stats.batch_mean(), Some(2.5));
        assert_eq!(stats.tokens_per_second(), Some(60.0));
        assert_eq!(stats.restored_share(), Some(0.75));
        assert_eq!(ServeStats::default().restored_share(), None);
        assert_eq!(ServeStats::default().tokens_per_second(), None);
    }
}
