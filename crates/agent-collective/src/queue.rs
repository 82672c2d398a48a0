//! The run queues: one shared queue per priority, one inbox and one deque per worker.
//!
//! Source: crossbeam-deque (`Injector` for the shared queues, Chase-Lev deques, first in first out).

use crate::task::Priority;
use crossbeam_deque::{Injector, Steal, Stealer, Worker as Deque};
use std::sync::Arc;

use crate::runtime::Shared;
use crate::worker::Worker;

/// Something a worker can take from a queue and run: a task, or an agent with mail.
pub(crate) trait Work: Send + Sync {
    /// Index of the team it runs for.
    fn team(&self) -> usize;
    fn priority(&self) -> Priority;
    fn affinity(&self) -> Option<u64>;
    /// Whether it holds a place in the bounded queues until it is taken out.
    fn holds_place(&self) -> bool;
    /// Runs it, or drops it if somebody else ran it meanwhile.
    fn run(&self, worker: &Worker);
    /// Ends it without running, because the runtime stops.
    fn discard(&self, shared: &Shared);
}

pub(crate) type Entry = Arc<dyn Work>;

/// All queues of a runtime. Every entry can be taken by every worker.
pub(crate) struct RunQueues {
    high: Injector<Entry>,
    normal: Injector<Entry>,
    low: Injector<Entry>,
    inboxes: Box<[Injector<Entry>]>,
    stealers: Box<[Stealer<Entry>]>,
}

impl RunQueues {
    pub(crate) fn new(deques: &[Deque<Entry>]) -> Self {
        Self {
            high: Injector::new(),
            normal: Injector::new(),
            low: Injector::new(),
            inboxes: deques.iter().map(|_| Injector::new()).collect(),
            stealers: deques.iter().map(Deque::stealer).collect(),
        }
    }

    /// Queues an entry for any worker and returns the worker to wake rather than another.
    pub(crate) fn push(&self, entry: Entry) -> Option<usize> {
        match (entry.priority(), entry.affinity()) {
            (Priority::High, _) => self.high.push(entry),
            (Priority::Low, _) => self.low.push(entry),
            (Priority::Normal, None) => self.normal.push(entry),
            (Priority::Normal, Some(key)) => {
                let worker = self.worker_of(key);
                self.inboxes[worker].push(entry);
                return Some(worker);
            }
        }
        None
    }

    /// The worker that an affinity key points to.
    pub(crate) fn worker_of(&self, key: u64) -> usize {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed).unwrap_or(0) % self.inboxes.len()
    }

    pub(crate) fn take_high(&self) -> Option<Entry> {
        take(&self.high)
    }

    pub(crate) fn take_normal(&self) -> Option<Entry> {
        take(&self.normal)
    }

    pub(crate) fn take_low(&self) -> Option<Entry> {
        take(&self.low)
    }

    pub(crate) fn take_inbox(&self, worker: usize) -> Option<Entry> {
        take(&self.inboxes[worker])
    }

    /// Takes from the deque or inbox of another worker, starting at `first`.
    pub(crate) fn steal(&self, thief: usize, first: usize) -> Option<Entry> {
        let workers = self.stealers.len();
        let victims = (0..workers)
            .map(|i| (first + i) % workers)
            .filter(|&v| v != thief);
        victims.into_iter().find_map(|victim| {
            steal_until_known(|| self.stealers[victim].steal())
                .or_else(|| take(&self.inboxes[victim]))
        })
    }

    /// Takes any entry, for shutdown.
    pub(crate) fn take_any(&self) -> Option<Entry> {
        let workers = self.stealers.len();
        self.take_high()
            .or_else(|| self.take_normal())
            .or_else(|| self.take_low())
            .or_else(|| {
                (0..workers).find_map(|worker| {
                    take(&self.inboxes[worker])
                        .or_else(|| steal_until_known(|| self.stealers[worker].steal()))
                })
            })
    }

    /// Whether no queue holds an entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.normal.is_empty()
            && self.high.is_empty()
            && self.low.is_empty()
            && self.stealers.iter().all(Stealer::is_empty)
            && self.inboxes.iter().all(Injector::is_empty)
    }
}

fn take(queue: &Injector<Entry>) -> Option<Entry> {
    steal_until_known(|| queue.steal())
}

/// A lost race says nothing about whether the queue is empty: ask again.
fn steal_until_known(mut steal: impl FnMut() -> Steal<Entry>) -> Option<Entry> {
    loop {
        match steal() {
            Steal::Success(entry) => return Some(entry),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
