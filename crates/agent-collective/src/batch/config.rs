//! Settings of a batch.

use super::lanes::{check_duration, check_range};
use crate::error::CollectiveError;
use crate::task::Capability;
use std::time::Duration;

/// Most results that may wait for an earlier one.
const WINDOW_ITEMS_MAX: usize = 1 << 20;
/// Most times that a benchmark repeats each mode.
const REPEATS_MAX: usize = 1_000;

/// On how many lanes a batch runs. The results are the same in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// One item after the other on the calling thread; the plain twin of the other two.
    Sequential,
    /// On all workers of the runtime.
    #[default]
    Parallel,
    /// On this many workers of the runtime; 1 to as many as it has.
    Workers(usize),
}

/// In which order [`Batch::for_each`](super::Batch::for_each) hands results over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// In the order of the items.
    #[default]
    Input,
    /// As they become ready.
    Ready,
}

/// What a failed item does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// Nothing: its error stands in its place of the results.
    #[default]
    Collect,
    /// Items that have not started are not run any more.
    FailFast,
}

/// Settings of a [`Batch`](super::Batch); checked by [`Batch::new`](super::Batch::new).
#[derive(Clone, Debug)]
pub struct BatchConfig {
    pub(super) mode: Mode,
    pub(super) order: Order,
    pub(super) on_error: OnError,
    pub(super) capability: Capability,
    pub(super) window_items: usize,
    pub(super) progress_interval: Duration,
    pub(super) repeats: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            order: Order::default(),
            on_error: OnError::default(),
            capability: Capability::from("batch"),
            window_items: 1_024,
            progress_interval: Duration::from_millis(100),
            repeats: 3,
        }
    }
}

impl BatchConfig {
    /// On how many lanes. Default [`Mode::Parallel`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// In which order `for_each` hands results over. Default [`Order::Input`].
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What a failed item does to the others. Default [`OnError::Collect`].
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Which team of the runtime runs the lanes. Default `batch`, which a runtime without
    /// configured teams has, like every other capability.
    #[must_use]
    pub fn capability(mut self, capability: impl Into<Capability>) -> Self {
        self.capability = capability.into();
        self
    }

    /// The most results of `for_each` that wait for the result of an earlier item; a lane that is
    /// further ahead waits. Bounds memory. Default 1,024; 1 to 1,048,576.
    #[must_use]
    pub fn window_items(mut self, items: usize) -> Self {
        self.window_items = items;
        self
    }

    /// The least time between two reports to the observer. Default 100 ms; more than zero.
    #[must_use]
    pub fn progress_interval(mut self, interval: Duration) -> Self {
        self.progress_interval = interval;
        self
    }

    /// How often `benchmark` runs each mode; the fastest run counts. Default 3; 1 to 1,000.
    #[must_use]
    pub fn repeats(mut self, runs: usize) -> Self {
        self.repeats = runs;
        self
    }

    /// Checks the settings against a runtime with `workers` workers.
    pub(super) fn validate(&self, workers: usize) -> Result<(), CollectiveError> {
        if let Mode::Workers(lanes) = self.mode {
            check_range("batch", "workers", lanes, 1..=workers)?;
        }
        check_range(
            "batch",
            "window_items",
            self.window_items,
            1..=WINDOW_ITEMS_MAX,
        )?;
        check_range("batch", "repeats", self.repeats, 1..=REPEATS_MAX)?;
        check_duration("batch", "progress_interval", self.progress_interval)
    }
}
