//! Latency quantiles; the only file that knows the `sketches` crate.

use crate::error::CollectiveError;
use sketches::DdSketch;
use std::time::Duration;

/// Relative error of a reported quantile.
const RELATIVE_ERROR: f64 = 0.01;

/// Durations of one kind, kept as a sketch of quantiles within 1 %.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    sketch: DdSketch,
    max_ns: u64,
}

/// Quantiles of a set of durations, each within 1 % of the exact one; zero when there are none.
///
/// # Source
/// `DDSketch`, Masson, Rim and Lee 2019, by the crate `sketches`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many durations there are.
    pub count: u64,
    /// Half of them are no longer than this.
    pub p50: Duration,
    /// 99 of 100 are no longer than this.
    pub p99: Duration,
    /// 999 of 1,000 are no longer than this.
    pub p999: Duration,
    /// The longest, exact.
    pub max: Duration,
}

impl Latency {
    pub(crate) fn new() -> Result<Self, CollectiveError> {
        let sketch = DdSketch::new(RELATIVE_ERROR).map_err(|_| CollectiveError::InvalidConfig {
            name: "latency relative error",
            value: RELATIVE_ERROR.to_string(),
            allowed: "what the quantile sketch accepts",
        })?;
        Ok(Self { sketch, max_ns: 0 })
    }

    /// Adds one duration; none counts as shorter than a nanosecond.
    #[expect(
        clippy::cast_precision_loss,
        reason = "1 % is promised, f64 keeps 16 digits"
    )]
    pub(crate) fn record(&mut self, ns: u64) {
        self.sketch.insert(ns.max(1) as f64);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what the other one holds; both have the same relative error, so this cannot fail.
    pub(crate) fn merge(&mut self, other: &Self) {
        let merged = self.sketch.merge(&other.sketch);
        debug_assert!(
            merged.is_ok(),
            "sketches of one runtime have one relative error"
        );
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let max = Duration::from_nanos(self.max_ns);
        let at = |q| {
            let ns = self.sketch.quantile(q).unwrap_or(0.0);
            Duration::from_secs_f64(ns / 1e9).min(max)
        };
        Quantiles {
            count: self.sketch.count(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_per_cent_also_after_a_merge() {
        let (mut low, mut high) = (Latency::new().unwrap(), Latency::new().unwrap());
        for us in 1..=500u64 {
            low.record(us * 1_000);
            high.record((us + 500) * 1_000);
        }
        low.merge(&high);
        let quantiles = low.quantiles();
        assert_eq!(quantiles.count, 1_000);
        assert_eq!(quantiles.max, Duration::from_micros(1_000));
        for (got, exact_us) in [(quantiles.p50, 500.0), (quantiles.p99, 990.0)] {
            let error = (got.as_secs_f64() * 1e6 / exact_us - 1.0).abs();
            assert!(error <= 0.012, "{got:?} against {exact_us} us");
        }
    }

    #[test]
    fn nothing_recorded_gives_zeros() {
        assert_eq!(Latency::new().unwrap().quantiles(), Quantiles::default());
    }
}
