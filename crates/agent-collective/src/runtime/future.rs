//! Submitting without blocking the thread.

use super::admission::Listing;
use super::handle::RuntimeHandle;
use crate::error::Rejected;
use crate::task::{JoinHandle, Task, TaskContext};
use crate::worker::Worker;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits for space in the queue and submits; from [`RuntimeHandle::submit_async`]. Dropping it
/// before it is ready withdraws the task.
#[must_use = "the task is submitted when this future is polled"]
pub struct SubmitFuture<F, T> {
    runtime: RuntimeHandle,
    task: Option<Box<Task<F>>>,
    listing: Listing,
    called_ns: u64,
    value: PhantomData<fn() -> T>,
}

impl<F, T> SubmitFuture<F, T> {
    pub(super) fn new(runtime: RuntimeHandle, task: Task<F>) -> Self {
        let called_ns = runtime.shared().clock.now_ns();
        let task = Some(Box::new(task));
        Self {
            runtime,
            task,
            listing: None,
            called_ns,
            value: PhantomData,
        }
    }
}

impl<F, T> Future for SubmitFuture<F, T>
where
    F: FnOnce(&TaskContext<'_>) -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<JoinHandle<T>, Rejected<Task<F>>>;

    /// # Panics
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.runtime.shared();
        let worker = Worker::current_of(shared.id);
        let capability = match &this.task {
            Some(task) => &task.capability,
            None => panic!("a submission was polled after it was ready"),
        };
        let admitted = ready!(shared.poll_admit(
            &mut this.listing,
            context.waker(),
            capability,
            worker.as_deref(),
        ));
        let Some(task) = this.task.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match admitted {
            Ok(admission) => {
                let cell = this
                    .runtime
                    .commit(admission, this.called_ns, *task, worker.as_deref());
                Ok(JoinHandle::new(cell))
            }
            Err(refusal) => {
                shared.count_rejection(&refusal);
                Err(Rejected::new(refusal.rejection, *task))
            }
        })
    }
}

impl<F, T> Drop for SubmitFuture<F, T> {
    fn drop(&mut self) {
        self.runtime.shared().unlist(&mut self.listing);
    }
}

impl<F, T> fmt::Debug for SubmitFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitFuture")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
