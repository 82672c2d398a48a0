//! Pieces on their way from the scheduler to a ticket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine::{FinishReason, Metrics, Piece};
use crate::error::{InferError, Result};

/// What both ends share. Holds every piece that is not taken yet: at most the request's
/// `max_tokens`, and a reader that is slow or gone never holds up the scheduler.
#[derive(Debug, Default)]
pub(super) struct Channel {
    inner: Mutex<Inner>,
    changed: Condvar,
    cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    pieces: VecDeque<Piece>,
    ending: Ending,
    metrics: Metrics,
    waker: Option<Waker>,
    /// The reader sleeps until the end, and is not to be woken for pieces.
    only_end: bool,
}

/// How far the request is.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    Open,
    Finished(FinishReason),
    /// The error goes out once, after the pieces.
    Failed(Option<InferError>),
}

impl Inner {
    /// The next item, if there is one or there will be none.
    fn take(&mut self) -> Poll<Option<Result<Piece>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match &mut self.ending {
            Ending::Open => Poll::Pending,
            Ending::Finished(_) => Poll::Ready(None),
            Ending::Failed(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}

impl Channel {
    /// Waits for the next item.
    pub(super) fn next(&self) -> Option<Result<Piece>> {
        let mut inner = self.lock();
        loop {
            if let Poll::Ready(item) = inner.take() {
                return item;
            }
            let woken = self.changed.wait(inner);
            inner = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until nothing will come any more; pieces are kept.
    pub(super) fn wait_for_end(&self) {
        let mut inner = self.lock();
        inner.only_end = true;
        while matches!(inner.ending, Ending::Open) {
            let woken = self.changed.wait(inner);
            inner = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next item, or a call of the waker when there is one.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Piece>>> {
        let mut inner = self.lock();
        let item = inner.take();
        if item.is_pending() {
            inner.waker = Some(cx.waker().clone());
        }
        item
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.lock().metrics.clone()
    }

    /// `None` while the request runs and after an error.
    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        match self.lock().ending {
            Ending::Finished(reason) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn cancel(&self) {
        // nothing is published with the flag, so no ordering is needed
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// No user code runs under the lock, so a poisoned one still guards whole data.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scheduler's end. Dropping it ends the request with [`InferError::ServerClosed`] if it has
/// not ended yet, so that nobody waits for ever.
#[derive(Debug)]
pub(super) struct Outlet(Arc<Channel>);

impl Outlet {
    pub(super) fn new() -> (Self, Arc<Channel>) {
        let channel = Arc::new(Channel::default());
        (Self(Arc::clone(&channel)), channel)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Moves `pieces` over and lets `update` change the metrics.
    pub(super) fn publish(&self, pieces: &mut VecDeque<Piece>, update: impl FnOnce(&mut Metrics)) {
        let mut inner = self.0.lock();
        update(&mut inner.metrics);
        if pieces.is_empty() {
            return;
        }
        inner.pieces.append(pieces);
        if !inner.only_end {
            self.wake(inner);
        }
    }

    /// Ends the request. Only the first call counts.
    pub(super) fn close(&self, outcome: Result<FinishReason>) {
        let mut inner = self.0.lock();
        if !matches!(inner.ending, Ending::Open) {
            return;
        }
        inner.ending = match outcome {
            Ok(reason) => Ending::Finished(reason),
            Err(error) => Ending::Failed(Some(error)),
        };
        self.wake(inner);
    }

    /// A waker is foreign code: it runs without the lock.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let waker = inner.waker.take();
        drop(inner);
        self.0.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.close(Err(InferError::ServerClosed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(token: u32) -> Piece {
        Piece {
            token,
            text: String::new(),
            logprob: None,
        }
    }

    #[test]
    fn pieces_come_in_order_then_the_error_once() {
        let (outlet, channel) = Outlet::new();
        outlet.publish(&mut [piece(1), piece(2)].into(), |m| m.prompt_tokens = 9);
        outlet.close(Err(InferError::NoTokens));
        outlet.close(Ok(FinishReason::MaxTokens));
        assert_eq!(channel.metrics().prompt_tokens, 9);
        assert_eq!(channel.next().unwrap().unwrap().token, 1);
        assert_eq!(channel.next().unwrap().unwrap().token, 2);
        assert!(matches!(channel.next(), Some(Err(InferError::NoTokens))));
        assert!(channel.next().is_none() && channel.finish_reason().is_none());
    }

    #[test]
    fn who_waits_for_the_end_finds_all_pieces() {
        let (outlet, channel) = Outlet::new();
        outlet.publish(&mut [piece(1)].into(), |_| {});
        let reader = Arc::clone(&channel);
        let reader = std::thread::spawn(move || {
            reader.wait_for_end();
            std::iter::from_fn(|| reader.next())
                .map(|item| item.unwrap().token)
                .collect::<Vec<_>>()
        });
        outlet.publish(&mut [piece(2), piece(3)].into(), |_| {});
        outlet.close(Ok(FinishReason::MaxTokens));
        assert_eq!(reader.join().unwrap(), [1, 2, 3]);
        // over already, or lost
        channel.wait_for_end();
        let (outlet, channel) = Outlet::new();
        drop(outlet);
        channel.wait_for_end();
    }

    #[test]
    fn a_lost_scheduler_ends_the_request() {
        let (outlet, channel) = Outlet::new();
        let reader = std::thread::spawn(move || channel.next());
        drop(outlet);
        let item = reader.join().unwrap();
        assert!(matches!(item, Some(Err(InferError::ServerClosed))));
    }
}
