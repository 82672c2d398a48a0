//! Completion latch: goes from open to set once and wakes everyone who waits.

use crate::park::{park_until, park_until_timeout};
use crate::primitive::{AtomicBool, Mutex, Ordering, lock};
use crate::waiters::{Waiters, wake_all};
use std::task::{Poll, Waker};
use std::time::Duration;

/// One-way flag with waiters (threads and futures alike, both as wakers).
///
/// `set` publishes everything written before it to whoever sees `is_set`. The flag is stored
/// inside the lock of the waiter list, and a waiter looks at the flag inside the same lock before
/// it registers: either it sees the flag, or `set` sees the waiter.
#[derive(Debug)]
pub struct Latch {
    set: AtomicBool,
    waiters: Mutex<Waiters>,
}

impl Default for Latch {
    fn default() -> Self {
        Self::new()
    }
}

impl Latch {
    /// An open latch.
    pub fn new() -> Self {
        Self {
            set: AtomicBool::new(false),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Sets it and wakes all waiters.
    pub fn set(&self) {
        let woken = {
            let mut waiters = lock(&self.waiters);
            self.set.store(true, Ordering::Release);
            waiters.take_all()
        };
        wake_all(woken);
    }

    /// Ready if set; otherwise `waker` will be woken. `key` names the waiter between calls.
    pub fn poll(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_set() {
            return Poll::Ready(());
        }
        let mut waiters = lock(&self.waiters);
        if self.is_set() {
            return Poll::Ready(());
        }
        waiters.register(key, waker);
        Poll::Pending
    }

    /// Withdraws a waiter that no longer waits.
    pub fn forget(&self, key: Option<u64>) {
        if let Some(key) = key {
            lock(&self.waiters).remove(key);
        }
    }

    /// Blocks the calling thread until it is set.
    pub fn wait(&self) {
        let mut key = None;
        park_until(|waker| self.poll(&mut key, waker));
    }

    /// Blocks for at most `timeout`; returns whether it is set.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let mut key = None;
        let outcome = park_until_timeout(timeout, |waker| self.poll(&mut key, waker));
        if outcome.is_none() {
            self.forget(key);
        }
        outcome.is_some() || self.is_set()
    }
}
