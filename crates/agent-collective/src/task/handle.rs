//! The submitter's end of a task.

use crate::error::TaskError;
use crate::latch::Latch;
use crate::worker::Worker;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Something with a result to wait for: a task, or the answer of an agent.
pub(crate) trait Awaited<T>: Send + Sync {
    fn latch(&self) -> &Latch;
    /// Tells it apart from everything else that runs.
    fn address(&self) -> usize;
    /// The result; once.
    fn take(&self) -> Option<Result<T, TaskError>>;
    fn cancel(&self);
    /// Runs it on this worker if it has not started and may run here.
    fn run_here(&self, _worker: &Worker) -> bool {
        false
    }
    /// Waits from inside a task, without leaving the awaited work to workers that may all wait.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError>;
}

/// Waits until `awaited` has its result, helping when called on a worker.
pub(crate) fn join_awaited<T>(awaited: &dyn Awaited<T>) -> Result<(), TaskError> {
    if awaited.latch().is_set() {
        return Ok(());
    }
    match Worker::current() {
        Some(worker) => awaited.wait_on(&worker),
        None => {
            awaited.latch().wait();
            Ok(())
        }
    }
}

/// Waits for one task or answer. Also a [`Future`], usable with any executor.
///
/// Dropping the handle detaches the task: it still runs, its value is dropped (a panic of its
/// destructor is swallowed), its outcome is counted in the report.
#[must_use = "dropping the handle detaches the task; join it or call `detach`"]
pub struct JoinHandle<T> {
    awaited: Arc<dyn Awaited<T>>,
    waiter: Option<u64>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(awaited: Arc<dyn Awaited<T>>) -> Self {
        Self {
            awaited,
            waiter: None,
        }
    }

    /// Waits for the task and gives its value.
    ///
    /// From inside a task the worker is not wasted on a wait that it could end: a task that
    /// has not started runs right there, nested in the one that joins it. If it runs elsewhere, the
    /// worker waits and the time is booked as blocked. A task joined in this way never deadlocks
    /// for lack of workers, not even with one; only tasks that really wait for each other do.
    ///
    /// # Errors
    /// [`TaskError`] says why there is no value: the task panicked, was cancelled, missed its
    /// deadline; or joining it here cannot work ([`TaskError::WouldDeadlock`],
    /// [`TaskError::NestedTooDeep`]; the task then goes on detached).
    pub fn join(self) -> Result<T, TaskError> {
        join_awaited(&*self.awaited)?;
        self.awaited.take().unwrap_or(Err(TaskError::ResultTaken))
    }

    /// Waits for at most `timeout` and says whether the task has finished. Does not run it in
    /// place; called from inside a task it may thus wait in vain when all workers do the same.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let wait = || self.awaited.latch().wait_timeout(timeout);
        match Worker::current() {
            Some(worker) => worker.blocked(wait),
            None => wait(),
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        self.awaited.latch().is_set()
    }

    /// Cancels the task. If it has not started it never will and the handle resolves at once; its
    /// place in the queue is free, and the report counts it, when a worker comes upon it. If it
    /// runs, it sees itself cancelled and may go on.
    pub fn cancel(&self) {
        self.awaited.cancel();
    }

    /// Runs the task on the calling worker if it has not started.
    pub(crate) fn run_here(&self, worker: &Worker) -> bool {
        self.awaited.run_here(worker)
    }

    /// Lets the task go on without the handle.
    pub fn detach(self) {}
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskError>;

    /// Ready with what [`join`](JoinHandle::join) gives. Never runs the task in place: blocking on
    /// the future inside a task needs a second worker.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.awaited.latch().poll(&mut this.waiter, context.waker()));
        this.waiter = None;
        Poll::Ready(this.awaited.take().unwrap_or(Err(TaskError::ResultTaken)))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.awaited.latch().forget(self.waiter);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}
