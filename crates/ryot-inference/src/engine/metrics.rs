//! What one generation cost.

use std::time::Duration;

use crate::speculate::SpeculationStats;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model chose an end-of-sequence token.
    EndOfSequence,
    /// [`Request::max_tokens`](crate::Request::max_tokens) were generated.
    MaxTokens,
    /// A stop string appeared; it is not part of the text.
    StopString,
    /// Prompt and answer fill the context.
    ContextFull,
    /// The cancel token was used.
    Cancelled,
    /// The deadline passed.
    DeadlineExceeded,
}

/// Counts and times of one generation.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens whose keys and values came from the prefix store.
    pub restored_tokens: usize,
    /// Tokens whose keys and values were dropped for a [`KvWindow`](crate::KvWindow).
    pub forgotten_tokens: usize,
    /// Tokens generated, without an end-of-sequence token.
    pub generated_tokens: usize,
    /// From `submit` to the first step; zero for a generation without a server.
    pub queue_time: Duration,
    /// From `generate` or `submit` to the first token; `None` before it.
    pub time_to_first_token: Option<Duration>,
    /// Between each token and the one before; tokens kept from one step of speculation come
    /// together.
    pub inter_token: Vec<Duration>,
    /// From `generate` or `submit` to the latest token, or to the end.
    pub elapsed: Duration,
    /// Times that the prefix store failed or gave a block that does not fit.
    pub prefix_errors: u32,
    /// Guesses made and kept; all zero without speculation.
    pub speculation: SpeculationStats,
}

impl Metrics {
    /// Generated tokens per second after the first one; `None` before there are two.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.inter_token.iter().sum::<Duration>().as_secs_f64();
        (seconds > 0.0).then(|| self.inter_token.len() as f64 / seconds)
    }

    /// The time between tokens that a fraction `q` (0 to 1) of them stays within (nearest rank).
    pub fn inter_token_quantile(&self, q: f64) -> Option<Duration> {
        let mut sorted = self.inter_token.clone();
        sorted.sort_unstable();
        let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to len"
        )]
        let rank = rank as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_quantiles() {
        let ms = Duration::from_millis;
        let m = Metrics {
            inter_token: vec![ms(30), ms(10), ms(20), ms(40)],
            ..Metrics::default()
        };
        assert_eq!(m.tokens_per_second(), Some(40.0));
        assert_eq!(m.inter_token_quantile(0.5), Some(ms(20)));
        assert_eq!(m.inter_token_quantile(1.0), Some(ms(40)));
        assert_eq!(m.inter_token_quantile(0.0), Some(ms(10)));
        assert_eq!(Metrics::default().inter_token_quantile(0.5), None);
        assert_eq!(Metrics::default().tokens_per_second(), None);
    }
}
