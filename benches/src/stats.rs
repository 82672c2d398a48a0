//! The statistics of comparisons and slopes, without distributional assumptions.
//!
//! | function | source |
//! |---|---|
//! | [`rank_sum_p`] | Wilcoxon (1945), Mann and Whitney (1947); midranks for ties, exact by enumeration of their distribution |
//! | [`shift`] | Hodges and Lehmann (1963), its one-sided bound by Moses: Hollander and Wolfe, "Nonparametric Statistical Methods", 4.2-4.3 |
//! | [`slope`] | Theil (1950), its interval by Sen (1968) |

/// Most observations of both sides together whose rank sums are enumerated exactly.
const EXACT_MAX: usize = 40;

/// Median; none of no values. Values have to be finite.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan, 1996).
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = q.clamp(0.0, 1.0) * as_f64(sorted.len().checked_sub(1)?);
    let below = floor(position);
    let low = *sorted.get(below)?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + (high - low) * (position - as_f64(below)))
}

/// Geometric mean; none of no values or where one is not above zero.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| *value <= 0.0) {
        return None;
    }
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    Some((logarithms / as_f64(values.len())).exp())
}

/// Probability that ranks of `new` as high as these, or higher, come from equal distributions.
///
/// One-sided. Exact up to 40 values (ties included), else by the normal approximation with
/// corrections for ties and continuity. Returns 1 where a side has no value.
#[must_use]
pub fn rank_sum_p(base: &[f64], new: &[f64]) -> f64 {
    if base.is_empty() || new.is_empty() {
        return 1.0;
    }
    // Twice the midrank, so that it is a whole number.
    let mut all: Vec<f64> = base.iter().chain(new).copied().collect();
    all.sort_by(f64::total_cmp);
    let twice_rank = |value: f64| {
        let below = all.iter().filter(|other| **other < value).count();
        let equal = all.iter().filter(|other| **other == value).count();
        2 * below + equal + 1
    };
    let ranks: Vec<usize> = all.iter().map(|value| twice_rank(*value)).collect();
    let observed: usize = new.iter().map(|value| twice_rank(*value)).sum();
    if all.len() <= EXACT_MAX {
        exact_tail(&ranks, new.len(), observed)
    } else {
        normal_tail(&all, new.len(), observed)
    }
}

/// Share of the subsets of `count` ranks whose sum is at least `observed`.
fn exact_tail(ranks: &[usize], count: usize, observed: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // ways[k][s]: subsets of k ranks with sum s, as floats: at most C(40, 20) = 1.4e11.
    let mut ways = vec![vec![0.0_f64; total + 1]; count + 1];
    ways[0][0] = 1.0;
    for (seen, rank) in ranks.iter().enumerate() {
        for k in (1..=count.min(seen + 1)).rev() {
            for sum in (*rank..=total).rev() {
                ways[k][sum] += ways[k - 1][sum - rank];
            }
        }
    }
    let all: f64 = ways[count].iter().sum();
    let tail: f64 = ways[count].iter().skip(observed).sum();
    tail / all
}

fn normal_tail(sorted: &[f64], count: usize, observed: usize) -> f64 {
    let (total, n) = (as_f64(sorted.len()), as_f64(count));
    let others = total - n;
    let mean = n * (total + 1.0) / 2.0;
    // A run of t equal values lowers the variance by its t^3 - t.
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|run| as_f64(run.len()).powi(3) - as_f64(run.len()))
        .sum();
    let variance = n * others / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    upper_normal((as_f64(observed) / 2.0 - mean - 0.5) / variance.sqrt())
}

/// Upper tail of the standard normal distribution, by the complementary error function of
/// Numerical Recipes (Chebyshev fit, relative error below 1.2e-7).
fn upper_normal(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let fit = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let exponent = fit.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let erfc = t * (exponent - x * x).exp();
    0.5 * if x >= 0.0 { erfc } else { 2.0 - erfc }
}

