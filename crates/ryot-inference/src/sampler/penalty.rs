//! Bias and penalties: the steps that change logits.

use super::Sampling;

/// Adds the logit bias; ids outside the vocabulary are ignored.
pub(super) fn apply_bias(logits: &mut [f32], bias: &[(u32, f32)]) {
    for &(token, b) in bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += b;
        }
    }
}

impl Sampling {
    /// Whether neither bias nor penalties change a logit.
    pub(super) fn keeps_logits(&self) -> bool {
        self.logit_bias.is_empty() && self.has_no_penalty()
    }

    fn has_no_penalty(&self) -> bool {
        self.repetition_penalty == 1.0
            && self.presence_penalty == 0.0
            && self.frequency_penalty == 0.0
    }
}

/// Applies repetition, presence and frequency penalty for the tokens in `recent`.
///
/// Cost: O(n log n) for n recent tokens.
pub(super) fn apply_penalties(logits: &mut [f32], recent: &[u32], sampling: &Sampling) {
    if sampling.has_no_penalty() || recent.is_empty() {
        return;
    }
    let mut sorted = recent.to_vec();
    sorted.sort_unstable();
    for run in sorted.chunk_by(|a, b| a == b) {
        let Some(logit) = run.first().and_then(|&t| logits.get_mut(t as usize)) else {
            continue;
        };
        if *logit > 0.0 {
            *logit /= sampling.repetition_penalty;
        } else {
            *logit *= sampling.repetition_penalty;
        }
        *logit -= sampling.presence_penalty + sampling.frequency_penalty * run.len() as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_penalty_lowers_both_signs() {
        let mut logits = [2.0, -2.0, 2.0];
        apply_penalties(
            &mut logits,
            &[0, 1, 0],
            &Sampling::greedy().repetition_penalty(2.0),
        );
        assert_eq!(logits, [1.0, -4.0, 2.0]);
    }

    #[test]
    fn frequency_counts_occurrences_and_presence_does_not() {
        let mut logits = [1.0, 1.0, 1.0];
        let sampling = Sampling::greedy()
            .frequency_penalty(0.25)
            .presence_penalty(0.5);
        apply_penalties(&mut logits, &[2, 0, 2], &sampling);
        assert_eq!(logits, [0.25, 1.0, 0.0]);
    }

    #[test]
    fn bias_outside_the_vocabulary_is_ignored() {
        let mut logits = [1.0, 1.0];
        apply_bias(&mut logits, &[(1, -3.0), (9, 5.0)]);
        assert_eq!(logits, [1.0, -2.0]);
    }
}
