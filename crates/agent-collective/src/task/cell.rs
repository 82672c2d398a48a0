//! A submitted task: one allocation shared by the queue and the handle.

use super::context::TaskContext;
use super::handle::Awaited;
use super::header::Header;
use super::slot::{Claim, Gone, Slot};
use super::spec::Priority;
use crate::error::TaskError;
use crate::lanes::Lane;
use crate::latch::Latch;
use crate::primitive::Ordering;
use crate::queue::Work;
use crate::runtime::Shared;
use crate::worker::{Worker, drop_quietly};
use std::sync::OnceLock;

/// A closure, its conditions, and the place for its result.
///
/// Exactly once: the closure belongs to whoever takes it out of the slot. The entry that stays
/// behind in the queue is then empty and is dropped when it is taken out.
pub(crate) struct TaskCell<F, T> {
    header: Header,
    slot: Slot<F, T>,
    /// Why there is no value. Set before the latch.
    failure: OnceLock<Box<TaskError>>,
    latch: Latch,
}

impl<F, T> TaskCell<F, T> {
    pub(crate) fn new(header: Header, job: F) -> Self {
        Self {
            header,
            slot: Slot::new(job),
            failure: OnceLock::new(),
            latch: Latch::new(),
        }
    }

    /// Ends a task whose closure was taken out to be dropped, which comes first.
    fn end_without(&self, job: F, error: TaskError) {
        drop_quietly(job);
        self.fail(error);
    }

    fn fail(&self, error: TaskError) {
        let _ = self.failure.set(Box::new(error));
        self.latch.set();
    }

    /// A copy of the error it ended with.
    pub(crate) fn error(&self) -> Option<TaskError> {
        self.failure.get().map(|error| (**error).clone())
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
        match self.slot.claim() {
            Ok((job, claim)) => {
                self.run_claimed(worker, job, claim);
                true
            }
            Err(_) => false,
        }
    }

    fn run_claimed(&self, worker: &Worker, job: F, claim: Claim<'_, F, T>) {
        match worker.run_unit(&self.header, self.address(), false, job) {
            Ok(value) => {
                claim.put(value);
                self.latch.set();
            }
            Err(error) => self.fail(error),
        }
        worker.end_one();
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

    fn preferred(&self) -> Option<u16> {
        self.header.preferred
    }

    fn holds_place(&self) -> bool {
        true
    }

    fn run(&self, worker: &Worker) {
        match self.slot.claim() {
            Ok((job, claim)) => self.run_claimed(worker, job, claim),
            Err(Gone::Withdrawn) => {
                worker.book_refusal(&self.header, &TaskError::Cancelled, 1);
                worker.end_one();
            }
            Err(Gone::Claimed) => {}
        }
    }

    fn discard(&self, shared: &Shared) {
        match self.slot.claim() {
            Ok((job, _)) => self.end_without(job, TaskError::Cancelled),
            Err(Gone::Withdrawn) => {}
            Err(Gone::Claimed) => return,
        }
        shared.teams[self.header.team]
            .cancelled
            .fetch_add(1, Ordering::Relaxed);
        shared.end_one(Lane::Outside);
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
        match self.slot.take_value() {
            Some(value) => Some(Ok(value)),
            None => self.error().map(Err),
        }
    }

    fn cancel(&self) {
        self.header.cancelled.store(true, Ordering::Release);
        if let Some(job) = self.slot.withdraw() {
            self.end_without(job, TaskError::Cancelled);
        }
    }

    fn run_here(&self, worker: &Worker) -> bool {
        self.header.runtime == worker.shared().id
            && worker.check_nesting().is_ok()
            && self.run_if_queued(worker)
    }

    /// A task that has not started runs here and now, in the place of the one that waits for it;
    /// one that runs elsewhere is waited for. So workers wait only for running tasks, and a
    /// circle of waiting workers would be a circle of tasks that wait for each other.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError> {
        if self.header.runtime == worker.shared().id {
            if worker.is_running(self.address()) {
                return Err(TaskError::WouldDeadlock);
            }
            if self.slot.is_queued() {
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
