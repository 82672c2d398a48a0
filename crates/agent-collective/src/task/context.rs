//! What a running task sees of the runtime.

use super::header::Header;
use crate::error::TaskError;
use crate::memory::MemoryBudget;
use crate::runtime::RuntimeHandle;
use crate::worker::Worker;
use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;
use std::time::Duration;

/// Why a running task should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interruption {
    /// Its handle, its token or a shutdown cancelled it.
    Cancelled,
    /// Its deadline has passed.
    DeadlineExceeded {
        /// How long ago.
        late: Duration,
    },
}

/// What [`TaskContext::checkpoint`] unwinds with.
pub(crate) struct Interrupted(Interruption);

/// The running task's view of its runtime; given to every task and message handler.
pub struct TaskContext<'w> {
    worker: &'w Worker,
    header: &'w Header,
    memory: Option<&'w MemoryBudget>,
}

impl<'w> TaskContext<'w> {
    pub(crate) fn new(worker: &'w Worker, header: &'w Header) -> Self {
        Self {
            worker,
            header,
            memory: None,
        }
    }

    pub(crate) fn with_memory<'m>(&'m self, memory: &'m MemoryBudget) -> TaskContext<'m> {
        TaskContext {
            worker: self.worker,
            header: self.header,
            memory: Some(memory),
        }
    }

    /// The byte budget of the agent whose message this is; none for a task. See
    /// [`AgentConfig::memory_bytes_max`](crate::AgentConfig::memory_bytes_max).
    pub fn memory(&self) -> Option<&MemoryBudget> {
        self.memory
    }

    /// Why this task should stop, if it should. Cost: some atomic loads, and a clock reading if
    /// the task has a deadline.
    pub fn interruption(&self) -> Option<Interruption> {
        let shared = self.worker.shared();
        if self.header.is_cancelled() || shared.census.is_stopping() {
            return Some(Interruption::Cancelled);
        }
        if self.header.has_deadline() {
            let late_ns = shared
                .clock
                .now_ns()
                .saturating_sub(self.header.deadline_ns);
            if late_ns > 0 {
                let late = Duration::from_nanos(late_ns);
                return Some(Interruption::DeadlineExceeded { late });
            }
        }
        None
    }

    /// Whether this task should stop: it was cancelled or is past its deadline.
    pub fn is_cancelled(&self) -> bool {
        self.interruption().is_some()
    }

    /// Ends the task here if it should stop: unwinds to the worker, running destructors on the
    /// way, and the handle gives [`TaskError::Cancelled`] or [`TaskError::DeadlineExceeded`]. No
    /// panic message is printed. A task that wants to return a value asks
    /// [`is_cancelled`](Self::is_cancelled) instead. An agent keeps its state when its handler is
    /// ended this way.
    pub fn checkpoint(&self) {
        if let Some(interruption) = self.interruption() {
            resume_unwind(Box::new(Interrupted(interruption)));
        }
    }

    /// Time left until the deadline; `None` without a deadline, zero when it has passed.
    pub fn deadline_left(&self) -> Option<Duration> {
        let now_ns = self.worker.shared().clock.now_ns();
        let left_ns = self.header.deadline_ns.saturating_sub(now_ns);
        self.header
            .has_deadline()
            .then(|| Duration::from_nanos(left_ns))
    }

    /// Waits for `time`, which is booked as blocked. In a [`Simulation`](crate::Simulation) the
    /// virtual clock moves instead.
    pub fn sleep(&self, time: Duration) {
        self.blocking(|| self.worker.shared().clock.sleep(time));
    }

    /// Runs `wait` and books its time as blocked instead of running. The worker stays
    /// occupied: this says where the time went, it does not free the thread.
    pub fn blocking<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.worker.blocked(wait)
    }

    /// Name of the team this task runs for.
    pub fn team(&self) -> &str {
        &self.worker.shared().teams[self.header.team].name
    }

    /// Index of the worker it runs on.
    pub fn worker_index(&self) -> usize {
        self.worker.index()
    }

    /// 0 for a task from outside, else one more than the task that submitted it.
    pub fn depth(&self) -> usize {
        usize::from(self.header.depth)
    }

    /// The runtime, for submitting further tasks.
    pub fn runtime(&self) -> &RuntimeHandle {
        self.worker.runtime()
    }
}

impl fmt::Debug for TaskContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("team", &self.team())
            .field("worker", &self.worker_index())
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

/// What a caught unwinding means for the task.
pub(crate) fn task_error(payload: Box<dyn Any + Send>) -> TaskError {
    match payload.downcast::<Interrupted>() {
        Ok(interrupted) => match interrupted.0 {
            Interruption::Cancelled => TaskError::Cancelled,
            Interruption::DeadlineExceeded { late } => TaskError::DeadlineExceeded { late },
        },
        Err(payload) => TaskError::Panicked {
            message: panic_message(payload),
        },
    }
}

/// Unwinds with what [`task_error`] makes `error` of again, so that a task that handles its own
/// failure is booked like any other.
pub(crate) fn unwind_with(error: TaskError) -> ! {
    match error {
        TaskError::Cancelled => resume_unwind(Box::new(Interrupted(Interruption::Cancelled))),
        TaskError::DeadlineExceeded { late } => {
            let interruption = Interruption::DeadlineExceeded { late };
            resume_unwind(Box::new(Interrupted(interruption)))
        }
        TaskError::Panicked { message } => resume_unwind(Box::new(message)),
        other => resume_unwind(Box::new(other.to_string())),
    }
}

/// The text of a panic. A payload whose destructor panics too is leaked.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "the panic carried no text".to_owned()
    };
    crate::worker::drop_quietly(payload);
    message
}
