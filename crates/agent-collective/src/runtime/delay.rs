//! A future that is ready after a time.

use super::handle::RuntimeHandle;
use crate::clock::duration_ns;
use crate::primitive::{Mutex, lock};
use crate::timer::CallKey;
use crate::waiters::wake;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Ready after a time; from [`RuntimeHandle::delay`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Delay {
    runtime: RuntimeHandle,
    end_ns: u64,
    call: Option<(CallKey, Arc<Mutex<Call>>)>,
}

/// What the timer knows.
enum Call {
    Waits(Waker),
    Over,
}

impl RuntimeHandle {
    /// A future that is ready after `time`, for [`spawn_future`](Self::spawn_future) and for any
    /// other executor.
    ///
    /// A worker that has nothing to do sleeps until the next delay is over and goes on with what
    /// waits for it; when all are at work, a thread of the runtime wakes what waits, up to 50 us
    /// later. In a [`Simulation`](crate::Simulation) the time is virtual. A shutdown waits for
    /// futures that wait for a delay.
    ///
    /// At most 65,536 delays wait at a time; a further one works too, but is polled again and
    /// again. One that is dropped waits no longer. Cost: three allocations and a lock.
    ///
    /// ```
    /// use agent_collective::Runtime;
    /// use std::time::{Duration, Instant};
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let (start, time) = (Instant::now(), Duration::from_millis(5));
    /// let waits = (0..20).map(|n| {
    ///     let delay = runtime.delay(time);
    ///     runtime.spawn_future("wait", async move {
    ///         delay.await;
    ///         n
    ///     })
    /// });
    /// let waits: Result<Vec<_>, _> = waits.collect();
    /// for (n, answer) in waits.map_err(agent_collective::CollectiveError::from)?.into_iter().enumerate() {
    ///     assert_eq!(answer.join()?, n);
    /// }
    /// assert!(start.elapsed() >= time);
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    pub fn delay(&self, time: Duration) -> Delay {
        let now_ns = self.shared().clock.now_ns();
        Delay {
            runtime: self.clone(),
            end_ns: now_ns.saturating_add(duration_ns(time)),
            call: None,
        }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.runtime.shared();
        let now_ns = shared.clock.now_ns();
        if now_ns >= self.end_ns {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if let Some((_, call)) = &self.call {
            return match &mut *lock(call) {
                Call::Over => Poll::Ready(()),
                Call::Waits(listed) => {
                    listed.clone_from(waker);
                    Poll::Pending
                }
            };
        }
        let call = Arc::new(Mutex::new(Call::Waits(waker.clone())));
        let left = Duration::from_nanos(self.end_ns - now_ns);
        let due = Arc::clone(&call);
        let key = shared.delays.call_after(left, move || {
            let before = std::mem::replace(&mut *lock(&due), Call::Over);
            if let Call::Waits(waker) = before {
                wake(waker);
            }
        });
        match key {
            Some(key) => self.call = Some((key, call)),
            None => waker.wake_by_ref(),
        }
        Poll::Pending
    }
}

/// The timer lets go of whatever waited.
impl Drop for Delay {
    fn drop(&mut self) {
        if let Some((key, _)) = self.call {
            self.runtime.shared().delays.cancel(key);
        }
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now_ns = self.runtime.shared().clock.now_ns();
        let left = Duration::from_nanos(self.end_ns.saturating_sub(now_ns));
        f.debug_struct("Delay").field("left", &left).finish()
    }
}
