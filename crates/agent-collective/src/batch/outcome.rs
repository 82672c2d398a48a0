//! What comes out of a batch.

use super::lanes::LaneTimes;
use std::fmt;

/// Why an item of a batch gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError<E> {
    /// The function returned this.
    #[error("{0}")]
    Failed(E),
    /// The function panicked; all other items go on.
    #[error("item panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The batch was cancelled, or its runtime stopped, before the item started.
    #[error("item was cancelled")]
    Cancelled,
    /// Another item had failed and the batch is set to [`FailFast`](super::OnError::FailFast).
    #[error("item was not run because another one had failed")]
    NotRun,
}

/// Results of a batch, in the order of the items, and where the time went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mapped<O, E> {
    /// One result per item, in the order of the items.
    pub results: Vec<Result<O, ItemError<E>>>,
    /// Counts and times.
    pub report: BatchReport,
}

/// Counts and times of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchReport {
    /// Items that were taken.
    pub items: usize,
    /// Those that gave no value, for whatever reason.
    pub failed: usize,
    /// Whether the batch ended early: cancelled, or after a failure with `FailFast`.
    pub ended_early: bool,
    /// Where the time of the lanes went.
    pub times: LaneTimes,
}

impl<O, E> Mapped<O, E> {
    /// The first item, in the order of the items, that ran and failed.
    pub fn first_failure(&self) -> Option<(usize, &ItemError<E>)> {
        let failures = self.results.iter().enumerate();
        failures
            .filter_map(|(index, result)| Some((index, result.as_ref().err()?)))
            .find(|(_, error)| matches!(error, ItemError::Failed(_) | ItemError::Panicked { .. }))
    }

    /// All values, or the first error in the order of the items.
    ///
    /// # Errors
    /// The index and the error of the first item without a value.
    pub fn into_values(self) -> Result<Vec<O>, (usize, ItemError<E>)> {
        let results = self.results.into_iter().enumerate();
        results
            .map(|(index, result)| result.map_err(|error| (index, error)))
            .collect()
    }
}

impl fmt::Display for BatchReport {
    /// One line: counts, wall time, split of the lanes' time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = &self.times;
        let total = times.available.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |part: std::time::Duration| 100.0 * part.as_secs_f64() / total;
        write!(
            f,
            "{} items, {} failed, wall {:.3} s on {} lanes: running {:.2} %, overhead {:.2} %, \
             idle {:.2} %, accounted {:.2} %, cpu {:.3} s",
            self.items,
            self.failed,
            times.wall.as_secs_f64(),
            times.lanes,
            share(times.running),
            share(times.overhead),
            share(times.idle),
            100.0 * times.accounted_fraction(),
            times.cpu.as_secs_f64(),
        )
    }
}
