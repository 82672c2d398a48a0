//! Who waits for space in something bounded.

use crate::primitive::{AtomicUsize, Mutex, Ordering, fence, lock};
use crate::waiters::{Waiters, wake, wake_all};
use std::task::Waker;

/// Waiters for space, which whoever leaves wakes one by one.
///
/// No wake-up is lost: a waiter registers, publishes the number of waiters, passes a SeqCst fence
/// and only then tries again; whoever leaves lowers the depth, passes a SeqCst fence and only then
/// looks for waiters. One of the two sees the other.
#[derive(Debug)]
pub struct Space {
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

impl Space {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// Wakes the first waiter; called after the depth was lowered.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        self.wake_one_after_fence();
    }

    /// As [`wake_one`](Self::wake_one) for a caller that has passed a SeqCst fence since.
    pub(crate) fn wake_one_after_fence(&self) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let woken = {
            let mut waiters = lock(&self.waiters);
            let woken = waiters.pop();
            self.waiting.store(waiters.len(), Ordering::Relaxed);
            woken
        };
        if let Some(waker) = woken {
            wake(waker);
        }
    }

    /// Lists a waiter; the caller must try to enter once more afterwards.
    pub fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let mut waiters = lock(&self.waiters);
        waiters.register(key, waker);
        self.waiting.store(waiters.len(), Ordering::Relaxed);
        drop(waiters);
        fence(Ordering::SeqCst);
    }

    /// Withdraws a waiter that got in. If it was woken for it, that wake-up is used.
    pub fn served(&self, key: u64) {
        let mut waiters = lock(&self.waiters);
        waiters.remove(key);
        self.waiting.store(waiters.len(), Ordering::Relaxed);
    }

    /// Withdraws a waiter that does not want the space any more. If it was already woken, its
    /// wake-up goes to the next one.
    pub fn forget(&self, key: u64) {
        let listed = {
            let mut waiters = lock(&self.waiters);
            let listed = waiters.remove(key);
            self.waiting.store(waiters.len(), Ordering::Relaxed);
            listed
        };
        if !listed {
            self.wake_one();
        }
    }

    /// Wakes every waiter, so that they see that the runtime shuts down.
    pub(crate) fn wake_all(&self) {
        let woken = {
            let mut waiters = lock(&self.waiters);
            self.waiting.store(0, Ordering::Relaxed);
            waiters.take_all()
        };
        wake_all(woken);
    }
}
