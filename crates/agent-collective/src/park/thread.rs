//! Blocking one thread on something that is polled with a waker.

use super::Parker;
use crate::clock::Clock;
#[cfg(not(neurectomy_loom))]
use std::cell::Cell;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Looks before giving the processor away; few, because whoever answers may need this one.
#[cfg(not(neurectomy_loom))]
const LOOKS_SPINNING: usize = 16;
/// Looks with giving the processor away in between, each a system call of about 0.3 us.
#[cfg(not(neurectomy_loom))]
const LOOKS_YIELDING: usize = 12;

/// A processor given away that comes back only after this time was wanted for something else.
#[cfg(not(neurectomy_loom))]
const LONG_YIELD_NS: u64 = 50_000;

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
    let clock = Clock::new();
    let mut before_ns = clock.now_ns();
    for _ in 0..LOOKS_YIELDING {
        std::thread::yield_now();
        if ready() {
            return true;
        }
        let now_ns = clock.now_ns();
        if now_ns.saturating_sub(before_ns) > LONG_YIELD_NS {
            // Somebody else needs this processor for longer.
            return false;
        }
        before_ns = now_ns;
    }
    false
}

/// In a model every interleaving is tried anyway.
#[cfg(neurectomy_loom)]
pub(crate) fn spin_until(ready: impl Fn() -> bool) -> bool {
    ready()
}

/// Parks the calling thread until `poll` is ready. Cost: one allocation.
pub fn park_until<R>(mut poll: impl FnMut(&Waker) -> Poll<R>) -> R {
    let parker = Parker::new();
    let waker = parker.waker();
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
    let parker = Parker::new();
    let waker = parker.waker();
    let clock = Clock::new();
    loop {
        if let Poll::Ready(value) = poll(&waker) {
            return Some(value);
        }
        match timeout.saturating_sub(Duration::from_nanos(clock.now_ns())) {
            Duration::ZERO => return None,
            left => {
                parker.park_timeout(left);
            }
        }
    }
}
