//! Calls at a time: one thread per timer, started when it is first needed.
//!
//! A timer may be watched by others as well, who make its calls in time when they have nothing else
//! to do; its thread then makes those that nobody made.

use crate::clock::{Clock, NEVER_NS, OnTime, duration_ns};
use crate::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::worker::drop_quietly;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most calls that may wait: bounds memory to a few MiB.
const CALLS_MAX: usize = 1 << 16;

/// How late the thread of a watched timer makes a call that nobody else made.
const LATE_NS: u64 = 50_000;

type Job = Box<dyn FnOnce() + Send>;

/// When a call is due, and a number that tells calls of one moment apart.
pub(crate) type CallKey = (u64, u64);

#[derive(Default)]
struct Agenda {
    calls: BTreeMap<CallKey, Job>,
    made: u64,
    running: bool,
    closed: bool,
}

struct Inner {
    agenda: Mutex<Agenda>,
    changed: Condvar,
    clock: Clock,
    late_ns: u64,
    /// When the next call is due; a hint for those who look without the lock.
    next_ns: AtomicU64,
    watched: AtomicBool,
}

/// Waits and calls. Jobs must be short: they run one after the other.
pub(crate) struct Timer {
    inner: Arc<Inner>,
}

impl Agenda {
    fn take_due(&mut self, now_ns: u64) -> Option<Job> {
        let at_ns = self.next_ns()?;
        if !self.closed && at_ns > now_ns {
            return None;
        }
        self.calls.pop_first().map(|(_, job)| job)
    }

