//! Blocking one thread on something that is polled with a waker.

use crate::clock::Clock;
use crate::primitive::{Parker, Unparker};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

#[derive(Debug)]
struct UnparkOnWake(Unparker);

impl Wake for UnparkOnWake {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

fn parker_and_waker() -> (Parker, Waker) {
    let parker = Parker::new();
    let waker = Waker::from(Arc::new(UnparkOnWake(parker.unparker().clone())));
    (parker, waker)
}

/// Parks the calling thread until `poll` is ready. Cost: two allocations when it has to wait.
pub fn park_until<R>(mut poll: impl FnMut(&Waker) -> Poll<R>) -> R {
    let (parker, waker) = parker_and_waker();
    loop {
        match poll(&waker) {
            Poll::Ready(value) => return value,
            Poll::Pending => parker.park(),
        }
    }
}

/// Like [`park_until`], for at most `timeout`; `None` when the time is over.
pub(crate) fn park_until_timeout<R>(
    timeout: Duration,
    mut poll: impl FnMut(&Waker) -> Poll<R>,
) -> Option<R> {
    let (parker, waker) = parker_and_waker();
    let clock = Clock::new();
    loop {
        if let Poll::Ready(value) = poll(&waker) {
            return Some(value);
        }
        match timeout.saturating_sub(Duration::from_nanos(clock.now_ns())) {
            Duration::ZERO => return None,
            left => parker.park_timeout(left),
        }
    }
}
