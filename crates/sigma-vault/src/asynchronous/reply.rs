//! The future of one operation.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::pool::{Job, Queue};
use crate::error::VaultError;
use crate::vault::held;

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Done(Result<T, VaultError>),
    Taken,
}

type Slot<T> = Arc<Mutex<State<T>>>;

/// What an operation of [`AsyncVault`](crate::AsyncVault) will come to.
///
/// The operation goes on whether the future is polled or not; only where the queue was full when
/// it was asked for, it is put there by the first poll that finds room. Dropping the future does
/// not take back what is under way.
#[must_use = "an operation may have failed, and waits for the first poll where the queue is full"]
pub struct Reply<T> {
    slot: Slot<T>,
    /// What the queue had no room for.
    parked: Option<Job>,
    queue: Arc<Queue>,
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("parked", &self.parked.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> Reply<T> {
    /// Asks for `job`; `make` gets what answers the reply.
    pub(super) fn ask(queue: &Arc<Queue>, make: impl FnOnce(Answer<T>) -> Job) -> Self {
        let slot = Arc::new(Mutex::new(State::Waiting(None)));
        let job = make(Answer(Some(Arc::clone(&slot))));
        Self {
            slot,
            parked: queue.push(job, None).err(),
            queue: Arc::clone(queue),
        }
    }
}

// Nothing in it refers to itself.
impl<T> Unpin for Reply<T> {}

impl<T> Future for Reply<T> {
    type Output = Result<T, VaultError>;

    /// Ready once the operation is done.
    ///
    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(job) = self.parked.take() {
            let pushed = self.queue.push(job, Some(context.waker()));
            self.parked = pushed.err();
        }
        let mut state = held(&self.slot);
        match &mut *state {
            State::Waiting(waker) => {
                if waker.as_ref().is_none_or(|w| !w.will_wake(context.waker())) {
                    *waker = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
            State::Done(_) => {}
            State::Taken => panic!("a reply is polled after it was ready"),
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(result) => Poll::Ready(result),
            State::Waiting(_) | State::Taken => Poll::Pending,
        }
    }
}

/// Answers a reply; one that is dropped unused answers that the vault was closed.
#[derive(Debug)]
pub(super) struct Answer<T>(Option<Slot<T>>);

impl<T> Answer<T> {
    pub(super) fn give(mut self, result: Result<T, VaultError>) {
        self.set(result);
    }

    fn set(&mut self, result: Result<T, VaultError>) {
        let Some(slot) = self.0.take() else { return };
        let before = std::mem::replace(&mut *held(&slot), State::Done(result));
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.set(Err(VaultError::Closed));
    }
}
