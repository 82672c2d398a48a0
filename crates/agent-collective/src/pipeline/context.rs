//! What a validation sees of its stage: its deadline, whether it should stop, and how to wait.

use super::timers::Timers;
use crate::cancel::CancelToken;
use crate::clock::{Clock, duration_ns};
use crate::task::Interruption;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Longest time that a blocking wait goes without looking whether it should end. Threads of the
/// stage are woken when the run is cancelled; this is for those that the caller started.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One item's view of its validation: deadline and cancellation. Cheap to clone.
#[derive(Clone)]
pub struct ItemContext {
    pub(super) index: usize,
    pub(super) deadline_ns: u64,
    pub(super) clock: Clock,
    pub(super) token: CancelToken,
    pub(super) timers: Arc<Timers>,
}

/// What [`ItemContext::checkpoint`] unwinds with.
struct Cut(Interruption);

impl ItemContext {
    /// Index of the item in the input of the pipeline.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Why this item should stop, if it should. Cost: some atomic loads and a clock reading.
    pub fn interruption(&self) -> Option<Interruption> {
        let late_ns = self.clock.now_ns().saturating_sub(self.deadline_ns);
        if late_ns > 0 {
            let late = Duration::from_nanos(late_ns);
            return Some(Interruption::DeadlineExceeded { late });
        }
        self.token.is_cancelled().then_some(Interruption::Cancelled)
    }

    /// Whether this item should stop: it is past its deadline or the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.interruption().is_some()
    }

    /// Ends the item here if it should stop: unwinds to the stage, running destructors on the
    /// way. No panic message is printed.
    pub fn checkpoint(&self) {
        if let Some(interruption) = self.interruption() {
            resume_unwind(Box::new(Cut(interruption)));
        }
    }

    /// Time left until the deadline; zero when it has passed.
    pub fn deadline_left(&self) -> Duration {
        Duration::from_nanos(self.deadline_ns.saturating_sub(self.clock.now_ns()))
    }

    /// Blocks the calling thread for `time`, or until the item should stop.
    ///
    /// # Errors
    /// Why it should.
    pub fn wait(&self, time: Duration) -> Result<(), Interruption> {
        let end_ns = self.clock.now_ns().saturating_add(duration_ns(time));
        loop {
            if let Some(interruption) = self.interruption() {
                return Err(interruption);
            }
            let now_ns = self.clock.now_ns();
            if now_ns >= end_ns {
                return Ok(());
            }
            let left_ns = end_ns
                .min(self.deadline_ns.saturating_add(1))
                .saturating_sub(now_ns);
            std::thread::park_timeout(Duration::from_nanos(left_ns).min(LOOK_INTERVAL));
        }
    }

    /// A future that is ready after `time`; needs no other runtime. One past the deadline never
    /// gets to be ready: the stage drops the item's future first.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep {
            clock: self.clock.clone(),
            end_ns: self.clock.now_ns().saturating_add(duration_ns(time)),
            timers: Arc::clone(&self.timers),
            key: None,
        }
    }
}

/// The interruption that a caught unwinding carries, if [`ItemContext::checkpoint`] started it.
pub(super) fn cut_of(payload: &(dyn Any + Send)) -> Option<Interruption> {
    payload.downcast_ref::<Cut>().map(|cut| cut.0)
}

/// Ready after a time; from [`ItemContext::sleep`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    clock: Clock,
    end_ns: u64,
    timers: Arc<Timers>,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now_ns() >= self.end_ns {
            return Poll::Ready(());
        }
        let end_ns = self.end_ns;
        let key = self.timers.set(self.key, end_ns, context.waker());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timers.remove(key);
        }
    }
}

impl fmt::Debug for ItemContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemContext")
            .field("index", &self.index)
            .field("deadline_left", &self.deadline_left())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("set", &self.key.is_some())
            .finish_non_exhaustive()
    }
}
