//! Blocking one thread on something that is polled with a waker.

use crate::clock::Clock;
use crate::primitive::{Parker, Unparker};
#[cfg(not(neurectomy_loom))]
use std::cell::Cell;
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

/// Looks before giving the processor away; about 2 us with the pause in between.
#[cfg(not(neurectomy_loom))]
const LOOKS_SPINNING: usize = 64;
/// Looks with giving the processor away in between.
#[cfg(not(neurectomy_loom))]
const LOOKS_YIELDING: usize = 4;

/// A thread whose last wait was longer than it watched parks at once, except every so many times.
#[cfg(not(neurectomy_loom))]
const WATCHES_ANYWAY_EVERY: u32 = 8;

#[cfg(not(neurectomy_loom))]
thread_local! {
    /// Waits of this thread in a row that watching did not shorten.
    static WATCHED_IN_VAIN: Cell<u32> = const { Cell::new(0) };
}

/// Watches `ready` for a moment: an answer that comes within a few microseconds costs no system
/// call to sleep and none to wake. Where answers take longer, watching only keeps the processor
/// from the one who answers.
#[cfg(not(neurectomy_loom))]
pub(crate) fn spin_until(ready: impl Fn() -> bool) -> bool {
    let in_vain = WATCHED_IN_VAIN.get();
    if !in_vain.is_multiple_of(WATCHES_ANYWAY_EVERY) {
        WATCHED_IN_VAIN.set(in_vain.wrapping_add(1));
        return ready();
    }
    let seen = watch(ready);
    WATCHED_IN_VAIN.set(if seen { 0 } else { in_vain.wrapping_add(1) });
    seen
}

#[cfg(not(neurectomy_loom))]
fn watch(ready: impl Fn() -> bool) -> bool {
    for _ in 0..LOOKS_SPINNING {
        if ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    for _ in 0..LOOKS_YIELDING {
        std::thread::yield_now();
        if ready() {
            return true;
        }
    }
    false
}

/// In a model every interleaving is tried anyway.
#[cfg(neurectomy_loom)]
pub(crate) fn spin_until(ready: impl Fn() -> bool) -> bool {
    ready()
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
