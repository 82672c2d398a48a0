//! The description of a task before it is submitted.

use super::context::TaskContext;
use crate::cancel::CancelToken;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Which of several queued tasks starts first.
///
/// A worker takes high tasks before all others and low ones when it finds nothing else, but every
/// 64th time it looks for low ones first, so they are late and not starved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After the others.
    Low = 0,
    /// First in, first out.
    #[default]
    Normal = 1,
    /// Before the others.
    High = 2,
}

/// What a task needs somebody to be able to do; decides which team gets it.
///
/// A name is looked up at each submission. One from
/// [`RuntimeHandle::capability`](crate::RuntimeHandle::capability) is looked up once.
#[derive(Clone, Debug)]
pub struct Capability {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Name(Cow<'static, str>),
    Resolved { runtime: u64, index: usize },
}

impl Capability {
    pub(crate) fn resolved(runtime: u64, index: usize) -> Self {
        Self {
            kind: Kind::Resolved { runtime, index },
        }
    }

    /// Runtime and index of a resolved capability, or else the name.
    pub(crate) fn parts(&self) -> Result<(u64, usize), &str> {
        match &self.kind {
            Kind::Name(name) => Err(name),
            Kind::Resolved { runtime, index } => Ok((*runtime, *index)),
        }
    }
}

impl From<&'static str> for Capability {
    fn from(name: &'static str) -> Self {
        Self {
            kind: Kind::Name(Cow::Borrowed(name)),
        }
    }
}

impl From<String> for Capability {
    fn from(name: String) -> Self {
        Self {
            kind: Kind::Name(Cow::Owned(name)),
        }
    }
}

impl From<&Capability> for Capability {
    fn from(capability: &Capability) -> Self {
        capability.clone()
    }
}

/// A closure to run on a team, with its conditions.
///
/// ```
/// use agent_collective::{Priority, Runtime, Task};
/// use std::time::Duration;
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let task = Task::new("analyse", |_| 6 * 7)
///     .priority(Priority::High)
///     .deadline(Duration::from_secs(60));
/// assert_eq!(runtime.submit(task)?.join()?, 42);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub struct Task<F> {
    pub(crate) capability: Capability,
    pub(crate) job: F,
    pub(crate) priority: Priority,
    pub(crate) affinity: Option<u64>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) token: Option<CancelToken>,
}

impl<F> Task<F> {
    /// A task of normal priority without deadline, for a team with `capability`.
    pub fn new<T>(capability: impl Into<Capability>, job: F) -> Self
    where
        F: FnOnce(&TaskContext<'_>) -> T,
    {
        Self::with_job(capability.into(), job)
    }

    /// The items of a bulk job: `job` is called once per index; see
    /// [`RuntimeHandle::submit_bulk`](crate::RuntimeHandle::submit_bulk).
    pub fn bulk<T>(capability: impl Into<Capability>, job: F) -> Self
    where
        F: Fn(usize, &TaskContext<'_>) -> T,
    {
        Self::with_job(capability.into(), job)
    }

    /// A task that may run more than once; see
    /// [`RuntimeHandle::submit_hedged`](crate::RuntimeHandle::submit_hedged).
    pub fn repeatable<T>(capability: impl Into<Capability>, job: F) -> Self
    where
        F: Fn(&TaskContext<'_>) -> T,
    {
        Self::with_job(capability.into(), job)
    }

    fn with_job(capability: Capability, job: F) -> Self {
        Self {
            capability,
            job,
            priority: Priority::Normal,
            affinity: None,
            deadline: None,
            token: None,
        }
    }

    /// Sets the priority. Default [`Priority::Normal`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Prefers one worker for all tasks with the same key, for warm caches. Only a hint: any idle
    /// worker takes the task when the preferred one is busy. Counts for normal priority only.
    /// Default: no preference.
    #[must_use]
    pub fn affinity(mut self, key: u64) -> Self {
        self.affinity = Some(key);
        self
    }

    /// How long after the call that submits it the task is still wanted. If it has not started by
    /// then it never runs; if it runs, it sees itself cancelled. Default: no deadline.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Cancels the task when `token` is cancelled. Default: no token.
    #[must_use]
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// The same conditions around another closure, and the closure they were around.
    pub(crate) fn replace_job<G>(self, make: impl FnOnce(F) -> G) -> Task<G> {
        Task {
            capability: self.capability,
            job: make(self.job),
            priority: self.priority,
            affinity: self.affinity,
            deadline: self.deadline,
            token: self.token,
        }
    }
}

impl<F> fmt::Debug for Task<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("capability", &self.capability)
            .field("priority", &self.priority)
            .field("affinity", &self.affinity)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
