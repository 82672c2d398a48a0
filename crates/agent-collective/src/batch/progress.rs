//! Progress with an estimate of the time that is left.

use crate::clock::{Clock, duration_ns};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items that have ended, whatever the outcome.
    pub done: usize,
    /// Those of them that gave no value.
    pub failed: usize,
    /// All items; `None` where they come from an iterator that does not say.
    pub total: Option<usize>,
    /// Weight of the items that have ended: bytes for files, else the number of items.
    pub weight_done: u64,
    /// Weight of all items, where it is known.
    pub weight_total: Option<u64>,
    /// Time since the batch began.
    pub elapsed: Duration,
    /// Estimated time to the end at the average rate so far; `None` before the first item and
    /// where the total is unknown.
    pub eta: Option<Duration>,
}

/// Somebody who wants to know how far a batch is. Also any `Fn(&Progress) + Sync`.
///
/// Called from the lanes, by one at a time, at most once per `progress_interval`, and once at the
/// end from the calling thread. A panic in it ends the reports, not the batch.
pub trait Observer: Sync {
    /// The batch has come this far.
    fn progress(&self, progress: &Progress);
}

impl<F: Fn(&Progress) + Sync> Observer for F {
    fn progress(&self, progress: &Progress) {
        self(progress);
    }
}

/// Counts items and tells the observer.
pub(crate) struct Tracker<'a> {
    observer: Option<&'a dyn Observer>,
    clock: Clock,
    interval_ns: u64,
    total: Option<usize>,
    weight_total: Option<u64>,
    done: AtomicUsize,
    failed: AtomicUsize,
    weight_done: AtomicU64,
    due_ns: AtomicU64,
    telling: AtomicBool,
}

impl<'a> Tracker<'a> {
    pub(crate) fn new(
        observer: Option<&'a dyn Observer>,
        interval: Duration,
        total: Option<usize>,
        weight_total: Option<u64>,
    ) -> Self {
        Self {
            observer,
            clock: Clock::new(),
            interval_ns: duration_ns(interval),
            total,
            weight_total: weight_total.or(total.map(|items| items as u64)),
            done: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            weight_done: AtomicU64::new(0),
            due_ns: AtomicU64::new(0),
            telling: AtomicBool::new(false),
        }
    }

    /// One item of this weight has ended.
    pub(crate) fn note(&self, weight: u64, failed: bool) {
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.weight_done.fetch_add(weight, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Release);
        if self.observer.is_none() {
            return;
        }
        let now_ns = self.clock.now_ns();
        if now_ns < self.due_ns.load(Ordering::Relaxed)
            || self.telling.swap(true, Ordering::Acquire)
        {
            return;
        }
        self.due_ns
            .store(now_ns.saturating_add(self.interval_ns), Ordering::Relaxed);
        if self.tell() {
            self.telling.store(false, Ordering::Release);
        }
    }

    /// The last report.
    pub(crate) fn finish(&self) {
        if !self.telling.swap(true, Ordering::Acquire) {
            self.tell();
        }
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether the observer can be called again.
    fn tell(&self) -> bool {
        let Some(observer) = self.observer else {
            return true;
        };
        let progress = self.now();
        catch_unwind(AssertUnwindSafe(|| observer.progress(&progress))).is_ok()
    }

    fn now(&self) -> Progress {
        let done = self.done.load(Ordering::Acquire);
        let weight_done = self.weight_done.load(Ordering::Relaxed);
        let elapsed = Duration::from_nanos(self.clock.now_ns());
        Progress {
            done,
            failed: self.failed(),
            total: self.total,
            weight_done,
            weight_total: self.weight_total,
            elapsed,
            eta: self
                .weight_total
                .and_then(|total| eta(elapsed, weight_done, total)),
        }
    }
}

/// Time left at the average rate so far.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn eta(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    if done >= total {
        return Some(Duration::ZERO);
    }
    let left = (total - done) as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_rest_at_the_rate_so_far() {
        let second = Duration::from_secs(1);
        assert_eq!(eta(second, 1, 4), Some(second * 3));
        assert_eq!(eta(second, 4, 4), Some(Duration::ZERO));
        assert_eq!(eta(second, 5, 4), Some(Duration::ZERO));
        assert_eq!(eta(second, 0, 4), None);
    }

    #[test]
    fn a_panicking_observer_is_asked_once() {
        let calls = AtomicUsize::new(0);
        let observer = |_: &Progress| {
            calls.fetch_add(1, Ordering::Relaxed);
            panic!("no more");
        };
        let tracker = Tracker::new(Some(&observer), Duration::from_nanos(1), Some(3), None);
        for _ in 0..3 {
            tracker.note(1, false);
        }
        tracker.finish();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(tracker.now().done, 3);
    }
}
