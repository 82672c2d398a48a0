//! Timers of one validation stage, and the signal that wakes the thread that watches them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Who is to be woken when. Stamps are nanoseconds on the stage's clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By stamp, then by number.
    due: BTreeMap<(u64, u64), Waker>,
    made: u64,
    poked: bool,
}

impl Timers {
    /// Sets a timer, or the waker of the one under `key`; returns its key.
    pub(super) fn set(&self, key: Option<(u64, u64)>, at_ns: u64, waker: &Waker) -> (u64, u64) {
        let mut state = self.lock();
        let key = key.unwrap_or_else(|| {
            state.made += 1;
            (at_ns, state.made)
        });
        let first = state
            .due
            .first_key_value()
            .is_none_or(|(first, _)| key < *first);
        state.due.insert(key, waker.clone());
        if first {
            state.poked = true;
            drop(state);
            self.changed.notify_one();
        }
        key
    }

    pub(super) fn remove(&self, key: (u64, u64)) {
        let removed = self.lock().due.remove(&key);
        drop(removed);
    }

    /// Wakes everybody whose time has come and returns when the next one is due.
    pub(super) fn fire(&self, now_ns: u64) -> Option<u64> {
        let mut state = self.lock();
        let later = state.due.split_off(&(now_ns.saturating_add(1), 0));
        let due = std::mem::replace(&mut state.due, later);
        let next_ns = state.due.first_key_value().map(|((at_ns, _), _)| *at_ns);
        drop(state);
        due.into_values().for_each(Waker::wake);
        next_ns
    }

    /// Ends the wait of the watching thread.
    pub(super) fn poke(&self) {
        self.lock().poked = true;
        self.changed.notify_one();
    }

    /// Waits until poked, for at most `time`.
    pub(super) fn wait(&self, time: Duration) {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, time, |state| !state.poked);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.poked = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn timers_fire_once_at_their_stamp_and_not_when_removed() {
        let timers = Timers::default();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let fired = || count.0.load(Ordering::Relaxed);
        let late = timers.set(None, 30, &waker);
        timers.set(None, 10, &waker);
        timers.set(None, 20, &waker);
        assert_eq!((timers.fire(9), fired()), (Some(10), 0));
        assert_eq!((timers.fire(20), fired()), (Some(30), 2));
        assert_eq!(timers.set(Some(late), 30, &waker), late);
        timers.remove(late);
        assert_eq!((timers.fire(100), fired()), (None, 2));
        timers.poke();
        timers.wait(Duration::from_secs(3_600));
    }
}
