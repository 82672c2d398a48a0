//! Calls at a time: one thread per runtime, started when it is first needed.

use crate::clock::{Clock, OnTime, duration_ns};
use crate::worker::drop_quietly;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most calls that may wait: bounds memory to a few MiB.
const CALLS_MAX: usize = 1 << 16;

type Job = Box<dyn FnOnce() + Send>;

struct Call {
    at_ns: u64,
    order: u64,
    job: Job,
}

#[derive(Default)]
struct Agenda {
    calls: BinaryHeap<Call>,
    next_order: u64,
    running: bool,
    closed: bool,
}

struct Inner {
    agenda: Mutex<Agenda>,
    changed: Condvar,
    clock: Clock,
}

/// Waits and calls. Jobs must be short: they run one after the other.
pub(crate) struct Timer {
    inner: Arc<Inner>,
}

/// The earliest call is the greatest, because the heap gives the greatest first.
impl Ord for Call {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ns, other.order).cmp(&(self.at_ns, self.order))
    }
}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Call {}

impl Agenda {
    fn take_due(&mut self, now_ns: u64) -> Option<Job> {
        let first = self.calls.peek()?;
        if !self.closed && first.at_ns > now_ns {
            return None;
        }
        self.calls.pop().map(|call| call.job)
    }
}

fn call(job: Job) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        drop_quietly(payload);
    }
}

impl Inner {
    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let _on_time = OnTime::begin();
        let mut agenda = self.agenda();
        loop {
            let now_ns = self.clock.now_ns();
            if let Some(job) = agenda.take_due(now_ns) {
                drop(agenda);
                call(job);
                agenda = self.agenda();
            } else if agenda.closed {
                agenda.running = false;
                return;
            } else {
                agenda = match agenda.calls.peek().map(|call| call.at_ns) {
                    Some(at_ns) => {
                        let left = Duration::from_nanos(at_ns.saturating_sub(now_ns));
                        let waited = self.changed.wait_timeout(agenda, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self
                        .changed
                        .wait(agenda)
                        .unwrap_or_else(PoisonError::into_inner),
                };
            }
        }
    }
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                agenda: Mutex::new(Agenda::default()),
                changed: Condvar::new(),
                clock,
            }),
        }
    }

    /// Calls `job` after `delay`, or at once when the runtime closes. False, and the job is
    /// dropped, if too many wait, the runtime is closed, or the thread cannot be started.
    pub(crate) fn call_after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) -> bool {
        let mut agenda = self.inner.agenda();
        if agenda.closed || agenda.calls.len() >= CALLS_MAX {
            return false;
        }
        if !agenda.running && !self.inner.clock.is_virtual() {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name("agent-timer".to_owned());
            if thread.spawn(move || inner.run()).is_err() {
                return false;
            }
            agenda.running = true;
        }
        let at_ns = self.inner.clock.now_ns().saturating_add(duration_ns(delay));
        let order = agenda.next_order;
        agenda.next_order += 1;
        let first = agenda.calls.peek().is_none_or(|call| at_ns < call.at_ns);
        agenda.calls.push(Call {
            at_ns,
            order,
            job: Box::new(job),
        });
        drop(agenda);
        if first {
            self.inner.changed.notify_one();
        }
        true
    }

    /// When the next call is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.inner.agenda().calls.peek().map(|call| call.at_ns)
    }

    /// Makes the calls that are due, for a clock that no thread watches.
    pub(crate) fn run_due(&self) {
        loop {
            let now_ns = self.inner.clock.now_ns();
            let Some(job) = self.inner.agenda().take_due(now_ns) else {
                return;
            };
            call(job);
        }
    }

    /// Makes all waiting calls at once, and ends the thread.
    pub(crate) fn close(&self) {
        self.inner.agenda().closed = true;
        self.inner.changed.notify_all();
        if self.inner.clock.is_virtual() {
            self.run_due();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn calls_come_in_the_order_of_their_times() {
        let timer = Timer::new(Clock::new());
        let (sender, receiver) = channel();
        for ms in [30, 10, 20] {
            let sender = sender.clone();
            assert!(timer.call_after(Duration::from_millis(ms), move || {
                sender.send(ms).unwrap();
            }));
        }
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [10, 20, 30]);
    }

    #[test]
    fn closing_makes_all_calls_at_once_and_a_panic_harms_nobody() {
        let timer = Timer::new(Clock::new());
        let (sender, receiver) = channel();
        let hour = Duration::from_secs(3_600);
        assert!(timer.call_after(hour, || std::panic::resume_unwind(Box::new("job"))));
        assert!(timer.call_after(Duration::MAX, move || sender.send(()).unwrap()));
        timer.close();
        receiver.recv().unwrap();
        assert!(!timer.call_after(hour, || ()));
    }
}
