//! The submit methods.

use super::admission::{Admission, Refusal};
use super::bulk::{BulkHandle, BulkJob};
use super::future::SubmitFuture;
use super::shared::Shared;
use crate::error::{CollectiveError, Rejected};
use crate::park::{Choice, park_until};
use crate::queue::Entry;
use crate::report::Report;
use crate::task::{Capability, Header, InlineTask, Job, JoinHandle, Task, TaskCell, TaskContext};
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

/// Where an admitted task goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Queue,
    /// It runs on the worker that submits it.
    Here,
}

/// When a task was submitted, and when it got in.
#[derive(Clone, Copy)]
struct Called {
    called_ns: u64,
    accepted_ns: u64,
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

    /// Submits a task whose value nobody waits for. Same as [`submit`](Self::submit) with
    /// [`detach`](JoinHandle::detach), and cheaper: there is no handle to keep the task for.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn spawn<F, T>(&self, task: Task<F>) -> Result<(), Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.send_detached(task, WhenFull::WaitOrRun)
    }

    /// Like [`spawn`](Self::spawn), if there is space now.
    ///
    /// # Errors
    /// As [`try_submit`](Self::try_submit).
    pub fn try_spawn<F, T>(&self, task: Task<F>) -> Result<(), Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.send_detached(task, WhenFull::Reject)
    }

    /// Submits one job of `count` items, made by [`Task::bulk`]: its closure is called with every
    /// index from 0 to `count - 1` once, by as many workers as are free, each taking shares of
    /// neighbouring indexes whose size follows the time that an item takes.
    ///
    /// The job holds one place in the queue, however many items it has; each item counts as one
    /// task in the report. A share is stamped as a whole: its items are booked with equal parts of
    /// its time. Waits while the queue is full, except inside a task.
    ///
    /// Cost: a few nanoseconds per item and one allocation per share.
    ///
    /// ```
    /// use agent_collective::{Runtime, Task};
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let squares = runtime.submit_bulk(1_000, Task::bulk("square", |i, _| i * i))?.join()?;
    /// assert_eq!(squares[31], 961);
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and inside a task [`QueueFull`](crate::Rejection::QueueFull) or
    /// [`TeamFull`](crate::Rejection::TeamFull) instead of waiting.
    pub fn submit_bulk<F, T>(
        &self,
        count: usize,
        mut task: Task<F>,
    ) -> Result<BulkHandle<T>, Rejected<Task<F>>>
    where
        F: Fn(usize, &TaskContext<'_>) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let worker = Worker::current_of(self.shared.id);
        let worker = worker.as_deref();
        let when_full = match worker {
            Some(_) => WhenFull::Reject,
            None => WhenFull::WaitOrRun,
        };
        let ((_, admission), called) = match self.ask_for_place(&task, worker, when_full) {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(self.reject(refusal, task)),
        };
        let header = self.header(admission, called, &mut task);
        self.shared.teams[admission.team].accept_extra((count as u64).saturating_sub(1));
        let job = BulkJob::new(header, count, task.job);
        self.shared
            .enqueue(Entry::Shared(Arc::clone(&job) as _), worker, true);
        Ok(BulkHandle::new(job))
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
                    self.shared.sleepers.notify(Choice::Any);
                    return Err(BulkRejected {
                        accepted,
                        rejected,
                        rest: tasks.collect(),
                    });
                }
            }
        }
        self.shared.sleepers.notify(Choice::Any);
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
        self.shared.intake.depth()
    }

    /// Whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.census.is_closed()
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
        let (sent, called_ns) = match self.ask_for_place(&task, worker, when_full) {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(self.reject(refusal, task)),
        };
        let (place, admission) = sent;
        let cell = Arc::new(self.cell(admission, called_ns, task));
        match (place, worker) {
            (Place::Here, Some(worker)) => {
                cell.run_if_queued(worker);
            }
            _ => self
                .shared
                .enqueue(Entry::Shared(Arc::clone(&cell) as _), worker, notify),
        }
        Ok(cell)
    }

    /// Like `send` for a task whose handle nobody wants: the queue owns it alone.
    fn send_detached<F, T>(
        &self,
        mut task: Task<F>,
        when_full: WhenFull,
    ) -> Result<(), Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let worker = Worker::current_of(self.shared.id);
        let worker = worker.as_deref();
        let (sent, called_ns) = match self.ask_for_place(&task, worker, when_full) {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(self.reject(refusal, task)),
        };
        let (place, admission) = sent;
        let header = self.header(admission, called_ns, &mut task);
        let job = task.job;
        let job = Job::new(move |context: &TaskContext<'_>| drop(job(context)));
        let entry = match InlineTask::new(&header, job) {
            Ok(task) => Entry::Inline(task),
            Err(job) => {
                let job = move |context: &TaskContext<'_>| job.call(context);
                Entry::Shared(Arc::new(TaskCell::new(header, job)))
            }
        };
        match (place, worker) {
            (Place::Here, Some(worker)) => entry.run(worker),
            _ => self.shared.enqueue(entry, worker, true),
        }
        Ok(())
    }

    fn reject<F>(&self, refusal: Refusal, task: Task<F>) -> Rejected<Task<F>> {
        self.shared.count_rejection(&refusal);
        Rejected::new(refusal.rejection, task)
    }

    /// Gets a task in, waiting if that is wanted; also gives the time of the call, which is that of
    /// the acceptance unless it waited.
    fn ask_for_place<F>(
        &self,
        task: &Task<F>,
        worker: Option<&Worker>,
        when_full: WhenFull,
    ) -> Result<((Place, Admission), Called), Refusal> {
        let called_ns = self.shared.clock.now_ns();
        let at_once = Called {
            called_ns,
            accepted_ns: called_ns,
        };
        let refusal = match self.shared.admit(&task.capability, worker) {
            Ok(admission) => return Ok(((Place::Queue, admission), at_once)),
            Err(refusal) => refusal,
        };
        if refusal.full.is_none() || when_full == WhenFull::Reject {
            return Err(refusal);
        }
        // Workers may sleep beside what a bulk submission has queued so far.
        self.shared.sleepers.notify(Choice::Any);
        let place = match worker {
            Some(worker) => match self.admit_in_place(&refusal, worker) {
                Some(admission) => (Place::Here, admission),
                None => return Err(refusal),
            },
            None => (Place::Queue, self.wait_for_space(&task.capability)?),
        };
        let accepted_ns = self.shared.clock.now_ns();
        let called = Called {
            called_ns,
            accepted_ns,
        };
        Ok((place, called))
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
        self.shared.announce(true).then(|| {
            self.shared.teams[team].accept_extra(1);
            Admission {
                team,
                depth: refusal.depth,
            }
        })
    }

    fn header<F>(&self, admission: Admission, called: Called, task: &mut Task<F>) -> Header {
        let Called {
            called_ns,
            accepted_ns,
        } = called;
        self.shared.header(admission, called_ns, accepted_ns, task)
    }

    fn cell<F, T>(&self, admission: Admission, called: Called, mut task: Task<F>) -> TaskCell<F, T>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let header = self.header(admission, called, &mut task);
        TaskCell::new(header, task.job)
    }

    /// Queues a task that was admitted just now.
    pub(super) fn commit<F, T>(
        &self,
        admission: Admission,
        called_ns: u64,
        task: Task<F>,
        worker: Option<&Worker>,
    ) -> Arc<TaskCell<F, T>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
        T: Send + 'static,
    {
        let called = Called {
            called_ns,
            accepted_ns: self.shared.clock.now_ns(),
        };
        let cell = Arc::new(self.cell(admission, called, task));
        self.shared
            .enqueue(Entry::Shared(Arc::clone(&cell) as _), worker, true);
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
