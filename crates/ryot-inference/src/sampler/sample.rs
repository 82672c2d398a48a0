//! One token per call.

use super::candidates::{candidates, draw};
use super::penalty::{apply_bias, apply_penalties};
use super::{Sampling, SplitMix64};
use crate::cpu::{Highest, Isa, highest};
use crate::error::{InferError, Result};

/// Turns logits into tokens by the rules of a [`Sampling`].
///
/// Deterministic: the tokens depend on the sampling, the logits and the number of calls before.
///
/// ```
/// use ryot_inference::{Sampler, Sampling};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let mut sampler = Sampler::new(Sampling::greedy())?;
/// assert_eq!(sampler.sample(&[0.1, 2.0, -1.0], &[])?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: SplitMix64,
    scratch: Vec<f32>,
}

impl Sampler {
    /// Checks the parameters and starts the sequence of draws.
    ///
    /// # Errors
    /// [`InferError::Parameter`] when a field is out of range.
    pub fn new(sampling: Sampling) -> Result<Self> {
        sampling.validate()?;
        let rng = SplitMix64::new(sampling.seed);
        Ok(Self {
            sampling,
            rng,
            scratch: Vec::new(),
        })
    }

    /// Chooses a token. `history` is every token so far, prompt included, newest last.
    ///
    /// Cost: O(vocabulary), plus a sort of what top-k leaves when top-p is set.
    ///
    /// # Errors
    /// [`InferError::NonFiniteLogit`] for NaN or `+inf`, [`InferError::NoCandidates`] when every
    /// logit is `-inf`.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32> {
        let best = highest(Isa::detect(), logits);
        if !best.all_below_infinity {
            return Err(not_finite(logits, history.len()));
        }
        if self.sampling.temperature == 0.0 && self.sampling.keeps_logits() {
            return token_of(best).ok_or(InferError::NoCandidates {
                position: history.len(),
            });
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(logits);
        apply_bias(&mut self.scratch, &self.sampling.logit_bias);
        let window = self.sampling.penalty_window_tokens.min(history.len());
        let recent = history.get(history.len() - window..).unwrap_or_default();
        apply_penalties(&mut self.scratch, recent, &self.sampling);
        let chosen = if self.sampling.temperature == 0.0 {
            argmax(&self.scratch)
        } else {
            draw(
                &candidates(&self.scratch, &self.sampling),
                self.rng.next_unit(),
            )
        };
        chosen.ok_or(InferError::NoCandidates {
            position: history.len(),
        })
    }
}

/// The highest logit above `-inf`; the lower id on a tie.
pub(crate) fn argmax(logits: &[f32]) -> Option<u32> {
    token_of(highest(Isa::detect(), logits))
}

fn token_of(best: Highest) -> Option<u32> {
    best.index.and_then(|index| u32::try_from(index).ok())
}

/// Natural logarithm of the softmax probability of `token`.
pub(crate) fn log_probability(logits: &[f32], token: u32) -> Option<f32> {
    let best = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - best).exp()).sum();
    let logit = f64::from(*logits.get(token as usize)?);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to f32 is the point"
    )]
    let value = (logit - best - sum.ln()) as f32;
    Some(value)
}

