//! What stands between the callers and the scheduler: waiting requests, and the counters.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ServeStats;
use super::channel::Outlet;
use crate::engine::FinishReason;
use crate::engine::sequence::Sequence;
use crate::error::{InferError, Result};

/// A request that was let in.
pub(super) struct Job {
    pub(super) sequence: Sequence,
    pub(super) outlet: Outlet,
    /// Bytes that its keys and values may come to need.
    pub(super) kv_bytes: usize,
}

impl Job {
    /// Whether it has to end now.
    pub(super) fn interrupted(&self) -> Option<FinishReason> {
        match self.outlet.is_cancelled() {
            true => Some(FinishReason::Cancelled),
            false => self.sequence.interrupted(),
        }
    }
}

/// Shared by the server's handle and its scheduler.
#[derive(Default)]
pub(super) struct Desk {
    inbox: Mutex<Inbox>,
    pub(super) arrived: Condvar,
}

/// Whether requests are let in, and what happens to those that are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Closing {
    #[default]
    Open,
    /// Those that are in are run to their end.
    Drain,
    /// Those that are in end with an error.
    Now,
}

#[derive(Default)]
pub(super) struct Inbox {
    /// By priority, then by arrival.
    waiting: BTreeMap<(Reverse<i32>, u64), Job>,
    arrivals: u64,
    pub(super) closing: Closing,
    pub(super) stats: ServeStats,
}

impl Desk {
    /// No user code runs under the lock, so a poisoned one still guards whole data.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self, how: Closing) {
        let mut inbox = self.lock();
        if inbox.closing != Closing::Now {
            inbox.closing = how;
        }
        drop(inbox);
        self.arrived.notify_all();
    }
}

impl Inbox {
    /// Puts a request in its place.
    pub(super) fn push(&mut self, priority: i32, job: Job, queue_max: usize) -> Result<()> {
        let depth = self.waiting.len();
        let refused = match self.closing {
            Closing::Open if depth < queue_max => None,
            Closing::Open => Some(InferError::QueueFull {
                depth,
                limit: queue_max,
            }),
            _ => Some(InferError::ServerClosed),
        };
        if let Some(error) = refused {
            self.stats.rejected += 1;
            return Err(error);
        }
        self.waiting.insert((Reverse(priority), self.arrivals), job);
        self.arrivals += 1;
        self.stats.submitted += 1;
        self.count();
        Ok(())
    }

    /// The first request, if `fits` says so of its bytes.
    pub(super) fn pop(&mut self, fits: impl FnOnce(usize) -> bool) -> Option<Job> {
        let first = self.waiting.first_entry()?;
        let job = fits(first.get().kv_bytes).then(|| first.remove());
        self.count();
        job
    }

    /// Takes out the requests that have to end before they ran.
    pub(super) fn sweep(&mut self) -> Vec<(Job, FinishReason)> {
        let over = |job: &Job| job.interrupted().is_some();
        let gone = self.waiting.extract_if(.., |_, job| over(job));
        // a deadline that passed stays passed, a token that was cancelled stays cancelled
        let gone: Vec<_> = gone
            .filter_map(|(_, job)| job.interrupted().map(|reason| (job, reason)))
            .collect();
        self.count();
        gone
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> Vec<Job> {
        let all = std::mem::take(&mut self.waiting);
        self.count();
        all.into_values().collect()
    }

    fn count(&mut self) {
        let depth = self.waiting.len();
        self.stats.waiting = depth;
        self.stats.waiting_peak = self.stats.waiting_peak.max(depth);
    }
}
