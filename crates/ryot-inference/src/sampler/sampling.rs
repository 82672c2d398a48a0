//! Sampling parameters.

use crate::error::{InferError, Result};

/// How the next token is chosen. The default is greedy.
///
/// The order of the steps is fixed: logit bias, repetition, presence and frequency penalty,
/// temperature, top-k, top-p, min-p, one draw. With `temperature` 0 the highest logit after bias
/// and penalties wins (the lower id on a tie) and nothing is drawn.
///
/// ```
/// use ryot_inference::Sampling;
/// let sampling = Sampling::random(7).temperature(0.8).top_k(40).top_p(0.95);
/// assert_eq!(sampling.seed, 7);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Divisor of the logits. Default 0 (greedy), legal 0 to 100; higher is more random.
    pub temperature: f32,
    /// Keep the `k` best tokens. Default 0 (all).
    pub top_k: usize,
    /// Keep the smallest set of best tokens whose probability is at least `p`. Default 1 (all),
    /// legal above 0 to 1.
    pub top_p: f32,
    /// Drop tokens less probable than `min_p` times the best one. Default 0 (none), legal 0 to 1.
    pub min_p: f32,
    /// Positive logits of recent tokens are divided by this, negative ones multiplied (Keskar et
    /// al. 2019). Default 1 (none), legal above 0 to 100.
    pub repetition_penalty: f32,
    /// Taken once from the logit of each recent token. Default 0, legal -100 to 100.
    pub presence_penalty: f32,
    /// Taken from the logit of each recent token once per occurrence. Default 0, legal -100 to 100.
    pub frequency_penalty: f32,
    /// How many of the last tokens (prompt included) the penalties look at. Default 64.
    pub penalty_window_tokens: usize,
    /// Added to the logits of single tokens before everything else; `-inf` forbids a token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the draws. Default 0. The same seed, model and prompt give the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self::greedy()
    }
}

impl Sampling {
    /// The most probable token each time; no randomness.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window_tokens: 64,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }

    /// Draws from the model's own distribution (temperature 1) with `seed`.
    pub fn random(seed: u64) -> Self {
        Self {
            temperature: 1.0,
            seed,
            ..Self::greedy()
        }
    }

    /// Sets the temperature; see [`Sampling::temperature`](Self#structfield.temperature).
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Keeps the `k` best tokens; 0 keeps all.
    pub fn top_k(mut self, k: usize) -> Self {
        self.top_k = k;
        self
    }

    /// Keeps the smallest set of best tokens with probability at least `p`.
    pub fn top_p(mut self, p: f32) -> Self {
        self.top_p = p;
        self
    }

    /// Drops tokens less probable than `p` times the best one.
    pub fn min_p(mut self, p: f32) -> Self {
        self.min_p = p;
        self
    }

    /// Penalises tokens that occurred recently; 1 is off.
    pub fn repetition_penalty(mut self, penalty: f32) -> Self {
        self.repetition_penalty = penalty;
        self
    }

    /// Penalises tokens that occurred recently, once each; 0 is off.
    pub fn presence_penalty(mut self, penalty: f32) -> Self {
        self.presence_penalty = penalty;
        self
    }

    /// Penalises tokens that occurred recently, per occurrence; 0 is off.
    pub fn frequency_penalty(mut self, penalty: f32) -> Self {
        self.frequency_penalty = penalty;
        self
    }

    /// Sets how many recent tokens the penalties look at.
    pub fn penalty_window_tokens(mut self, tokens: usize) -> Self {
        self.penalty_window_tokens = tokens;
        self
    }

    /// Adds `bias` to the logit of `token`.
    pub fn logit_bias(mut self, token: u32, bias: f32) -> Self {
        self.logit_bias.push((token, bias));
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`InferError::Parameter`] names the first field that is out of range.
    pub(crate) fn validate(&self) -> Result<()> {
        range("temperature", self.temperature, 0.0, 100.0)?;
        range("min_p", self.min_p, 0.0, 1.0)?;
        range("presence_penalty", self.presence_penalty, -100.0, 100.0)?;
        range("frequency_penalty", self.frequency_penalty, -100.0, 100.0)?;
        above_zero("top_p", self.top_p, 1.0)?;
        above_zero("repetition_penalty", self.repetition_penalty, 100.0)?;
        match self
            .logit_bias
            .iter()
            .find(|(_, b)| b.is_nan() || *b == f32::INFINITY)
        {
            Some((_, bias)) => Err(InferError::parameter(
                "logit_bias",
                bias,
                "a number or -inf",
            )),
            None => Ok(()),
        }
    }
}

fn range(name: &'static str, value: f32, low: f32, high: f32) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(InferError::parameter(
        name,
        value,
        format!("{low} to {high}"),
    ))
}

fn above_zero(name: &'static str, value: f32, high: f32) -> Result<()> {
    if value > 0.0 && value <= high {
        return Ok(());
    }
    Err(InferError::parameter(
        name,
        value,
        format!("above 0 to {high}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_as_documented() {
        let s = Sampling::default();
        assert_eq!(s, Sampling::greedy());
        assert_eq!(
            (s.temperature, s.top_k, s.top_p, s.min_p),
            (0.0, 0, 1.0, 0.0)
        );
        assert_eq!(
            (s.repetition_penalty, s.penalty_window_tokens, s.seed),
            (1.0, 64, 0)
        );
        assert!(s.validate().is_ok());
    }

    #[test]
    fn out_of_range_values_are_named() {
        for (bad, name) in [
            (Sampling::random(0).temperature(-1.0), "temperature"),
            (Sampling::random(0).temperature(f32::NAN), "temperature"),
            (Sampling::random(0).top_p(0.0), "top_p"),
            (Sampling::random(0).top_p(1.5), "top_p"),
            (Sampling::random(0).min_p(-0.1), "min_p"),
            (
                Sampling::random(0).repetition_penalty(0.0),
                "repetition_penalty",
            ),
            (
                Sampling::random(0).presence_penalty(f32::INFINITY),
                "presence_penalty",
            ),
            (
                Sampling::random(0).frequency_penalty(101.0),
                "frequency_penalty",
            ),
            (Sampling::random(0).logit_bias(1, f32::NAN), "logit_bias"),
        ] {
            let message = bad.validate().unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
            assert!(message.contains("allowed"), "{message}");
        }
    }
}
