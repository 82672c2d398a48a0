//! What becomes of an item.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What user code may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an item did not get through a stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// A filter did not want it.
    #[error("filtered out")]
    Filtered,
    /// An earlier item has the same key.
    #[error("duplicate of item {of}")]
    Duplicate {
        /// Index of the first item with the key.
        of: usize,
    },
    /// The stage's function returned an error, or a file operation failed.
    #[error("{0}")]
    Failed(#[source] BoxError),
    /// The stage's function panicked on it.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// It did not end before its deadline, and was cut or came back too late.
    #[error("cut at its deadline of {deadline:?}")]
    TimedOut {
        /// The stage's deadline.
        deadline: Duration,
    },
    /// It did not end before its deadline and did not react within the grace time: the thread that
    /// runs it was left behind and replaced.
    #[error("abandoned: still running {grace:?} after its deadline of {deadline:?}")]
    Abandoned {
        /// The stage's deadline.
        deadline: Duration,
        /// The stage's grace time.
        grace: Duration,
    },
    /// It never started, because every thread that could run it was abandoned and the stage may
    /// not replace more.
    #[error("not run: {abandoned} threads are abandoned, none is left")]
    NotRun {
        /// Abandoned threads that still run.
        abandoned: usize,
    },
    /// The run was cancelled before it ended.
    #[error("cancelled")]
    Cancelled,
}

/// What became of one item.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict<T> {
    /// It went through all stages.
    Passed(T),
    /// It ended at a stage.
    Stopped {
        /// Name of the stage.
        stage: Arc<str>,
        /// Why.
        stop: Stop,
    },
}

impl<T> Verdict<T> {
    /// What came out, if it passed.
    pub fn passed(&self) -> Option<&T> {
        match self {
            Self::Passed(value) => Some(value),
            Self::Stopped { .. } => None,
        }
    }

    /// Stage and reason, if it did not.
    pub fn stopped(&self) -> Option<(&str, &Stop)> {
        match self {
            Self::Passed(_) => None,
            Self::Stopped { stage, stop } => Some((stage, stop)),
        }
    }

    /// What came out, if it passed.
    pub fn into_passed(self) -> Option<T> {
        match self {
            Self::Passed(value) => Some(value),
            Self::Stopped { .. } => None,
        }
    }
}
