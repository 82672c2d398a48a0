//! Models of parking, waking, completion and admission, checked over all interleavings:
//!
//! ```text
//! RUSTFLAGS="--cfg neurectomy_loom" cargo test -p agent-collective --test loom --release
//! ```
//!
//! A lost wake-up shows as a deadlock, which loom reports. `crates/agent-collective/src/park/README.md`
//! has the argument that these models check.
#![cfg(neurectomy_loom)]

use agent_collective::model::{Gate, Latch, Parker, Sleepers, park_until};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::task::Poll;

/// Workers with the real sleeping protocol around a queue that is just a count. Accesses to it
/// are relaxed, so what the protocol promises rests on its own fences.
struct Pool {
    sleepers: Sleepers,
    queued: AtomicUsize,
    done: AtomicUsize,
    closed: AtomicBool,
}

impl Pool {
    fn new(workers: usize) -> (Arc<Self>, Vec<Parker>) {
        let (sleepers, parkers) = Sleepers::with_workers(workers);
        let pool = Self {
            sleepers,
            queued: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        (Arc::new(pool), parkers)
    }

    fn submit(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.sleepers.notify(None);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.sleepers.wake_all();
    }

    fn take(&self) -> bool {
        let one_less = |queued: usize| queued.checked_sub(1);
        self.queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    fn is_empty(&self) -> bool {
        self.queued.load(Ordering::Relaxed) == 0
    }

    /// The shape of `Worker::next_entry` and its caller: runs `items`, or until closed and empty.
    fn work(&self, index: usize, parker: &Parker, items: usize) {
        let mut run = 0;
        while run < items {
            self.sleepers.start_search();
            loop {
                if self.take() {
                    self.sleepers.stop_search(|| !self.is_empty());
                    break;
                }
                if self.closed.load(Ordering::Acquire) && self.is_empty() {
                    self.sleepers.stop_search(|| false);
                    return;
                }
                let ready = || !self.is_empty() || self.closed.load(Ordering::Acquire);
                self.sleepers.sleep(index, parker, ready);
            }
            self.done.fetch_add(1, Ordering::SeqCst);
            run += 1;
        }
    }
}

fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn one_worker_never_misses_an_item() {
    check(3, || {
        let (pool, mut parkers) = Pool::new(1);
        let parker = parkers.pop().unwrap();
        let worker = thread::spawn({
            let pool = Arc::clone(&pool);
            move || pool.work(0, &parker, 2)
        });
        pool.submit();
        pool.submit();
        worker.join().unwrap();
        assert_eq!(pool.done.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn two_submitters_and_one_worker() {
    check(3, || {
        let (pool, mut parkers) = Pool::new(1);
        let parker = parkers.pop().unwrap();
        let submitters = [0, 1].map(|_| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.submit())
        });
        pool.work(0, &parker, 2);
        for submitter in submitters {
            submitter.join().unwrap();
        }
    });
}

/// Each worker takes one item only, so an item that nobody was woken for hangs the model: this is
/// the duty of the last searcher to wake the next one.
#[test]
fn a_searcher_that_found_work_wakes_the_next() {
    check(3, || {
        let (pool, mut parkers) = Pool::new(2);
        let (second, first) = (parkers.pop().unwrap(), parkers.pop().unwrap());
        let workers = [(0, first), (1, second)].map(|(index, parker)| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work(index, &parker, 1))
        });
        pool.submit();
        pool.submit();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn closing_wakes_everybody_and_loses_no_item() {
    check(3, || {
        let (pool, mut parkers) = Pool::new(2);
        let (second, first) = (parkers.pop().unwrap(), parkers.pop().unwrap());
        let workers = [(0, first), (1, second)].map(|(index, parker)| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work(index, &parker, usize::MAX))
        });
        pool.submit();
        pool.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(pool.done.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_latch_publishes_what_was_written_and_wakes_all_waiters() {
    loom::model(|| {
        let shared = Arc::new((Latch::new(), AtomicUsize::new(0)));
        let waiters = [0, 1].map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.wait();
                assert_eq!(shared.1.load(Ordering::Relaxed), 7);
            })
        });
        shared.1.store(7, Ordering::Relaxed);
        shared.0.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_gate_wakes_whoever_waits_for_space() {
    check(3, || {
        let gate = Arc::new(Gate::new(1));
        let users = [0, 1].map(|_| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let mut key = None;
                park_until(|waker| {
                    if gate.try_enter().is_ok() {
                        return Poll::Ready(());
                    }
                    gate.register(&mut key, waker);
                    match gate.try_enter() {
                        Ok(()) => Poll::Ready(()),
                        Err(_) => Poll::Pending,
                    }
                });
                if let Some(key) = key {
                    gate.served(key);
                }
                gate.leave();
            })
        });
        for user in users {
            user.join().unwrap();
        }
        assert_eq!(gate.depth(), 0);
    });
}

/// A waiter that gives up passes the wake-up on that it may have got.
#[test]
fn a_waiter_that_gives_up_does_not_swallow_a_wake_up() {
    check(3, || {
        let gate = Arc::new(Gate::new(1));
        gate.try_enter().unwrap();
        let quitter = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let mut key = None;
                gate.register(&mut key, std::task::Waker::noop());
                gate.forget(key.unwrap());
            })
        };
        let stayer = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let mut key = None;
                park_until(|waker| {
                    gate.register(&mut key, waker);
                    match gate.try_enter() {
                        Ok(()) => Poll::Ready(()),
                        Err(_) => Poll::Pending,
                    }
                });
            })
        };
        gate.leave();
        quitter.join().unwrap();
        stayer.join().unwrap();
    });
}
