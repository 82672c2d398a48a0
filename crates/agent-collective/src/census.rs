//! How much accepted work has not ended, and whether more is accepted.

use crate::lanes::{Lane, Lanes};
use crate::primitive::{AtomicU8, AtomicU64, Ordering, fence};
use crossbeam_utils::CachePadded;

/// Accepts work.
pub(crate) const OPEN: u8 = 0;
/// Accepts work from inside tasks only, ends when all work is done.
pub(crate) const DRAINING: u8 = 1;
/// Accepts nothing, cancels what has not started.
pub(crate) const STOPPING: u8 = 2;

/// The state is kept in the low bits of the count of accepted work.
const STATE_MASK: u64 = 3;
/// One accepted task or message.
const ACCEPTED_ONE: u64 = 4;

/// Accepted and ended tasks and messages, and the state of the runtime.
///
/// The state and the count of accepted work are one word, so in its modification order every
/// announcement lies before a change of the state or after it: work is either refused, or counted
/// in what the shutdown waits for. Ended work is counted per worker. Who ends the last work of a
/// closed runtime:
///
/// - A worker looks at the sum before it sleeps, after a SeqCst fence that follows its own count;
///   of two workers that end their last work at the same time, the later fence sees both.
/// - Another thread passes a SeqCst fence after its count and then looks itself.
#[derive(Debug)]
pub struct Census {
    accepted: CachePadded<AtomicU64>,
    ended: Lanes,
    /// A copy of the state on a line that submissions do not write.
    state: CachePadded<AtomicU8>,
}

impl Census {
    /// Open and empty.
    pub fn new(workers: usize) -> Self {
        Self {
            accepted: CachePadded::new(AtomicU64::new(0)),
            ended: Lanes::new(workers),
            state: CachePadded::new(AtomicU8::new(OPEN)),
        }
    }

    /// Announces a task or message and says whether the runtime takes it: while it drains it takes
    /// work from its own tasks only. What is not taken must be counted as ended.
    pub fn announce(&self, from_task: bool) -> bool {
        let before = self.accepted.fetch_add(ACCEPTED_ONE, Ordering::AcqRel);
        let state = before & STATE_MASK;
        state == u64::from(OPEN) || (from_task && state == u64::from(DRAINING))
    }

    /// An announced task or message has ended. True if this thread has to wake the workers,
    /// because it was the last one.
    pub fn end_one(&self, lane: Lane) -> bool {
        self.ended.add_one(lane);
        if lane != Lane::Outside {
            return false;
        }
        fence(Ordering::SeqCst);
        self.has_ended()
    }

    /// Changes the state; it only goes up.
    pub fn close(&self, state: u8) {
        let higher = |word: u64| {
            let higher = (word & STATE_MASK) < u64::from(state);
            higher.then_some((word & !STATE_MASK) | u64::from(state))
        };
        let _ = self
            .accepted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, higher);
        self.state.fetch_max(state, Ordering::AcqRel);
    }

    /// Whether workers should end: closed and all work done.
    pub fn has_ended(&self) -> bool {
        if self.accepted.load(Ordering::Acquire) & STATE_MASK == u64::from(OPEN) {
            return false;
        }
        self.pending() == 0
    }

    /// Tasks and messages that were accepted and have not ended; 0 only if that was so at the
    /// time of the call.
    pub fn pending(&self) -> usize {
        let ended = self.ended.sum();
        let accepted = self.accepted.load(Ordering::Acquire) / ACCEPTED_ONE;
        usize::try_from(accepted.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    /// Whether work that has not started is to be cancelled.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOPPING
    }

    /// Whether a shutdown has begun.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) != OPEN
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_pending_until_it_ends() {
        let census = Census::new(2);
        assert!(census.announce(false) && census.announce(true));
        assert!(!census.end_one(Lane::Worker(1)));
        assert_eq!(census.pending(), 1);
        census.close(DRAINING);
        assert!(census.is_closed() && !census.is_stopping() && !census.has_ended());
        assert!(!census.announce(false) && census.announce(true));
        assert!(!census.end_one(Lane::Outside) && !census.end_one(Lane::Outside));
        assert!(census.end_one(Lane::Outside));
        census.close(STOPPING);
        census.close(DRAINING);
        assert!(census.is_stopping() && census.has_ended());
        assert!(!census.announce(true));
    }
}
