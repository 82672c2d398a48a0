//! Latency quantiles; the only file that knows the `sketches` crate.

use crate::error::CollectiveError;
use crate::primitive::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use sketches::DdSketch;
use std::time::Duration;

/// Relative error of a reported quantile.
const RELATIVE_ERROR: f64 = 0.01;
/// Durations that are collected before the sketch takes them all at once, which costs about 5 ns
/// each. Rarely enough that whoever waits meets it in far less than one of a hundred cases.
const RECENT: usize = 512;

/// Durations of one kind, kept as a sketch of quantiles within 1 %.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    sketch: DdSketch,
    max_ns: u64,
}

/// A [`Latency`] that one thread adds to and any thread may copy.
///
/// The owner writes its durations side by side without a lock and empties that list into the sketch
/// under the lock, when it is full; a reader holds the lock, so the list can only grow meanwhile.
#[derive(Debug)]
pub(crate) struct Recorder {
    recent: [AtomicU64; RECENT],
    recent_len: AtomicUsize,
    settled: Mutex<Latency>,
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

#[expect(
    clippy::cast_precision_loss,
    reason = "1 % is promised, f64 keeps 16 digits"
)]
impl Latency {
    pub(crate) fn new() -> Result<Self, CollectiveError> {
        let sketch = DdSketch::new(RELATIVE_ERROR).map_err(|_| CollectiveError::InvalidConfig {
            name: "latency relative error",
            value: RELATIVE_ERROR.to_string(),
            allowed: "what the quantile sketch accepts",
        })?;
        Ok(Self { sketch, max_ns: 0 })
    }

    /// Adds one duration `times` times; none counts as shorter than a nanosecond.
    pub(crate) fn record(&mut self, ns: u64, times: u64) {
        self.sketch.insert_many(ns.max(1) as f64, times);
        self.max_ns = self.max_ns.max(ns);
    }

    fn record_each(&mut self, durations: &[AtomicU64]) {
        let mut values = [0.0; RECENT];
        for (value, ns) in values.iter_mut().zip(durations) {
            let ns = ns.load(Ordering::Relaxed);
            *value = ns.max(1) as f64;
            self.max_ns = self.max_ns.max(ns);
        }
        let count = durations.len().min(RECENT);
        self.sketch.insert_each(&values[..count]);
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

    /// The duration that a share `q` of all does not exceed; none without durations.
    pub(crate) fn quantile(&self, q: f64) -> Option<Duration> {
        let ns = self.sketch.quantile(q)?;
        Some(Duration::from_secs_f64(ns / 1e9).min(Duration::from_nanos(self.max_ns)))
    }

    pub(crate) fn count(&self) -> u64 {
        self.sketch.count()
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let at = |q| self.quantile(q).unwrap_or(Duration::ZERO);
        Quantiles {
            count: self.sketch.count(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(self.max_ns),
        }
    }
}

impl Recorder {
    pub(crate) fn new(empty: &Latency) -> Self {
        Self {
            recent: std::array::from_fn(|_| AtomicU64::new(0)),
            recent_len: AtomicUsize::new(0),
            settled: Mutex::new(empty.clone()),
        }
    }

    /// Adds one duration; the owner only.
    pub(crate) fn record(&self, ns: u64) {
        let len = self.recent_len.load(Ordering::Relaxed);
        if let Some(place) = self.recent.get(len) {
            place.store(ns, Ordering::Relaxed);
        }
        self.recent_len.store(len + 1, Ordering::Release);
        if len + 1 == RECENT {
            let mut settled = lock(&self.settled);
            settled.record_each(&self.recent);
            self.recent_len.store(0, Ordering::Release);
        }
    }

    /// Adds one duration many times; the owner only.
    pub(crate) fn record_many(&self, ns: u64, times: u64) {
        if times == 1 {
            self.record(ns);
        } else {
            lock(&self.settled).record(ns, times);
        }
    }

    /// What was added so far.
    pub(crate) fn snapshot(&self) -> Latency {
        let settled = lock(&self.settled);
        let mut copy = settled.clone();
        let len = self.recent_len.load(Ordering::Acquire).min(RECENT);
        copy.record_each(&self.recent[..len]);
        drop(settled);
        copy
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_per_cent_also_after_a_merge() {
        let (mut low, mut high) = (Latency::new().unwrap(), Latency::new().unwrap());
        for us in 1..=500u64 {
            low.record(us * 1_000, 1);
            high.record((us + 500) * 1_000, 1);
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
    fn a_recorder_holds_what_its_plain_twin_holds() {
        let mut plain = Latency::new().unwrap();
        let recorder = Recorder::new(&plain);
        for ns in (0..1_000u64).map(|n| n * n) {
            plain.record(ns, 1);
            recorder.record(ns);
            assert_eq!(recorder.snapshot().quantiles(), plain.quantiles());
        }
        for times in [77, 1] {
            plain.record(5_000_000, times);
            recorder.record_many(5_000_000, times);
        }
        assert_eq!(recorder.snapshot().quantiles(), plain.quantiles());
    }

    #[test]
    fn a_snapshot_beside_a_busy_owner_misses_only_what_comes_later() {
        let recorder = Recorder::new(&Latency::new().unwrap());
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=20_000 {
                    recorder.record(n);
                    seen.store(n, Ordering::Release);
                }
            });
            for _ in 0..50 {
                let least = seen.load(Ordering::Acquire);
                assert!(recorder.snapshot().quantiles().count >= least);
            }
        });
        assert_eq!(recorder.snapshot().quantiles().count, 20_000);
    }

    #[test]
    fn nothing_recorded_gives_zeros() {
        assert_eq!(Latency::new().unwrap().quantiles(), Quantiles::default());
    }
}
