//! Bounded admission of tasks to the queues: entries are counted in one word, exits in one lane per
//! worker, so that submitters and workers share no line in the common case.

use crate::lanes::{Lane, Lanes};
use crate::primitive::{AtomicU64, AtomicUsize, Ordering, fence};
use crate::space::Space;
use crossbeam_utils::CachePadded;

/// Counts what is inside and admits no more than `capacity`.
///
/// Inside are `entered - left`. Both only grow, so a sum of the lanes taken earlier is a lower
/// bound of `left`, and the depth that follows from it is never too low: a submitter works with the
/// sum that somebody took last and takes it anew only when the bound, or the highest depth seen so
/// far, would be passed.
#[derive(Debug)]
pub struct Intake {
    capacity: u64,
    front: CachePadded<Front>,
    left: Lanes,
    space: Space,
}

/// What submitters write.
#[derive(Debug)]
struct Front {
    entered: AtomicU64,
    /// A sum of `left` taken earlier.
    left_seen: AtomicU64,
    depth_max: AtomicUsize,
}

impl Intake {
    /// Empty, for at most `capacity`, left by as many workers.
    pub fn new(capacity: usize, workers: usize) -> Self {
        Self {
            capacity: capacity as u64,
            front: CachePadded::new(Front {
                entered: AtomicU64::new(0),
                left_seen: AtomicU64::new(0),
                depth_max: AtomicUsize::new(0),
            }),
            left: Lanes::new(workers),
            space: Space::new(),
        }
    }

    /// The most that may be inside.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.capacity).unwrap_or(usize::MAX)
    }

    /// How many are inside now.
    pub fn depth(&self) -> usize {
        let left = self.left.sum();
        let inside = self.entered().saturating_sub(left).min(self.capacity);
        usize::try_from(inside).unwrap_or(usize::MAX)
    }

    /// The most that was ever inside.
    pub fn depth_max(&self) -> usize {
        self.front.depth_max.load(Ordering::Relaxed)
    }

    /// How many ever entered.
    pub fn entered(&self) -> u64 {
        self.front.entered.load(Ordering::Acquire)
    }

    /// Who waits for space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Takes one place; when full, says how many are inside.
    pub fn try_enter(&self) -> Result<(), usize> {
        let front = &*self.front;
        let mut entered = front.entered.load(Ordering::Relaxed);
        loop {
            let left = front.left_seen.load(Ordering::Relaxed);
            let mut inside = entered.saturating_sub(left);
            let highest = front.depth_max.load(Ordering::Relaxed);
            if inside >= self.capacity || inside >= highest as u64 {
                let left = self.left.sum();
                front.left_seen.fetch_max(left, Ordering::Relaxed);
                inside = entered.saturating_sub(left);
                if inside >= self.capacity {
                    return Err(usize::try_from(inside).unwrap_or(usize::MAX));
                }
            }
            let taken = front.entered.compare_exchange_weak(
                entered,
                entered + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => {
                    let depth = usize::try_from(inside + 1).unwrap_or(usize::MAX);
                    if depth > highest {
                        front.depth_max.fetch_max(depth, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                Err(current) => entered = current,
            }
        }
    }

    /// Gives one place back and wakes one waiter.
    pub fn leave(&self, lane: Lane) {
        self.left.add_one(lane);
        self.space.wake_one();
    }

    /// Gives one place back here and one in `other`, with one fence for both.
    pub fn leave_with(&self, other: &Self, lane: Lane) {
        self.left.add_one(lane);
        other.left.add_one(lane);
        fence(Ordering::SeqCst);
        self.space.wake_one_after_fence();
        other.space.wake_one_after_fence();
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn never_admits_more_than_its_capacity() {
        let intake = Intake::new(3, 1);
        assert_eq!((0..5).filter(|_| intake.try_enter().is_ok()).count(), 3);
        assert_eq!(intake.try_enter(), Err(3));
        intake.leave(Lane::Worker(0));
        assert!(intake.try_enter().is_ok());
        assert_eq!(
            (intake.depth(), intake.depth_max(), intake.capacity()),
            (3, 3, 3)
        );
        assert_eq!(intake.entered(), 4);
    }

    #[test]
    fn the_highest_depth_is_not_the_number_that_passed_through() {
        let intake = Intake::new(100, 1);
        for lane in [Lane::Outside, Lane::Worker(0)]
            .into_iter()
            .cycle()
            .take(1_000)
        {
            intake.try_enter().unwrap();
            intake.try_enter().unwrap();
            intake.leave(lane);
            intake.leave(lane);
        }
        assert_eq!((intake.depth(), intake.depth_max()), (0, 2));
    }

    #[test]
    fn threads_together_never_pass_the_capacity() {
        let intake = Intake::new(4, 2);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let intake = &intake;
                let lane = if thread < 2 {
                    Lane::Worker(thread)
                } else {
                    Lane::Outside
                };
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if intake.try_enter().is_ok() {
                            assert!(intake.depth() <= 4);
                            intake.leave(lane);
                        }
                    }
                });
            }
        });
        assert_eq!(intake.depth(), 0);
        assert!(intake.depth_max() <= 4);
    }
}