/// The error for the first logit that is NaN or `+inf`.
fn not_finite(logits: &[f32], position: usize) -> InferError {
    let bad = (0u32..)
        .zip(logits)
        .find(|(_, l)| l.is_nan() || **l == f32::INFINITY);
    let (token, value) = bad.map_or((0, f32::NAN), |(token, value)| (token, *value));
    InferError::NonFiniteLogit {
        token,
        value,
        position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(sampling: Sampling) -> Sampler {
        Sampler::new(sampling).unwrap()
    }

    #[test]
    fn greedy_takes_the_best_and_the_lower_id_on_a_tie() {
        let mut s = sampler(Sampling::greedy());
        assert_eq!(s.sample(&[1.0, 5.0, 5.0], &[]).unwrap(), 1);
    }

    #[test]
    fn the_best_is_found_wherever_it_stands() {
        for len in [1, 15, 16, 17, 40] {
            for at in 0..len {
                let mut logits = vec![f32::NEG_INFINITY; len];
                assert_eq!(argmax(&logits), None);
                logits[at] = -3.0;
                assert_eq!(argmax(&logits), u32::try_from(at).ok());
                logits[at] = f32::NAN;
                assert_eq!(argmax(&logits), None);
                let error = sampler(Sampling::greedy())
                    .sample(&logits, &[0; 7])
                    .unwrap_err();
                let expected = format!("logit of token {at} is NaN at position 7");
                assert_eq!(error.to_string(), expected);
            }
        }
    }

    #[test]
    fn not_a_number_is_an_error_with_its_token() {
        let mut s = sampler(Sampling::greedy());
        let e = s.sample(&[0.0, f32::NAN], &[3, 4]).unwrap_err();
        assert_eq!(e.to_string(), "logit of token 1 is NaN at position 2");
        assert!(s.sample(&[0.0, f32::INFINITY], &[]).is_err());
    }

    #[test]
    fn masked_out_vocabulary_is_an_error() {
        let nothing = [f32::NEG_INFINITY; 3];
        for sampling in [
            Sampling::greedy(),
            Sampling::random(1),
            Sampling::random(1).top_k(2),
        ] {
            let e = sampler(sampling).sample(&nothing, &[]).unwrap_err();
            assert!(matches!(e, InferError::NoCandidates { position: 0 }));
        }
    }

    #[test]
    fn bias_can_forbid_the_best_token() {
        let mut s = sampler(Sampling::greedy().logit_bias(1, f32::NEG_INFINITY));
        assert_eq!(s.sample(&[1.0, 5.0, 4.0], &[]).unwrap(), 2);
    }

    #[test]
    fn penalty_window_forgets_old_tokens() {
        let sampling = Sampling::greedy()
            .repetition_penalty(10.0)
            .penalty_window_tokens(2);
        let mut s = sampler(sampling);
        assert_eq!(s.sample(&[2.0, 1.9, 0.0], &[0, 2, 2]).unwrap(), 0);
        assert_eq!(s.sample(&[2.0, 1.9, 0.0], &[2, 0, 2]).unwrap(), 1);
    }

    #[test]
    fn same_seed_same_tokens_and_another_seed_others() {
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32 * 0.3).collect();
        let run = |seed| {
            let mut s = sampler(Sampling::random(seed).top_k(30).top_p(0.9));
            (0..64)
                .map(|_| s.sample(&logits, &[]).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    /// Chi-square against the softmax. 5 cells, 4 degrees of freedom: 18.47 is the 0.999 quantile;
    /// the seed is fixed, so the test always sees the same draws.
    #[test]
    fn draws_follow_the_distribution() {
        let p = [0.4f32, 0.3, 0.15, 0.1, 0.05];
        let logits = p.map(f32::ln);
        for (seed, sampling) in [
            (1, Sampling::random(1)),
            (2, Sampling::random(2).top_k(5)),
            (3, Sampling::random(3).top_p(0.999_999)),
        ] {
            let mut s = sampler(sampling);
            let n = 20_000;
            let mut counts = [0u32; 5];
            for _ in 0..n {
                counts[s.sample(&logits, &[]).unwrap() as usize] += 1;
            }
            let chi: f64 = counts
                .iter()
                .zip(p)
                .map(|(&c, p)| (f64::from(c), f64::from(p) * f64::from(n)))
                .map(|(count, expected)| (count - expected).powi(2) / expected)
                .sum();
            assert!(
                chi < 18.47,
                "seed {seed}: chi-square {chi}, counts {counts:?}"
            );
        }
    }

    #[test]
    fn log_probability_is_the_log_softmax() {
        let logits = [0.5f32.ln() + 3.0, 0.25f32.ln() + 3.0, 0.25f32.ln() + 3.0];
        assert!((log_probability(&logits, 0).unwrap() - 0.5f32.ln()).abs() < 1e-6);
        assert!((log_probability(&logits, 2).unwrap() - 0.25f32.ln()).abs() < 1e-6);
        assert_eq!(log_probability(&logits, 3), None);
    }
}
