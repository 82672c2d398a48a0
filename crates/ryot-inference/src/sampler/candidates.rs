//! The filters: temperature, top-k, top-p, min-p, and the draw.

use std::cmp::Ordering;

use super::Sampling;

/// A token with its weight; the weight is `exp(logit - best)` after temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: u32,
    pub(super) weight: f64,
}

/// Best first; the lower id first on a tie, so that the order never depends on the sort.
fn best_first(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Builds the set that is drawn from. Empty when every logit is `-inf`.
///
/// Cost: O(v) without top-p; with it, O(v log v) for the v tokens that top-k leaves.
pub(super) fn candidates(logits: &[f32], sampling: &Sampling) -> Vec<Candidate> {
    let mut set: Vec<(u32, f32)> = (0u32..)
        .zip(logits.iter().copied())
        .filter(|(_, logit)| *logit > f32::NEG_INFINITY)
        .collect();
    if sampling.top_k > 0 && sampling.top_k < set.len() {
        set.select_nth_unstable_by(sampling.top_k, best_first);
        set.truncate(sampling.top_k);
    }
    if sampling.top_p < 1.0 || sampling.top_k > 0 {
        set.sort_unstable_by(best_first);
    }
    let best = set
        .iter()
        .map(|(_, logit)| *logit)
        .fold(f32::NEG_INFINITY, f32::max);
    let scale = 1.0 / f64::from(sampling.temperature);
    let mut set: Vec<Candidate> = set
        .into_iter()
        .map(|(token, logit)| Candidate {
            token,
            weight: ((f64::from(logit) - f64::from(best)) * scale).exp(),
        })
        .collect();
    if sampling.top_p < 1.0 {
        keep_top_p(&mut set, f64::from(sampling.top_p));
    }
    if sampling.min_p > 0.0 {
        // the best weight is exactly 1
        set.retain(|c| c.weight >= f64::from(sampling.min_p));
    }
    set
}

/// Cuts a best-first set after the token that brings the probability to `p`.
fn keep_top_p(set: &mut Vec<Candidate>, p: f64) {
    let limit = p * set.iter().map(|c| c.weight).sum::<f64>();
    let mut sum = 0.0;
    let kept = set.iter().position(|c| {
        sum += c.weight;
        sum >= limit
    });
    if let Some(last) = kept {
        set.truncate(last + 1);
    }
}

/// Picks the token at `unit` (in `[0, 1)`) of the cumulative weight.
pub(super) fn draw(set: &[Candidate], unit: f64) -> Option<u32> {
    let target = unit * set.iter().map(|c| c.weight).sum::<f64>();
    let mut sum = 0.0;
    for c in set {
        sum += c.weight;
        if sum > target {
            return Some(c.token);
        }
    }
    // rounding can leave the target a hair above the sum
    set.iter().rev().find(|c| c.weight > 0.0).map(|c| c.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
        let mut ids: Vec<u32> = candidates(logits, sampling)
            .iter()
            .map(|c| c.token)
            .collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn top_k_keeps_the_best_and_breaks_ties_by_id() {
        let logits = [1.0, 3.0, 2.0, 3.0, 2.0];
        assert_eq!(ids(&logits, &Sampling::random(0).top_k(3)), [1, 2, 3]);
        assert_eq!(ids(&logits, &Sampling::random(0).top_k(9)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        assert_eq!(ids(&logits, &Sampling::random(0).top_p(0.4)), [0]);
        assert_eq!(ids(&logits, &Sampling::random(0).top_p(0.7)), [0, 1]);
        assert_eq!(ids(&logits, &Sampling::random(0).top_p(0.81)), [0, 1, 2]);
        assert_eq!(ids(&logits, &Sampling::random(0).top_p(1.0)), [0, 1, 2, 3]);
    }

    #[test]
    fn min_p_is_relative_to_the_best() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        assert_eq!(ids(&logits, &Sampling::random(0).min_p(0.29)), [0, 1, 2]);
        assert_eq!(ids(&logits, &Sampling::random(0).min_p(0.7)), [0]);
    }

    #[test]
    fn temperature_comes_before_top_p() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
        // at temperature 0.25 the first token alone holds 0.86
        let cold = Sampling::random(0).temperature(0.25).top_p(0.75);
        assert_eq!(ids(&logits, &cold), [0]);
        assert_eq!(ids(&logits, &Sampling::random(0).top_p(0.75)), [0, 1]);
    }

    #[test]
    fn draw_covers_the_ends() {
        let set = [
            Candidate {
                token: 4,
                weight: 1.0,
            },
            Candidate {
                token: 9,
                weight: 1.0,
            },
        ];
        assert_eq!(draw(&set, 0.0), Some(4));
        assert_eq!(draw(&set, 0.499), Some(4));
        assert_eq!(draw(&set, 0.5), Some(9));
        assert_eq!(draw(&set, 0.999_999_999), Some(9));
        assert_eq!(draw(&[], 0.5), None);
    }
}
