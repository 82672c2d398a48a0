//! Settings of hedging.

use crate::config::invalid;
use crate::error::CollectiveError;

/// Settings of a [`Hedge`](crate::Hedge); checked by [`Hedge::new`](crate::Hedge::new).
#[derive(Clone, Debug)]
pub struct HedgeConfig {
    pub(super) quantile: f64,
    pub(super) factor: f64,
    pub(super) extra_max: f64,
    pub(super) requests_min: u64,
    pub(super) second_max: Option<f64>,
    pub(super) extra_time_max: Option<f64>,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            quantile: 0.95,
            factor: 1.5,
            extra_max: 0.01,
            requests_min: 100,
            second_max: None,
            extra_time_max: None,
        }
    }
}

impl HedgeConfig {
    /// The quantile of the latency that decides about a second try. Default 0.95; 0.5 to 0.9999.
    #[must_use]
    pub fn quantile(mut self, quantile: f64) -> Self {
        self.quantile = quantile;
        self
    }

    /// The second try starts after this many times the quantile, so that requests that are merely
    /// among the slower ones are left alone. Default 1.5; 1 to 100.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// The most second tries, as a share of the requests. Default 0.01; 0 to 1.
    #[must_use]
    pub fn extra_max(mut self, share: f64) -> Self {
        self.extra_max = share;
        self
    }

    /// The most time spent in second tries, as a share of the time spent in first tries; one that
    /// has started counts with the delay until it ends. Default: no limit but that on their number;
    /// 0 to 1.
    #[must_use]
    pub fn extra_time_max(mut self, share: f64) -> Self {
        self.extra_time_max = Some(share);
        self
    }

    /// Requests without second tries before the latency counts as known. Default 100; at least 1.
    #[must_use]
    pub fn requests_min(mut self, requests: u64) -> Self {
        self.requests_min = requests;
        self
    }

    /// The longest that a second try may take, as a multiple of the delay after which it started;
    /// then it is cancelled and the first goes on. Of two tries that are both slow the first is ahead,
    /// and without a limit such a pair costs as much as dozens of usual second tries. Default: no
    /// limit, for requests of which the first try may never end; 1 to 100.
    #[must_use]
    pub fn second_max(mut self, delays: f64) -> Self {
        self.second_max = Some(delays);
        self
    }

    pub(super) fn validate(&self) -> Result<(), CollectiveError> {
        if !(0.5..=0.9999).contains(&self.quantile) {
            return Err(invalid("hedge quantile", self.quantile, "0.5..=0.9999"));
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return Err(invalid("hedge factor", self.factor, "1..=100"));
        }
        if !(0.0..=1.0).contains(&self.extra_max) {
            return Err(invalid("hedge extra_max", self.extra_max, "0..=1"));
        }
        if self
            .extra_time_max
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            let share = self.extra_time_max.unwrap_or_default();
            return Err(invalid("hedge extra_time_max", share, "0..=1"));
        }
        if self
            .second_max
            .is_some_and(|max| !(1.0..=100.0).contains(&max))
        {
            let max = self.second_max.unwrap_or_default();
            return Err(invalid("hedge second_max", max, "1..=100 delays"));
        }
        if self.requests_min == 0 {
            return Err(invalid("hedge requests_min", 0, "at least 1 request"));
        }
        Ok(())
    }
}
