//! From counts to the most likely number of keys.

use super::tally::Tally;

/// Most likely number of keys for each register, if the number in each is a Poisson variable.
///
/// With `x` keys for each register, a value of exponent `j` occurs with probability
/// `1 - exp(-x 2^-j)`. The logarithm of the likelihood is
/// `sum of seen_j ln(1 - exp(-x 2^-j)) - x missing`, and its derivative falls from plus infinity and
/// is convex, so that Newton's method from below the root goes straight to it.
pub(super) fn most_likely(tally: &Tally) -> f64 {
    let missing = tally.missing_probability();
    let seen = Seen::of(tally);
    if seen.total == 0.0 {
        return 0.0;
    }
    if missing == 0.0 {
        return f64::INFINITY;
    }
    // `1 / (exp(y) - 1) >= 1 / y - 1 / 2` puts this below the root.
    let mut x = seen.total / (missing + 0.5 * seen.weight);
    // Each step at least halves the distance in the worst case; ten are usual.
    for _ in 0..200 {
        let (value, slope) = seen.derivative(x);
        let step = (value - missing) / -slope;
        x += step;
        if step <= 1e-10 * x {
            break;
        }
    }
    x
}

/// The values that occurred, from the least probable exponent to the most probable one.
struct Seen<'a> {
    tally: &'a Tally,
    /// Least and greatest exponent with a count.
    range: (usize, usize),
    /// Number of values.
    total: f64,
    /// Sum of their probabilities.
    weight: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "at most 2^18 registers of 21 values"
)]
impl<'a> Seen<'a> {
    fn of(tally: &'a Tally) -> Self {
        let (mut first, mut last, mut total, mut weight) = (0, 0, 0.0, 0.0);
        let mut probability = 1.0;
        for (exponent, count) in tally.seen.iter().enumerate() {
            if *count > 0 {
                if total == 0.0 {
                    first = exponent;
                }
                last = exponent;
                total += *count as f64;
                weight += *count as f64 * probability;
            }
            probability *= 0.5;
        }
        Self {
            tally,
            range: (first, last),
            total,
            weight,
        }
    }

    /// `sum of seen_j w_j / (exp(x w_j) - 1)` with `w_j = 2^-j`, and its derivative.
    ///
    /// One exponential is enough: with `q_j = 1 - exp(-x w_j)`, `q_(j-1) = q_j (2 - q_j)`, which
    /// loses no digits.
    fn derivative(&self, x: f64) -> (f64, f64) {
        let (first, last) = self.range;
        let mut weight = libm::exp2(-(last as f64));
        let mut q = -libm::expm1(-x * weight);
        let (mut value, mut slope) = (0.0, 0.0);
        for count in self.tally.seen[first..=last].iter().rev() {
            // 1 / (exp(y) - 1) = (1 - q) / q, and its derivative by y is -(1 - q) / q^2.
            let term = *count as f64 * weight / q;
            let rest = 1.0 - q;
            value += term * rest;
            slope -= term * rest * weight / q;
            q *= 2.0 - q;
            weight *= 2.0;
        }
        (value, slope)
    }
}
