//! Bounded admission: a counter that never passes its capacity, with waiters for space.

use crate::primitive::{AtomicUsize, Mutex, Ordering, fence, lock};
use crate::waiters::{Waiters, wake, wake_all};
use std::task::Waker;

/// Counts what is inside and admits no more than `capacity`.
///
/// No wake-up is lost: a waiter registers, publishes the number of waiters, passes a SeqCst fence
/// and only then tries again; whoever leaves lowers the depth, passes a SeqCst fence and only then
/// looks for waiters. One of the two sees the other.
#[derive(Debug)]
pub struct Gate {
    capacity: usize,
    depth: AtomicUsize,
    depth_max: AtomicUsize,
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

impl Gate {
    /// Empty, for at most `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            depth: AtomicUsize::new(0),
            depth_max: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// The most that may be inside.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many are inside now.
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// The most that was ever inside.
    pub fn depth_max(&self) -> usize {
        self.depth_max.load(Ordering::Relaxed)
    }

    /// Takes one place; when full, says how many are inside.
    pub fn try_enter(&self) -> Result<(), usize> {
        let mut depth = self.depth.load(Ordering::Relaxed);
        loop {
            if depth >= self.capacity {
                return Err(depth);
            }
            let taken = self.depth.compare_exchange_weak(
                depth,
                depth + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => break,
                Err(current) => depth = current,
            }
        }
        if depth + 1 > self.depth_max.load(Ordering::Relaxed) {
            self.depth_max.fetch_max(depth + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives one place back and wakes one waiter.
    pub fn leave(&self) {
        self.depth.fetch_sub(1, Ordering::AcqRel);
        self.wake_one();
    }

    fn wake_one(&self) {
        fence(Ordering::SeqCst);
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
    pub fn wake_all(&self) {
        let woken = {
            let mut waiters = lock(&self.waiters);
            self.waiting.store(0, Ordering::Relaxed);
            waiters.take_all()
        };
        wake_all(woken);
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn never_admits_more_than_its_capacity() {
        let gate = Gate::new(3);
        assert_eq!((0..5).filter(|_| gate.try_enter().is_ok()).count(), 3);
        assert_eq!(gate.try_enter(), Err(3));
        gate.leave();
        assert!(gate.try_enter().is_ok());
        assert_eq!((gate.depth(), gate.depth_max(), gate.capacity()), (3, 3, 3));
    }

    #[test]
    fn threads_together_never_pass_the_capacity() {
        let gate = Gate::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if gate.try_enter().is_ok() {
                            assert!(gate.depth() <= 4);
                            gate.leave();
                        }
                    }
                });
            }
        });
        assert_eq!(gate.depth(), 0);
        assert!(gate.depth_max() <= 4);
    }
}
