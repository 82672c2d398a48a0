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
    /// It sleeps until a time, when it has something to do.
    timed: bool,
    /// Somebody else sits in its seat: nobody wakes it, and it does not get up.
    occupied: bool,
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
        let wanted = |sleeper: &Sleeper| match choice {
            Choice::Any => true,
            Choice::Worker(worker) => sleeper.worker == worker,
            Choice::Here => sleeper.cpu == current_cpu(),
        };
        let listed = stack
            .iter()
            .rposition(|sleeper| !sleeper.occupied && wanted(sleeper))
            .or_else(|| stack.iter().rposition(|sleeper| !sleeper.occupied));
        if let Some(at) = listed {
            let Sleeper { worker, .. } = stack.remove(at);
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
        let (occupied, woken): (Vec<_>, Vec<_>) = std::mem::take(&mut *stack)
            .into_iter()
            .partition(|sleeper| sleeper.occupied);
        *stack = occupied;
        self.counts.fetch_sub(
            woken.len() * (SLEEPING_ONE - SEARCHING_ONE),
            Ordering::AcqRel,
        );
        drop(stack);
        for Sleeper { worker, .. } in woken {
            self.unparkers[worker].unpark();
        }
    }

    /// The calling thread, which is no worker, takes the seat of a worker that sleeps, until
    /// [`vacate`](Self::vacate): it counts as that worker at work, and may do what otherwise only
    /// that worker does. `None` if nobody sleeps but those who sleep until a time.
    pub fn occupy(&self) -> Option<usize> {
        if self.counts.load(Ordering::Relaxed) < SLEEPING_ONE {
            return None;
        }
        let mut stack = lock(&self.stack);
        let mut free = stack.iter_mut().rev();
        let sleeper = free.find(|sleeper| !sleeper.timed && !sleeper.occupied)?;
        sleeper.occupied = true;
        self.counts.fetch_sub(SLEEPING_ONE, Ordering::AcqRel);
        Some(sleeper.worker)
    }

    /// Gives the seat back, whose worker sleeps on. Like a worker that falls asleep, the caller
    /// looks with `ready` whether there is something to do, and wakes somebody if so.
    pub fn vacate(&self, worker: usize, ready: impl FnOnce() -> bool) {
        let mut stack = lock(&self.stack);
        for sleeper in stack.iter_mut().filter(|sleeper| sleeper.worker == worker) {
            sleeper.occupied = false;
        }
        self.counts.fetch_add(SLEEPING_ONE, Ordering::AcqRel);
        drop(stack);
        fence(Ordering::SeqCst);
        if ready() {
            self.notify(Choice::Any);
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
        self.list(worker, false);
        if ready() && self.retract(worker) {
            return;
        }
        self.park(worker, parker);
    }

    /// As [`sleep`](Self::sleep), for at most `time`. Says whether it slept that long.
    pub fn sleep_for(
        &self,
        worker: usize,
        parker: &Parker,
        time: Duration,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        self.list(worker, true);
        if ready() && self.retract(worker) {
            return false;
        }
        let token = parker.park_timeout(time);
        let timed_out = self.retract(worker);
        // Off the stack without a token: whoever took it off is about to give it.
        if !timed_out && !token {
            self.park(worker, parker);
        }
        timed_out
    }

    /// The searching worker counts as sleeping from now on.
    fn list(&self, worker: usize, timed: bool) {
        let sleeper = Sleeper {
            worker,
            cpu: current_cpu(),
            timed,
            occupied: false,
        };
        let mut stack = lock(&self.stack);
        stack.push(sleeper);
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

    /// Takes the worker off the stack; false if somebody did so before and gives it the token, or
    /// sits in its seat and looks for work when he leaves.
    fn retract(&self, worker: usize) -> bool {
        let mut stack = lock(&self.stack);
        let listed = stack
            .iter()
            .position(|sleeper| sleeper.worker == worker && !sleeper.occupied);
        if let Some(at) = listed {
            stack.remove(at);
            self.counts
                .fetch_sub(SLEEPING_ONE - SEARCHING_ONE, Ordering::AcqRel);
        }
        listed.is_some()
    }
}
