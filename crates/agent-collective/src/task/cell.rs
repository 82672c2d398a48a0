//! A submitted task: one allocation shared by the queue and the handle.

use super::context::TaskContext;
use super::handle::Awaited;
use super::header::Header;
use super::spec::Priority;
use crate::error::TaskError;
use crate::latch::Latch;
use crate::primitive::{AtomicU8, Mutex, Ordering, lock};
use crate::queue::Work;
use crate::runtime::Shared;
use crate::worker::{Worker, drop_quietly};

/// Nobody has taken the closure.
const QUEUED: u8 = 0;
/// Whoever made this change runs the closure, or ran it.
const CLAIMED: u8 = 1;
/// Cancelled through the handle; the books are brought up to date when it leaves the queue.
const CANCELLED: u8 = 2;

/// A closure, its conditions, and the place for its result.
///
/// Exactly once: the closure belongs to whoever changes the state from `QUEUED`. The entry that
/// stays behind in the queue is then empty and is dropped when it is taken out.
pub(crate) struct TaskCell<F, T> {
    header: Header,
    state: AtomicU8,
    job: Mutex<Option<F>>,
    outcome: Mutex<Option<Result<T, TaskError>>>,
    latch: Latch,
}

impl<F, T> TaskCell<F, T> {
    pub(crate) fn new(header: Header, job: F) -> Self {
        Self {
            header,
            state: AtomicU8::new(QUEUED),
            job: Mutex::new(Some(job)),
            outcome: Mutex::new(None),
            latch: Latch::new(),
        }
    }

    fn change_from_queued(&self, to: u8) -> Result<u8, u8> {
        self.state
            .compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Ends a claimed task without running it. Its closure is dropped first.
    fn end_with(&self, error: TaskError) {
        drop_quietly(lock(&self.job).take());
        self.resolve(Err(error));
    }

    fn resolve(&self, result: Result<T, TaskError>) {
        *lock(&self.outcome) = Some(result);
        self.latch.set();
    }

    /// A copy of the error it ended with.
    pub(crate) fn error(&self) -> Option<TaskError> {
        lock(&self.outcome)
            .as_ref()
            .and_then(|result| result.as_ref().err().cloned())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.latch.is_set()
    }
}

impl<F, T> TaskCell<F, T>
where
    F: FnOnce(&TaskContext<'_>) -> T + Send,
    T: Send,
{
    /// Runs the closure on this worker if nobody has taken it.
    pub(crate) fn run_if_queued(&self, worker: &Worker) -> bool {
        let claimed = self.change_from_queued(CLAIMED).is_ok();
        if claimed {
            self.run_claimed(worker);
        }
        claimed
    }

    fn run_claimed(&self, worker: &Worker) {
        let Some(job) = lock(&self.job).take() else {
            return;
        };
        self.resolve(worker.run_unit(&self.header, self.address(), false, job));
        worker.shared().finish_one();
    }
}

/// A value that nobody joined is dropped on whichever thread lets go of the task last; a panic of
/// its destructor must not surprise that thread.
impl<F, T> Drop for TaskCell<F, T> {
    fn drop(&mut self) {
        drop_quietly(lock(&self.outcome).take());
        drop_quietly(lock(&self.job).take());
    }
}

impl<F, T> Work for TaskCell<F, T>
where
    F: FnOnce(&TaskContext<'_>) -> T + Send,
    T: Send,
{
    fn team(&self) -> usize {
        self.header.team
    }

    fn priority(&self) -> Priority {
        self.header.priority
    }

    fn affinity(&self) -> Option<u64> {
        self.header.affinity
    }

    fn holds_place(&self) -> bool {
        true
    }

    fn run(&self, worker: &Worker) {
        match self.change_from_queued(CLAIMED) {
            Ok(_) => self.run_claimed(worker),
            Err(CANCELLED) => {
                worker.book_refusal(&self.header, &TaskError::Cancelled);
                worker.shared().finish_one();
            }
            Err(_) => {}
        }
    }

    fn discard(&self, shared: &Shared) {
        match self.change_from_queued(CLAIMED) {
            Ok(_) => self.end_with(TaskError::Cancelled),
            Err(CANCELLED) => {}
            Err(_) => return,
        }
        shared.teams[self.header.team]
            .cancelled
            .fetch_add(1, Ordering::Relaxed);
        shared.finish_one();
    }
}

impl<F, T> Awaited<T> for TaskCell<F, T>
where
    F: FnOnce(&TaskContext<'_>) -> T + Send,
    T: Send,
{
    fn latch(&self) -> &Latch {
        &self.latch
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(&self.header).addr()
    }

    fn take(&self) -> Option<Result<T, TaskError>> {
        lock(&self.outcome).take()
    }

    fn cancel(&self) {
        self.header.cancelled.store(true, Ordering::Release);
        if self.change_from_queued(CANCELLED).is_ok() {
            self.end_with(TaskError::Cancelled);
        }
    }

    /// A task that has not started runs here and now, in the place of the one that waits for it;
    /// one that runs elsewhere is waited for. So workers wait only for running tasks, and a
    /// circle of waiting workers would be a circle of tasks that wait for each other.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError> {
        if self.header.runtime == worker.shared().id {
            if worker.is_running(self.address()) {
                return Err(TaskError::WouldDeadlock);
            }
            if self.state.load(Ordering::Acquire) == QUEUED {
                worker.check_nesting()?;
                if self.run_if_queued(worker) {
                    return Ok(());
                }
            }
        }
        worker.blocked(|| self.latch.wait());
        Ok(())
    }
}
