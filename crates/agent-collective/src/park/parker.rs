//! One token to sleep by and to be woken with.
//!
//! Built on the park and unpark of the standard threads, which are one futex word each where the
//! system has them. A parker of a lock and a condition variable, as used here before, takes two
//! words and up to three system calls for the same.

use crate::primitive::{AtomicU8, Mutex, Ordering, lock, thread};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

/// No token, nobody sleeps.
const EMPTY: u8 = 0;
/// The owner sleeps, or is about to; its thread is written down.
const PARKED: u8 = 1;
/// The token is there.
const NOTIFIED: u8 = 2;

/// The owner's side: [`park`](Self::park) takes the token or waits for it.
///
/// Wake-ups of the thread that come from elsewhere are not taken for the token.
#[derive(Debug)]
pub struct Parker {
    unparker: Unparker,
}

/// The other side: gives the token.
#[derive(Clone, Debug)]
pub(crate) struct Unparker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: AtomicU8,
    /// Who sleeps, or slept last; written before the state becomes `PARKED`, read by whoever
    /// changed it from `PARKED`.
    sleeper: Mutex<Option<thread::Thread>>,
}

impl Parker {
    /// Without a token.
    pub fn new() -> Self {
        let inner = Arc::new(Inner {
            state: AtomicU8::new(EMPTY),
            sleeper: Mutex::new(None),
        });
        Self {
            unparker: Unparker { inner },
        }
    }

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// A waker that gives the token.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.unparker.inner))
    }

    /// Takes the token; sleeps until it is there.
    pub fn park(&self) {
        if !self.prepare() {
            return;
        }
        while !self.inner().change(NOTIFIED, EMPTY) {
            thread::park();
        }
    }

    /// Takes the token; sleeps until it is there or the time is over, or for a shorter time. Says
    /// whether it has taken it.
    pub(crate) fn park_timeout(&self, timeout: Duration) -> bool {
        if !self.prepare() {
            return true;
        }
        if !timeout.is_zero() {
            thread::park_timeout(timeout);
        }
        self.inner().state.swap(EMPTY, Ordering::AcqRel) == NOTIFIED
    }

    /// Announces a sleep; false if the token was there and is taken.
    fn prepare(&self) -> bool {
        let inner = self.inner();
        if inner.change(NOTIFIED, EMPTY) {
            return false;
        }
        *lock(&inner.sleeper) = Some(thread::current());
        if inner.change(EMPTY, PARKED) {
            return true;
        }
        // The token has come meanwhile.
        inner.state.swap(EMPTY, Ordering::AcqRel);
        false
    }

    fn inner(&self) -> &Inner {
        &self.unparker.inner
    }
}

impl Unparker {
    /// Gives the token and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        self.inner.unpark();
    }
}

impl Inner {
    fn change(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn unpark(&self) {
        if self.state.swap(NOTIFIED, Ordering::AcqRel) != PARKED {
            return;
        }
        // Not taken out: the owner may have woken by other means, and sleep anew by now.
        let sleeper = lock(&self.sleeper).clone();
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_token_given_before_is_taken_at_once_and_counts_once() {
        let parker = Parker::new();
        parker.unparker().unpark();
        parker.waker().wake();
        parker.park();
        // A second token is not there, so this comes back by its time alone.
        assert!(!parker.park_timeout(Duration::from_millis(1)));
        parker.unparker().unpark();
        assert!(parker.park_timeout(Duration::from_secs(3_600)));
    }

    #[test]
    fn wake_ups_from_elsewhere_are_not_taken_for_the_token() {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let owner = std::thread::current();
        let given = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let thread = std::thread::spawn({
            let given = Arc::clone(&given);
            move || {
                for _ in 0..100 {
                    owner.unpark();
                    std::thread::yield_now();
                }
                given.store(true, std::sync::atomic::Ordering::Release);
                unparker.unpark();
            }
        });
        parker.park();
        assert!(given.load(std::sync::atomic::Ordering::Acquire));
        thread.join().unwrap();
    }

    #[test]
    fn two_threads_hand_a_token_to_and_fro() {
        let rounds = if cfg!(miri) { 20 } else { 2_000 };
        let (here, there) = (Parker::new(), Parker::new());
        let (to_here, to_there) = (here.unparker().clone(), there.unparker().clone());
        let thread = std::thread::spawn(move || {
            for _ in 0..rounds {
                there.park();
                to_here.unpark();
            }
        });
        for _ in 0..rounds {
            to_there.unpark();
            here.park();
        }
        thread.join().unwrap();
    }
}
