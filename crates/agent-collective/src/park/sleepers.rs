//! Which workers search and which sleep; see `README.md` for the protocol and its proof.

use super::{Parker, Unparker};
use crate::primitive::{AtomicUsize, Mutex, Ordering, current_cpu, fence, lock};
use std::time::Duration;

/// One searching worker, in the word of counts.
const SEARCHING_ONE: usize = 1;
/// One sleeping worker, in the word of counts.
const SLEEPING_ONE: usize = 1 << 16;
/// The count of searching workers.
const SEARCHING_MASK: usize = SLEEPING_ONE - 1;
/// Both counts must hold the number of workers.
pub(crate) const WORKERS_MAX: usize = 1024;
const _: () = assert!(WORKERS_MAX < SLEEPING_ONE);

/// A worker that sleeps.
#[derive(Clone, Copy, Debug)]
struct Sleeper {
    worker: usize,
    /// The processor that it went to sleep on.
    cpu: usize,
}

/// Whom to wake rather than another, if it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Who fell asleep last.
    Any,
    /// This worker.
    Worker(usize),
    /// One that fell asleep on the processor of the caller, who is about to wait for it: nobody has
    /// to wake another processor then, and no cache line travels.
    Here,
}

/// Searching and sleeping workers of one runtime.
#[derive(Debug)]
pub struct Sleepers {
    counts: AtomicUsize,
    stack: Mutex<Vec<Sleeper>>,
    unparkers: Box<[Unparker]>,
}

impl Sleepers {
    /// For as many workers as there are unparkers; worker `i` owns the parker of unparker `i`.
    pub(crate) fn new(unparkers: Vec<Unparker>) -> Self {
        Self {
            counts: AtomicUsize::new(0),
            stack: Mutex::new(Vec::with_capacity(unparkers.len())),
            unparkers: unparkers.into_boxed_slice(),
        }
    }

    /// Makes the parkers too.
    pub fn with_workers(workers: usize) -> (Self, Vec<Parker>) {
        let parkers: Vec<Parker> = (0..workers).map(|_| Parker::new()).collect();
        let unparkers = parkers
            .iter()
            .map(|parker| parker.unparker().clone())
            .collect();
        (Self::new(unparkers), parkers)
    }

    /// After a push: wakes one sleeper unless somebody searches already.
    pub fn notify(&self, choice: Choice) {
        fence(Ordering::SeqCst);
        let counts = self.counts.load(Ordering::Relaxed);
        if counts & SEARCHING_MASK == 0 && counts >= SLEEPING_ONE {
            self.wake_one(choice);
        }
    }

    fn wake_one(&self, choice: Choice) {
        let mut stack = lock(&self.stack);
        if self.counts.load(Ordering::Relaxed) & SEARCHING_MASK != 0 {
            return;
        }
        let listed = match choice {
            Choice::Any => None,
            Choice::Worker(worker) => stack.iter().position(|sleeper| sleeper.worker == worker),
            Choice::Here => {
                let here = current_cpu();
                stack.iter().rposition(|sleeper| sleeper.cpu == here)
            }
        };
        let woken = match listed {
            Some(at) => Some(stack.swap_remove(at)),
            None => stack.pop(),
        };
        if let Some(Sleeper { worker, .. }) = woken {
            self.counts
                .fetch_sub(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
            drop(stack);
            self.unparkers[worker].unpark();
        }
    }

    /// Wakes everyone, for shutdown.
    pub fn wake_all(&self) {
        fence(Ordering::SeqCst);
        let mut stack = lock(&self.stack);
        let woken = std::mem::take(&mut *stack);
        self.counts.fetch_sub(
            woken.len() * (SLEEPING_ONE - SEARCHING_ONE),
            Ordering::AcqRel,
        );
        drop(stack);
        for Sleeper { worker, .. } in woken {
            self.unparkers[worker].unpark();
        }
    }

    /// The calling worker starts to search.
    pub fn start_search(&self) {
        self.counts.fetch_add(SEARCHING_ONE, Ordering::AcqRel);
    }

    /// How many workers search now.
    pub(crate) fn searching(&self) -> usize {
        self.counts.load(Ordering::Relaxed) & SEARCHING_MASK
    }

    /// The calling worker found work, or ends. When it was the last searcher and `more` says that
    /// a queue holds work, it wakes the next one.
    pub fn stop_search(&self, more: impl FnOnce() -> bool) {
        let before = self.counts.fetch_sub(SEARCHING_ONE, Ordering::AcqRel);
        if before & SEARCHING_MASK == SEARCHING_ONE {
            fence(Ordering::SeqCst);
            let sleeping = self.counts.load(Ordering::Relaxed) >= SLEEPING_ONE;
            if sleeping && more() {
                self.wake_one(Choice::Any);
            }
        }
    }

    /// The searching worker found nothing and sleeps until woken, unless `ready` says on a last
    /// look that there is something to do. Afterwards it counts as searching again.
    pub fn sleep(&self, worker: usize, parker: &Parker, ready: impl FnOnce() -> bool) {
        self.list(worker);
        if ready() && self.retract(worker) {
            return;
        }
        self.park(worker, parker);
    }

    /// As [`sleep`](Self::sleep), for at most `time`.
    pub fn sleep_for(
        &self,
        worker: usize,
        parker: &Parker,
        time: Duration,
        ready: impl FnOnce() -> bool,
    ) {
        self.list(worker);
        if ready() && self.retract(worker) {
            return;
        }
        let token = parker.park_timeout(time);
        // Off the stack without a token: whoever took it off is about to give it.
        if self.retract(worker) || token {
            return;
        }
        self.park(worker, parker);
    }

    /// The searching worker counts as sleeping from now on.
    fn list(&self, worker: usize) {
        let cpu = current_cpu();
        let mut stack = lock(&self.stack);
        stack.push(Sleeper { worker, cpu });
        self.counts
            .fetch_add(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
        drop(stack);
        fence(Ordering::SeqCst);
    }

    fn park(&self, worker: usize, parker: &Parker) {
        parker.park();
        while self.is_listed(worker) {
            parker.park();
        }
    }

    fn is_listed(&self, worker: usize) -> bool {
        lock(&self.stack)
            .iter()
            .any(|sleeper| sleeper.worker == worker)
    }

    /// Takes the worker off the stack; false if somebody did so before and gives it the token.
    fn retract(&self, worker: usize) -> bool {
        let mut stack = lock(&self.stack);
        let listed = stack.iter().position(|sleeper| sleeper.worker == worker);
        if let Some(at) = listed {
            stack.swap_remove(at);
            self.counts
                .fetch_sub(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
        }
        listed.is_some()
    }
}
