//! Bounded admission of messages to a mailbox: one counter that never passes its capacity.

use crate::primitive::{AtomicUsize, Ordering};
use crate::space::Space;

/// Counts what is inside and admits no more than `capacity`. Small; see
/// [`Intake`](crate::intake::Intake) for the one that many workers leave at a time.
#[derive(Debug)]
pub struct Gate {
    capacity: usize,
    depth: AtomicUsize,
    space: Space,
}

impl Gate {
    /// Empty, for at most `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            depth: AtomicUsize::new(0),
            space: Space::new(),
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

    /// Who waits for space.
    pub fn space(&self) -> &Space {
        &self.space
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
                Ok(_) => return Ok(()),
                Err(current) => depth = current,
            }
        }
    }

    /// Gives one place back and wakes one waiter.
    pub fn leave(&self) {
        self.depth.fetch_sub(1, Ordering::AcqRel);
        self.space.wake_one();
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
        assert_eq!((gate.depth(), gate.capacity()), (3, 3));
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
    }
}
