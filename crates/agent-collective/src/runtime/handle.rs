//! The submit methods.

use super::admission::{Admission, Refusal};
use super::future::SubmitFuture;
use super::shared::Shared;
use crate::error::{CollectiveError, Rejected};
use crate::park::park_until;
use crate::report::Report;
use crate::task::{Capability, JoinHandle, Task, TaskCell, TaskContext};
use crate::worker::Worker;
use std::fmt;
use std::sync::Arc;

/// A way into a [`Runtime`](crate::Runtime) that can be cloned and sent anywhere. It does not keep
/// the runtime open: after a shutdown its submissions are rejected.
#[derive(Clone)]
pub struct RuntimeHandle {
    shared: Arc<Shared>,
}

/// What a bulk submission leaves when it cannot accept everything.
#[non_exhaustive]
pub struct BulkRejected<F, T> {
    /// Handles of the tasks that were accepted before, in order.
    pub accepted: Vec<JoinHandle<T>>,
    /// The first task that was not, and why.
    pub rejected: Rejected<Task<F>>,
    /// The tasks after it, in order.
    pub rest: Vec<Task<F>>,
}

/// What to do with a task that finds the queue full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    Reject,
    WaitOrRun,
}

impl RuntimeHandle {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Submits a task; waits while the queue is full.
    ///
    /// From inside a task of the same runtime it never waits, so that workers cannot all stand
    /// still with nobody left to make space: if the queue is full, the new task runs right there,
    /// on the calling worker, before this returns. Then it must not wait for something that its
    /// submitter does afterwards other than by joining a task; use
    /// [`try_submit`](Self::try_submit) in such a case.
    ///
    /// Cost: one allocation, no system call unless a worker has to be woken.
    ///
    /// # Errors
    /// The task comes back with [`Rejection::NoTeam`](crate::Rejection::NoTeam),
    /// [`AgeExceeded`](crate::Rejection::AgeExceeded),
    /// [`DelegationTooDeep`](crate::Rejection::DelegationTooDeep),
    /// [`ShuttingDown`](crate::Rejection::ShuttingDown), or, inside tasks nested to the limit,
    /// [`QueueFull`](crate::Rejection::QueueFull) or [`TeamFull`](crate::Rejection::TeamFull).
    pub fn submit<F, T>(&self, task: Task<F>) -> Result<JoinHandle<T>, Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.submit_cell(task).map(|cell| JoinHandle::new(cell))
    }

    /// Submits a task if there is space now.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and [`QueueFull`](crate::Rejection::QueueFull) or
    /// [`TeamFull`](crate::Rejection::TeamFull) instead of waiting.
    pub fn try_submit<F, T>(&self, task: Task<F>) -> Result<JoinHandle<T>, Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let worker = Worker::current_of(self.shared.id);
        let cell = self.send(task, worker.as_deref(), WhenFull::Reject, true)?;
        Ok(JoinHandle::new(cell))
    }

    /// Submits a task; the future waits for space. Works with any executor.
    pub fn submit_async<F, T>(&self, task: Task<F>) -> SubmitFuture<F, T>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        SubmitFuture::new(self.clone(), task)
    }

    /// Submits many tasks, waiting for space as [`submit`](Self::submit) does, and wakes workers
    /// once for all of them. Handles come in the order of the tasks.
    ///
    /// # Errors
    /// [`BulkRejected`] at the first task that is rejected; what was accepted stays accepted.
    pub fn submit_all<F, T, I>(&self, tasks: I) -> Result<Vec<JoinHandle<T>>, BulkRejected<F, T>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
        I: IntoIterator<Item = Task<F>>,
    {
        let worker = Worker::current_of(self.shared.id);
        let mut tasks = tasks.into_iter();
        let mut accepted = Vec::with_capacity(tasks.size_hint().0.min(1 << 16));
        while let Some(task) = tasks.next() {
            match self.send(task, worker.as_deref(), WhenFull::WaitOrRun, false) {
                Ok(cell) => accepted.push(JoinHandle::new(cell)),
                Err(rejected) => {
                    self.shared.sleepers.notify(None);
                    return Err(BulkRejected {
                        accepted,
                        rejected,
                        rest: tasks.collect(),
                    });
                }
            }
        }
        self.shared.sleepers.notify(None);
        Ok(accepted)
    }

    /// Looks a capability up once, for tasks that are submitted often.
    ///
    /// # Errors
    /// [`Rejection::NoTeam`](crate::Rejection::NoTeam) if no team has it.
    pub fn capability(&self, name: &str) -> Result<Capability, CollectiveError> {
        Ok(self.shared.routes.resolve(name)?)
    }

    /// Where the time went so far. Cost: copies each worker's books, about 10 KiB per team.
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        self.shared.settings.workers
    }

    /// Tasks in the queues now, running ones not counted.
    pub fn queue_depth(&self) -> usize {
        self.shared.gate.depth()
    }

    /// Whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.is_closed()
    }

    pub(crate) fn submit_cell<F, T>(
        &self,
        task: Task<F>,
    ) -> Result<Arc<TaskCell<F, T>>, Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let worker = Worker::current_of(self.shared.id);
        self.send(task, worker.as_deref(), WhenFull::WaitOrRun, true)
    }

    fn send<F, T>(
        &self,
        task: Task<F>,
        worker: Option<&Worker>,
        when_full: WhenFull,
        notify: bool,
    ) -> Result<Arc<TaskCell<F, T>>, Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let called_ns = self.shared.clock.now_ns();
        let refusal = match self.shared.admit(&task.capability, worker) {
            Ok(admission) => return Ok(self.commit(admission, called_ns, task, worker, notify)),
            Err(refusal) => refusal,
        };
        let refusal = match (refusal.full, worker) {
            (Some(_), Some(worker)) if when_full == WhenFull::WaitOrRun => {
                self.shared.sleepers.notify(None);
                match self.admit_in_place(&refusal, worker) {
                    Some(admission) => {
                        return Ok(self.run_in_place(admission, called_ns, task, worker));
                    }
                    None => refusal,
                }
            }
            (Some(_), None) if when_full == WhenFull::WaitOrRun => {
                // Workers may sleep beside what a bulk submission has queued so far.
                self.shared.sleepers.notify(None);
                match self.wait_for_space(&task.capability) {
                    Ok(admission) => {
                        return Ok(self.commit(admission, called_ns, task, worker, notify));
                    }
                    Err(refusal) => refusal,
                }
            }
            _ => refusal,
        };
        self.shared.count_rejection(&refusal);
        Err(Rejected::new(refusal.rejection, task))
    }

    fn wait_for_space(&self, capability: &Capability) -> Result<Admission, Refusal> {
        let mut listing = None;
        let mut wait = || {
            park_until(|waker| {
                self.shared
                    .poll_admit(&mut listing, waker, capability, None)
            })
        };
        match Worker::current() {
            Some(of_another_runtime) => of_another_runtime.blocked(wait),
            None => wait(),
        }
    }

    /// Lets a task that found the queue full run on the worker that submits it.
    fn admit_in_place(&self, refusal: &Refusal, worker: &Worker) -> Option<Admission> {
        let team = refusal.team?;
        worker.check_nesting().ok()?;
        self.shared.begin(true).then_some(Admission {
            team,
            depth: refusal.depth,
        })
    }

    fn run_in_place<F, T>(
        &self,
        admission: Admission,
        called_ns: u64,
        task: Task<F>,
        worker: &Worker,
    ) -> Arc<TaskCell<F, T>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let header = self.shared.header(admission, called_ns, &task);
        let cell = Arc::new(TaskCell::new(header, task.job));
        cell.run_if_queued(worker);
        cell
    }

    /// Queues an admitted task.
    pub(super) fn commit<F, T>(
        &self,
        admission: Admission,
        called_ns: u64,
        task: Task<F>,
        worker: Option<&Worker>,
        notify: bool,
    ) -> Arc<TaskCell<F, T>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let header = self.shared.header(admission, called_ns, &task);
        let cell = Arc::new(TaskCell::new(header, task.job));
        self.shared.enqueue(Arc::clone(&cell) as _, worker, notify);
        cell
    }
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("workers", &self.workers())
            .field("queue_depth", &self.queue_depth())
            .field("shutting_down", &self.is_shutting_down())
            .finish_non_exhaustive()
    }
}

impl<F, T> fmt::Debug for BulkRejected<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkRejected")
            .field("accepted", &self.accepted.len())
            .field("rejected", &self.rejected)
            .field("rest", &self.rest.len())
            .finish()
    }
}

impl<F, T> fmt::Display for BulkRejected<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accepted, left) = (self.accepted.len(), self.rest.len() + 1);
        write!(
            f,
            "bulk submit: {accepted} tasks accepted, {left} not: {}",
            self.rejected
        )
    }
}

impl<F, T> std::error::Error for BulkRejected<F, T> {}

impl<F, T> From<BulkRejected<F, T>> for CollectiveError {
    fn from(bulk: BulkRejected<F, T>) -> Self {
        bulk.rejected.into()
    }
}
