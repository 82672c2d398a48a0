//! Which workers search and which sleep; see `README.md` for the protocol and its proof.

use crate::primitive::{AtomicUsize, Mutex, Ordering, Parker, Unparker, fence, lock};

/// One searching worker, in the word of counts.
const SEARCHING_ONE: usize = 1;
/// One sleeping worker, in the word of counts.
const SLEEPING_ONE: usize = 1 << 16;
/// The count of searching workers.
const SEARCHING_MASK: usize = SLEEPING_ONE - 1;
/// Both counts must hold the number of workers.
pub(crate) const WORKERS_MAX: usize = 1024;
const _: () = assert!(WORKERS_MAX < SLEEPING_ONE);

/// Searching and sleeping workers of one runtime.
#[derive(Debug)]
pub struct Sleepers {
    counts: AtomicUsize,
    stack: Mutex<Vec<usize>>,
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

    /// After a push: wakes one sleeper unless somebody searches already. `preferred` is woken
    /// rather than another if it sleeps.
    pub fn notify(&self, preferred: Option<usize>) {
        fence(Ordering::SeqCst);
        let counts = self.counts.load(Ordering::Relaxed);
        if counts & SEARCHING_MASK == 0 && counts >= SLEEPING_ONE {
            self.wake_one(preferred);
        }
    }

    fn wake_one(&self, preferred: Option<usize>) {
        let mut stack = lock(&self.stack);
        if self.counts.load(Ordering::Relaxed) & SEARCHING_MASK != 0 {
            return;
        }
        let listed = preferred.and_then(|worker| stack.iter().position(|&other| other == worker));
        let woken = match listed {
            Some(at) => Some(stack.swap_remove(at)),
            None => stack.pop(),
        };
        if let Some(worker) = woken {
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
        for worker in woken {
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
                self.wake_one(None);
            }
        }
    }

    /// The searching worker found nothing and sleeps until woken, unless `ready` says on a last
    /// look that there is something to do. Afterwards it counts as searching again.
    pub fn sleep(&self, worker: usize, parker: &Parker, ready: impl FnOnce() -> bool) {
        {
            let mut stack = lock(&self.stack);
            stack.push(worker);
            self.counts
                .fetch_add(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
        if ready() && self.retract(worker) {
            return;
        }
        parker.park();
        while lock(&self.stack).contains(&worker) {
            parker.park();
        }
    }

    /// Takes the worker off the stack; false if somebody did so before and gives it the token.
    fn retract(&self, worker: usize) -> bool {
        let mut stack = lock(&self.stack);
        let listed = stack.iter().position(|&other| other == worker);
        if let Some(at) = listed {
            stack.swap_remove(at);
            self.counts
                .fetch_sub(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
        }
        listed.is_some()
    }
}