    fn next_ns(&self) -> Option<u64> {
        self.calls.first_key_value().map(|((at_ns, _), _)| *at_ns)
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

    fn note_next(&self, agenda: &Agenda) {
        let next_ns = agenda.next_ns().unwrap_or(NEVER_NS);
        self.next_ns.store(next_ns, Ordering::Relaxed);
    }

    fn run(&self) {
        let _on_time = OnTime::begin();
        let mut agenda = self.agenda();
        loop {
            let now_ns = self.clock.now_ns().saturating_sub(self.late_ns);
            if let Some(job) = agenda.take_due(now_ns) {
                self.note_next(&agenda);
                drop(agenda);
                call(job);
                agenda = self.agenda();
            } else if agenda.closed {
                agenda.running = false;
                return;
            } else {
                agenda = match agenda.next_ns() {
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
    /// Whose thread makes its calls in time.
    pub(crate) fn new(clock: Clock) -> Self {
        Self::late(clock, 0)
    }

    /// That others watch.
    pub(crate) fn watched(clock: Clock) -> Self {
        Self::late(clock, LATE_NS)
    }

    fn late(clock: Clock, late_ns: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                agenda: Mutex::new(Agenda::default()),
                changed: Condvar::new(),
                clock,
                late_ns,
                next_ns: AtomicU64::new(NEVER_NS),
                watched: AtomicBool::new(false),
            }),
        }
    }

    /// Whether a call is due. Cost: a load, and a reading of the clock if any call waits.
    pub(crate) fn is_due(&self) -> bool {
        let next_ns = self.inner.next_ns.load(Ordering::Relaxed);
        next_ns != NEVER_NS && next_ns <= self.inner.clock.now_ns()
    }

    /// When the next call is due, as seen without the lock.
    pub(crate) fn next_hint_ns(&self) -> Option<u64> {
        let next_ns = self.inner.next_ns.load(Ordering::Relaxed);
        (next_ns != NEVER_NS).then_some(next_ns)
    }

    /// The caller would watch the timer while it sleeps: when the next call is due, unless none
    /// waits or somebody else watches. Ends with [`end_watch`](Self::end_watch).
    pub(crate) fn begin_watch(&self) -> Option<u64> {
        let next_ns = self.inner.next_ns.load(Ordering::Relaxed);
        let free = next_ns != NEVER_NS && !self.inner.watched.swap(true, Ordering::AcqRel);
        free.then_some(next_ns)
    }

    /// The caller is awake; makes the calls that are due.
    pub(crate) fn end_watch(&self) {
        self.inner.watched.store(false, Ordering::Release);
        self.run_due();
    }

    /// Calls `job` after `delay`, or at once when the timer closes; gives the key to
    /// [`cancel`](Self::cancel) it. `None`, and the job is dropped, if too many wait, the timer is
    /// closed, or the thread cannot be started.
    pub(crate) fn call_after(
        &self,
        delay: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> Option<CallKey> {
        let mut agenda = self.inner.agenda();
        if agenda.closed || agenda.calls.len() >= CALLS_MAX {
            return None;
        }
        if !agenda.running && !self.inner.clock.is_virtual() {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name("agent-timer".to_owned());
            thread.spawn(move || inner.run()).ok()?;
            agenda.running = true;
        }
        let at_ns = self.inner.clock.now_ns().saturating_add(duration_ns(delay));
        agenda.made += 1;
        let key = (at_ns, agenda.made);
        let first = agenda.next_ns().is_none_or(|next_ns| at_ns < next_ns);
        agenda.calls.insert(key, Box::new(job));
        self.inner.note_next(&agenda);
        drop(agenda);
        if first {
            self.inner.changed.notify_one();
        }
        Some(key)
    }

    /// Drops a call that has not been made.
    pub(crate) fn cancel(&self, key: CallKey) {
        let mut agenda = self.inner.agenda();
        let job = agenda.calls.remove(&key);
        self.inner.note_next(&agenda);
        drop(agenda);
        drop(job);
    }

    /// When the next call is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.inner.agenda().next_ns()
    }

    /// Makes the calls that are due.
    pub(crate) fn run_due(&self) {
        loop {
            let now_ns = self.inner.clock.now_ns();
            let mut agenda = self.inner.agenda();
            let Some(job) = agenda.take_due(now_ns) else {
                return;
            };
            self.inner.note_next(&agenda);
            drop(agenda);
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
            let call = move || sender.send(ms).unwrap();
            assert!(timer.call_after(Duration::from_millis(ms), call).is_some());
        }
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [10, 20, 30]);
    }

    #[test]
    fn a_watched_timer_is_watched_by_one_and_makes_its_calls_also_without() {
        let timer = Timer::watched(Clock::new());
        assert_eq!(timer.begin_watch(), None);
        let hour = Duration::from_secs(3_600);
        assert!(timer.call_after(hour, || ()).is_some());
        let watched_ns = timer.begin_watch();
        assert!(watched_ns.is_some() && !timer.is_due());
        assert_eq!(timer.begin_watch(), None);
        // Whoever watches does not know of this one, so the thread makes it.
        let (sender, receiver) = channel();
        let soon = timer.call_after(Duration::from_millis(1), move || sender.send(()).unwrap());
        assert!(soon.is_some());
        assert_eq!(receiver.recv(), Ok(()));
        timer.end_watch();
        assert_eq!(timer.begin_watch(), watched_ns);
    }

    #[test]
    fn a_cancelled_call_is_dropped_at_once_and_makes_room() {
        let timer = Timer::new(Clock::new());
        let held = Arc::new(());
        let hour = Duration::from_secs(3_600);
        let keys: Vec<_> = (0..CALLS_MAX)
            .map(|_| {
                let held = Arc::clone(&held);
                timer.call_after(hour, move || drop(held)).unwrap()
            })
            .collect();
        assert_eq!(timer.call_after(hour, || ()), None);
        for key in keys {
            timer.cancel(key);
            timer.cancel(key);
        }
        assert_eq!((Arc::strong_count(&held), timer.next_ns()), (1, None));
        assert!(timer.call_after(hour, || ()).is_some());
    }

    #[test]
    fn closing_makes_all_calls_at_once_and_a_panic_harms_nobody() {
        let timer = Timer::new(Clock::new());
        let (sender, receiver) = channel();
        let hour = Duration::from_secs(3_600);
        let bomb = || std::panic::resume_unwind(Box::new("job"));
        assert!(timer.call_after(hour, bomb).is_some());
        let late = timer.call_after(Duration::MAX, move || sender.send(()).unwrap());
        assert!(late.is_some());
        timer.close();
        receiver.recv().unwrap();
        assert_eq!(timer.call_after(hour, || ()), None);
    }
}