/// How far a sample lies above another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Median of all differences `new - base`.
    pub estimate: f64,
    /// The shift is at least this with the confidence asked for; minus infinity where the samples
    /// are too small for that confidence.
    pub at_least: f64,
}

/// Shift from `base` to `new` and its one-sided lower bound with error `alpha`; none where a side
/// has no value.
#[must_use]
pub fn shift(base: &[f64], new: &[f64], alpha: f64) -> Option<Shift> {
    let mut differences: Vec<f64> = base
        .iter()
        .flat_map(|base| new.iter().map(move |new| new - base))
        .collect();
    differences.sort_by(f64::total_cmp);
    let estimate = median(&differences)?;
    // The k-th smallest difference is the bound, k the most with P(U < k) <= alpha.
    let counts = u_counts(base.len(), new.len());
    let all: f64 = counts.iter().sum();
    let mut tail = 0.0;
    let mut k = 0;
    for count in counts {
        tail += count / all;
        if tail > alpha + 1e-12 {
            break;
        }
        k += 1;
    }
    let at_least = if k == 0 {
        f64::NEG_INFINITY
    } else {
        differences[k - 1]
    };
    Some(Shift { estimate, at_least })
}

/// Number of orderings of `n` and `m` values for each value of Mann and Whitney's U.
fn u_counts(n: usize, m: usize) -> Vec<f64> {
    // Ranks 1..n+m without ties: U is the rank sum less its least value.
    let top = n * m;
    let mut ways = vec![vec![0.0_f64; top + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for k in (1..=n.min(rank + 1)).rev() {
            // The k-th chosen value, smallest first, adds the number of others below it.
            let Some(added) = (rank + 1).checked_sub(k).filter(|added| *added <= m) else {
                continue;
            };
            for u in (added..=top).rev() {
                ways[k][u] += ways[k - 1][u - added];
            }
        }
    }
    ways.swap_remove(n)
}

/// A slope with its confidence interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Slope {
    /// Median of the slopes of all pairs of points.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Slope of `y` against `x`, resistant to outliers; at most the first 400 points are used.
///
/// The interval takes points for independent: for a series whose neighbours resemble each other it
/// is too narrow. None with fewer than ten points or where `x` does not vary.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    let points = &points[..points.len().min(400)];
    if points.len() < 10 {
        return None;
    }
    let mut slopes = Vec::new();
    for (at, first) in points.iter().enumerate() {
        for second in &points[at + 1..] {
            if second.0 != first.0 {
                slopes.push((second.1 - first.1) / (second.0 - first.0));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    let n = as_f64(points.len());
    let half = 1.959_964 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let pairs = as_f64(slopes.len());
    let low = floor(((pairs - half) / 2.0).max(0.0));
    let high = floor(((pairs + half) / 2.0).max(0.0));
    Some(Slope {
        estimate: median(&slopes)?,
        low: *slopes.get(low)?,
        high: slopes.get(high).or(slopes.last()).copied()?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions in a list, at least 0"
)]
fn floor(position: f64) -> usize {
    position.floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!(
            (found - expected).abs() <= tolerance,
            "{found}, not {expected}"
        );
    }

    #[test]
    fn quantiles_interpolate_between_order_statistics() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.9), Some(4.6));
        assert_eq!(geometric_mean(&[1.0, 4.0]), Some(2.0));
        assert_eq!(geometric_mean(&[1.0, 0.0]), None);
    }

    /// Table of Mann and Whitney (1947): P(U <= u) for small samples.
    #[test]
    fn rank_sums_agree_with_the_published_table() {
        // n = m = 3, all above: 1 of 20 orders.
        close(rank_sum_p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.05, 1e-12);
        // n = m = 3, U = 1 and U = 2: 2 and 4 of 20.
        close(rank_sum_p(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 0.10, 1e-12);
        close(rank_sum_p(&[1.0, 2.0, 5.0], &[3.0, 4.0, 6.0]), 0.20, 1e-12);
        // n = m = 5, U = 2: 4 of 252, printed as .016.
        let (base, new) = ([1.0, 2.0, 3.0, 4.0, 7.0], [5.0, 6.0, 8.0, 9.0, 10.0]);
        close(rank_sum_p(&base, &new), 4.0 / 252.0, 1e-12);
        // n = m = 10, all above: 1 of 184,756.
        let low: Vec<f64> = (0..10).map(f64::from).collect();
        let high: Vec<f64> = (10..20).map(f64::from).collect();
        close(rank_sum_p(&low, &high), 1.0 / 184_756.0, 1e-15);
        close(rank_sum_p(&high, &low), 1.0, 1e-12);
        assert!((rank_sum_p(&[], &[1.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_share_their_ranks() {
        // All six orders of {1, 1 | 1, 2}: the pair {1, 2} is one of three equal pairs, twice the
        // midranks being 4, 4, 4, 8.
        close(rank_sum_p(&[1.0, 1.0], &[1.0, 2.0]), 0.5, 1e-12);
        close(rank_sum_p(&[1.0; 3], &[1.0; 3]), 1.0, 1e-12);
    }

    #[test]
    fn the_normal_approximation_continues_the_exact_test() {
        // Ranks 1 to 24 without ties, twice each, twelve of them new.
        let sorted: Vec<f64> = (0..24).map(f64::from).collect();
        let ranks: Vec<usize> = (1..=24).map(|rank| 2 * rank).collect();
        for rank_sum in [140, 150, 170, 190, 200] {
            let exact = exact_tail(&ranks, 12, 2 * rank_sum);
            close(normal_tail(&sorted, 12, 2 * rank_sum), exact, 0.004);
        }
        close(upper_normal(1.959_964), 0.025, 1e-6);
        close(upper_normal(-1.0), 0.841_344_7, 1e-6);
        close(rank_sum_p(&[1.0; 30], &[1.0; 30]), 1.0, 1e-12);
    }

    #[test]
    fn the_bound_of_a_shift_is_the_difference_that_the_table_names() {
        // n = m = 3: with error 0.05 the least difference, with 0.1 the second.
        let (base, new) = ([1.0, 2.0, 3.0], [11.0, 13.0, 17.0]);
        let at = |alpha| shift(&base, &new, alpha).unwrap();
        close(at(0.05).at_least, 8.0, 1e-12);
        close(at(0.10).at_least, 9.0, 1e-12);
        assert_eq!(at(0.01).at_least, f64::NEG_INFINITY);
        // Differences 8 9 10 10 11 12 14 15 16.
        close(at(0.05).estimate, 11.0, 1e-12);
        assert!(shift(&[], &new, 0.05).is_none());
    }

    #[test]
    fn counts_of_u_are_those_of_the_enumeration() {
        assert_eq!(u_counts(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(
            u_counts(3, 3),
            [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0, 1.0]
        );
        let all: f64 = u_counts(4, 7).iter().sum();
        close(all, 330.0, 1e-9);
    }

    #[test]
    fn a_line_with_outliers_keeps_its_slope() {
        let mut points: Vec<(f64, f64)> =
            (0..50).map(|i| (f64::from(i), f64::from(2 * i))).collect();
        points[10].1 = 1e6;
        points[40].1 = -1e6;
        let found = slope(&points).unwrap();
        close(found.estimate, 2.0, 1e-9);
        assert!(found.low <= 2.0 && found.high >= 2.0);
        let flat: Vec<(f64, f64)> = (0..50)
            .map(|i| (f64::from(i), f64::from(i * 7919 % 13)))
            .collect();
        let found = slope(&flat).unwrap();
        assert!(found.low < 0.0 && found.high > 0.0, "{found:?}");
        assert!(slope(&points[..9]).is_none());
        assert!(slope(&[(1.0, 1.0); 20]).is_none());
    }
}
