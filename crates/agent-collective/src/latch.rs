//! Completion latch: goes from open to set once and wakes everyone who waits.

use crate::park::{park_until, park_until_timeout, spin_until};
use crate::primitive::{AtomicU8, Mutex, Ordering, lock};
use crate::waiters::{Waiters, wake_all};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Not set, and nobody is listed.
const OPEN: u8 = 0;
/// Not set, and somebody is or was listed.
const AWAITED: u8 = 1;
const SET: u8 = 2;

/// One-way flag with waiters (threads and futures alike, both as wakers).
///
/// `set` publishes everything written before it to whoever sees `is_set`. It changes the state
/// first and takes the lock of the list only if the state was `AWAITED`. A waiter lists itself
/// first, then changes `OPEN` to `AWAITED`, all under the lock: either it finds `SET`, or `set`
/// finds `AWAITED` and, once it gets the lock, the waiter.
#[derive(Debug)]
pub struct Latch {
    state: AtomicU8,
    waiters: Mutex<Option<Box<Waiters>>>,
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
            state: AtomicU8::new(OPEN),
            waiters: Mutex::new(None),
        }
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) == SET
    }

    /// Sets it and wakes all waiters. Cost: one atomic operation when nobody waits.
    pub fn set(&self) {
        if self.state.swap(SET, Ordering::AcqRel) != AWAITED {
            return;
        }
        let woken = lock(&self.waiters).take();
        if let Some(mut woken) = woken {
            wake_all(woken.take_all());
        }
    }

    /// Ready if set; otherwise `waker` will be woken. `key` names the waiter between calls.
    pub fn poll(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_set() {
            return Poll::Ready(());
        }
        let mut waiters = lock(&self.waiters);
        let listed = waiters.get_or_insert_default();
        listed.register(key, waker);
        let seen = self
            .state
            .compare_exchange(OPEN, AWAITED, Ordering::AcqRel, Ordering::Acquire);
        if seen == Err(SET) {
            if let Some(key) = *key {
                listed.remove(key);
            }
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Withdraws a waiter that no longer waits.
    pub fn forget(&self, key: Option<u64>) {
        if let (Some(key), Some(waiters)) = (key, lock(&self.waiters).as_mut()) {
            waiters.remove(key);
        }
    }

    /// Blocks the calling thread until it is set; watches it for a moment before it parks.
    pub fn wait(&self) {
        if spin_until(|| self.is_set()) {
            return;
        }
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
