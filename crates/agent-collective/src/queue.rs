//! The run queues: one shared queue per priority, one inbox and one deque per worker.
//!
//! Source: crossbeam-deque (`Injector` for the shared queues, Chase-Lev deques, first in first out).

use crate::task::{InlineTask, Priority};
use crossbeam_deque::{Injector, Steal, Stealer, Worker as Deque};
use std::sync::Arc;

use crate::park::Choice;
use crate::runtime::Shared;
use crate::worker::Worker;

/// Something a worker can take from a queue and run: a task, or an agent with mail.
pub(crate) trait Work: Send + Sync {
    /// Index of the team it runs for.
    fn team(&self) -> usize;
    fn priority(&self) -> Priority;
    /// The worker that its affinity key points to.
    fn preferred(&self) -> Option<u16>;
    /// Whether it holds a place in the bounded queues until it is taken out.
    fn holds_place(&self) -> bool;
    /// Runs it, or drops it if somebody else ran it meanwhile.
    fn run(&self, worker: &Worker);
    /// Ends it without running, because the runtime stops.
    fn discard(&self, shared: &Shared);
}

/// What lies in the queues.
pub(crate) enum Entry {
    /// Something that others hold too: a task with a handle, a bulk job, an agent.
    Shared(Arc<dyn Work>),
    /// A task that nobody waits for, stored in place.
    Inline(InlineTask),
}

impl Entry {
    pub(crate) fn team(&self) -> usize {
        match self {
            Self::Shared(work) => work.team(),
            Self::Inline(task) => task.team(),
        }
    }

    pub(crate) fn priority(&self) -> Priority {
        match self {
            Self::Shared(work) => work.priority(),
            Self::Inline(task) => task.priority(),
        }
    }

    pub(crate) fn preferred(&self) -> Option<usize> {
        match self {
            Self::Shared(work) => work.preferred().map(usize::from),
            Self::Inline(_) => None,
        }
    }

    pub(crate) fn holds_place(&self) -> bool {
        match self {
            Self::Shared(work) => work.holds_place(),
            Self::Inline(_) => true,
        }
    }

    pub(crate) fn run(self, worker: &Worker) {
        match self {
            Self::Shared(work) => work.run(worker),
            Self::Inline(task) => task.run(worker),
        }
    }

    pub(crate) fn discard(self, shared: &Shared) {
        match self {
            Self::Shared(work) => work.discard(shared),
            Self::Inline(task) => task.discard(shared),
        }
    }
}

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

    /// Queues an entry for any worker and says whom to wake.
    pub(crate) fn push(&self, entry: Entry) -> Choice {
        match (entry.priority(), entry.preferred()) {
            (Priority::High, _) => self.high.push(entry),
            (Priority::Low, _) => self.low.push(entry),
            (Priority::Normal, None) => self.normal.push(entry),
            (Priority::Normal, Some(worker)) => {
                self.inboxes[worker].push(entry);
                return Choice::Worker(worker);
            }
        }
        Choice::Any
    }

    /// The worker that an affinity key points to.
    pub(crate) fn worker_of(&self, key: u64) -> u16 {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        u16::try_from(mixed % self.inboxes.len() as u64).unwrap_or(0)
    }

    pub(crate) fn take_high(&self) -> Option<Entry> {
        take(&self.high)
    }

    pub(crate) fn take_normal(&self) -> Option<Entry> {
        take(&self.normal)
    }

    /// Takes one entry to run and up to `limit - 1` more onto `deque`, where others can steal them.
    pub(crate) fn take_normal_batch(&self, deque: &Deque<Entry>, limit: usize) -> Option<Entry> {
        if self.normal.is_empty() {
            return None;
        }
        steal_until_known(|| self.normal.steal_batch_with_limit_and_pop(deque, limit))
    }

    pub(crate) fn take_low(&self) -> Option<Entry> {
        take(&self.low)
    }

    pub(crate) fn take_inbox(&self, worker: usize) -> Option<Entry> {
        take(&self.inboxes[worker])
    }

    /// Takes from the deque or inbox of another worker, starting at `first`: one entry to run and up
    /// to `limit - 1` more onto `deque`, of a deque half at most.
    pub(crate) fn steal(
        &self,
        thief: usize,
        first: usize,
        deque: &Deque<Entry>,
        limit: usize,
    ) -> Option<Entry> {
        let workers = self.stealers.len();
        let victims = (0..workers)
            .map(|i| (first + i) % workers)
            .filter(|&v| v != thief);
        victims.into_iter().find_map(|victim| {
            let stealer = &self.stealers[victim];
            let stolen = match stealer.is_empty() {
                true => None,
                false => steal_until_known(|| stealer.steal_batch_with_limit_and_pop(deque, limit)),
            };
            stolen.or_else(|| take(&self.inboxes[victim]))
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

/// Looking comes first, because it is two loads where stealing needs a fence.
fn take(queue: &Injector<Entry>) -> Option<Entry> {
    if queue.is_empty() {
        return None;
    }
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
