//! A count that many threads raise without sharing a cache line.

use crate::primitive::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// Who raises a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The worker with this index, which alone writes its lane.
    Worker(usize),
    /// Any other thread.
    Outside,
}

/// A sum of counters that only grow: one per worker, written by that worker alone, and one for all
/// other threads.
#[derive(Debug)]
pub(crate) struct Lanes {
    outside: CachePadded<AtomicU64>,
    workers: Box<[CachePadded<AtomicU64>]>,
}

impl Lanes {
    pub(crate) fn new(workers: usize) -> Self {
        let zero = |_| CachePadded::new(AtomicU64::new(0));
        Self {
            outside: zero(0),
            workers: (0..workers).map(zero).collect(),
        }
    }

    /// Adds one and publishes what was written before. Cost for a worker: a load and a store.
    pub(crate) fn add_one(&self, lane: Lane) {
        match lane {
            Lane::Worker(index) => {
                let own = &self.workers[index];
                own.store(own.load(Ordering::Relaxed) + 1, Ordering::Release);
            }
            Lane::Outside => {
                self.outside.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// At least what was added before the call, at most what was added before its end.
    pub(crate) fn sum(&self) -> u64 {
        let of_workers: u64 = self
            .workers
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .sum();
        of_workers + self.outside.load(Ordering::Acquire)
    }
}
