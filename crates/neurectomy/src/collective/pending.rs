//! A job that a team is working on.

use super::team::Team;
use crate::error::NeurectomyError;
use agent_collective::JoinHandle;

/// A job under way; dropping it lets the job run on unobserved.
#[derive(Debug)]
pub struct Pending<T> {
    team: Team,
    handle: JoinHandle<Result<T, NeurectomyError>>,
}

impl<T> Pending<T> {
    pub(super) fn new(team: Team, handle: JoinHandle<Result<T, NeurectomyError>>) -> Self {
        Self { team, handle }
    }

    /// Whether [`Pending::wait`] would return at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for the job's result.
    ///
    /// # Errors
    /// The job's own error, or [`NeurectomyError::Runtime`] where it panicked or was cancelled.
    pub fn wait(self) -> Result<T, NeurectomyError> {
        let team = self.team.name();
        self.handle.join().unwrap_or_else(|source| {
            Err(NeurectomyError::Runtime {
                team,
                operation: "finish a task",
                source: source.into(),
            })
        })
    }
}
