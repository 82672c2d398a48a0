//! Errors: what can go wrong when building, submitting and joining.

use crate::memory::MemoryExceeded;
use std::fmt;
use std::time::Duration;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A setting is outside its legal range.
    #[error("build runtime: {name} is {value}, allowed is {allowed}")]
    InvalidConfig {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is legal.
        allowed: &'static str,
    },
    /// Two teams have the same name.
    #[error("build runtime: team name `{team}` is used twice, names must differ")]
    DuplicateTeam {
        /// The name.
        team: String,
    },
    /// The operating system refused a worker thread.
    #[error("build runtime: start worker thread {worker} of {workers}")]
    ThreadStart {
        /// Index of the worker that failed.
        worker: usize,
        /// How many were asked for.
        workers: usize,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The factory of an agent panicked when the agent was first made.
    #[error("spawn agent `{agent}`: its factory panicked: {message}")]
    AgentStart {
        /// Name of the agent.
        agent: String,
        /// The panic's message.
        message: String,
    },
    /// Accepted work did not finish within the time given to a shutdown.
    #[error("shut down: {pending} tasks unfinished after {waited:?}, they were told to stop")]
    ShutdownTimedOut {
        /// Tasks and messages not finished.
        pending: usize,
        /// How long the shutdown waited.
        waited: Duration,
    },
    /// A reservation would pass a byte budget.
    #[error(transparent)]
    Memory(#[from] MemoryExceeded),
    /// A task or message was not accepted.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A task was accepted and did not give a value.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A setting of a batch or a pipeline is outside its legal range.
    #[error("{operation}: {name} is {value}, allowed is {allowed}")]
    InvalidSetting {
        /// What it is a setting of.
        operation: &'static str,
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is legal.
        allowed: String,
    },
    /// More items than a pipeline or a file batch may hold at one time.
    #[error("{operation}: more than {items_max} items, the configured limit")]
    TooManyItems {
        /// What took the items.
        operation: &'static str,
        /// The configured limit.
        items_max: usize,
    },
    /// The system refused every thread of a validation stage.
    #[error("validate in stage `{stage}`: start a thread")]
    StageThread {
        /// Name of the stage.
        stage: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system refused an operation on a file or folder.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried: `read`, `write`, `rename`.
        operation: &'static str,
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is longer than the limit; nothing was allocated for it.
    #[error("read {}: longer than {bytes_max} bytes, the limit", path.display())]
    FileTooLong {
        /// The file.
        path: std::path::PathBuf,
        /// The configured limit.
        bytes_max: u64,
    },
    /// A write would replace something that it must not; nothing was written.
    #[error("write {}: {reason}", path.display())]
    OutputRefused {
        /// The output file.
        path: std::path::PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The conversion of a file failed.
    #[error("convert {}", path.display())]
    Convert {
        /// The input file.
        path: std::path::PathBuf,
        /// What the conversion said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a task or message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The queue of the runtime is full.
    #[error("submit: runtime queue holds {depth} tasks, capacity is {capacity}")]
    QueueFull {
        /// Tasks queued at the moment of the rejection.
        depth: usize,
        /// The most it may hold.
        capacity: usize,
    },
    /// The queue of every team with the capability is full; this is the least loaded one.
    #[error("submit: team `{team}` holds {depth} queued tasks, capacity is {capacity}")]
    TeamFull {
        /// Name of the team.
        team: String,
        /// Tasks queued at the moment of the rejection.
        depth: usize,
        /// The most it may hold.
        capacity: usize,
    },
    /// The mailbox of the agent is full.
    #[error("send to agent `{agent}`: mailbox holds {depth} messages, capacity is {capacity}")]
    MailboxFull {
        /// Name of the agent.
        agent: String,
        /// Messages waiting at the moment of the rejection.
        depth: usize,
        /// The most it may hold.
        capacity: usize,
    },
    /// Queued tasks wait longer than `queue_age_max`, so new ones are turned away.
    #[error("submit: queued tasks wait {age:?}, the limit is {age_max:?}")]
    AgeExceeded {
        /// How long the task that started last had waited.
        age: Duration,
        /// The configured limit.
        age_max: Duration,
    },
    /// No team has the capability.
    #[error("submit: no team has the capability `{capability}`")]
    NoTeam {
        /// The capability that was asked for.
        capability: String,
    },
    /// The capability was resolved by another runtime.
    #[error("submit: the capability was resolved by another runtime")]
    ForeignCapability,
    /// A task submitted a task that submitted a task, and so on, too often.
    #[error("submit: delegation depth is {depth}, allowed is at most {depth_max}")]
    DelegationTooDeep {
        /// Depth the new task would have.
        depth: usize,
        /// The configured limit.
        depth_max: usize,
    },
    /// The agent was stopped, or its restarts exceeded the allowed intensity.
    #[error("send to agent `{agent}`: it has stopped")]
    AgentStopped {
        /// Name of the agent.
        agent: String,
    },
    /// The runtime is shutting down or has shut down.
    #[error("submit: the runtime is shutting down")]
    ShuttingDown,
}

/// A rejection together with what was rejected, so that nothing is lost.
pub struct Rejected<J> {
    reason: Rejection,
    job: Box<J>,
}

impl<J> Rejected<J> {
    pub(crate) fn new(reason: Rejection, job: J) -> Self {
        Self {
            reason,
            job: Box::new(job),
        }
    }

    /// Why it was rejected.
    pub fn reason(&self) -> &Rejection {
        &self.reason
    }

    /// The rejected task or message.
    pub fn into_inner(self) -> J {
        *self.job
    }

    /// The reason and the rejected task or message.
    pub fn into_parts(self) -> (Rejection, J) {
        (self.reason, *self.job)
    }
}

impl<J> fmt::Debug for Rejected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<J> fmt::Display for Rejected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<J> std::error::Error for Rejected<J> {}

impl<J> From<Rejected<J>> for CollectiveError {
    fn from(rejected: Rejected<J>) -> Self {
        Self::Rejected(rejected.reason)
    }
}

/// Why an accepted task or message gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task panicked; the worker and all other tasks go on.
    #[error("task panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// It was cancelled before it ended, by handle, token or shutdown.
    #[error("task was cancelled")]
    Cancelled,
    /// Its deadline passed before it started, or at a checkpoint.
    #[error("task passed its deadline by {late:?}")]
    DeadlineExceeded {
        /// How far past the deadline it was when that was noticed.
        late: Duration,
    },
    /// The agent stopped before it handled the message.
    #[error("agent `{agent}` stopped before it handled the message")]
    AgentStopped {
        /// Name of the agent.
        agent: String,
    },
    /// The task waits for itself, for a task that waits for it on the same worker, or an agent for
    /// its own answer.
    #[error("join would never return: the task waits for itself on this worker")]
    WouldDeadlock,
    /// Waiting from inside a task needs to run the awaited work in place, and tasks are already
    /// nested to the limit. The awaited work still runs later.
    #[error("join: {depth} tasks are nested on this worker, allowed is at most {depth_max}")]
    NestedTooDeep {
        /// Tasks nested on the worker.
        depth: usize,
        /// The configured limit.
        depth_max: usize,
    },
    /// The function of a batch gave another number of results than it got items.
    #[error("batch: {items} items gave {results} results, must be as many")]
    BatchMismatch {
        /// Items that it got.
        items: usize,
        /// Results that it gave.
        results: usize,
    },
    /// The value was already handed out by an earlier poll of the same handle.
    #[error("the result was already taken from this handle")]
    ResultTaken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_operation_value_and_limit() {
        let config = CollectiveError::InvalidConfig {
            name: "workers",
            value: "0".into(),
            allowed: "1..=8",
        };
        assert_eq!(
            config.to_string(),
            "build runtime: workers is 0, allowed is 1..=8"
        );
        let full = Rejection::QueueFull {
            depth: 7,
            capacity: 7,
        };
        assert_eq!(
            full.to_string(),
            "submit: runtime queue holds 7 tasks, capacity is 7"
        );
        assert_eq!(
            CollectiveError::from(full.clone()).to_string(),
            full.to_string()
        );
        assert_eq!(Rejected::new(full.clone(), 3).to_string(), full.to_string());
        let age = Rejection::AgeExceeded {
            age: Duration::from_millis(12),
            age_max: Duration::from_millis(10),
        };
        assert_eq!(
            age.to_string(),
            "submit: queued tasks wait 12ms, the limit is 10ms"
        );
        let late = TaskError::DeadlineExceeded {
            late: Duration::from_millis(3),
        };
        assert_eq!(late.to_string(), "task passed its deadline by 3ms");
    }

    #[test]
    fn a_rejection_gives_the_job_back() {
        let (reason, job) = Rejected::new(Rejection::ShuttingDown, vec![1, 2]).into_parts();
        assert_eq!((reason, job), (Rejection::ShuttingDown, vec![1, 2]));
    }
}
