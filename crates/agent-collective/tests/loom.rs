//! Models of parking, waking, completion and admission, checked over all interleavings:
//!
//! ```text
//! RUSTFLAGS="--cfg neurectomy_loom" cargo test -p agent-collective --test loom --release
//! ```
//!
//! A lost wake-up shows as a deadlock, which loom reports. `crates/agent-collective/src/park/README.md`
//! has the argument that these models check.
#![cfg(neurectomy_loom)]

use agent_collective::model::{
    Census, Choice, Gate, Gone, Intake, Lane, Latch, Parker, Sleepers, Slot, current_thread,
    park_until,
};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::task::{Poll, Waker};
use std::time::Duration;

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
        self.sleepers.notify(Choice::Any);
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

/// Two wakers and an unpark of the thread from elsewhere; a token that is lost, also one that comes
/// while a late waker of the last sleep is still under way, leaves the owner asleep for ever.
#[test]
fn a_token_is_never_lost() {
    check(3, || {
        let parker = Parker::new();
        let given = Arc::new(AtomicUsize::new(0));
        let give = |waker: Waker, given: Arc<AtomicUsize>| {
            given.fetch_add(1, Ordering::Release);
            waker.wake();
        };
        let owner = current_thread();
        let first = thread::spawn({
            let (waker, given) = (parker.waker(), Arc::clone(&given));
            move || give(waker, given)
        });
        let second = thread::spawn({
            let (waker, given) = (parker.waker(), Arc::clone(&given));
            move || {
                owner.unpark();
                give(waker, given);
            }
        });
        while given.load(Ordering::Acquire) < 2 {
            parker.park();
        }
        first.join().unwrap();
        second.join().unwrap();
    });
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

/// A sleep whose time is over at once, at every point of a submission: the worker that was taken off
/// the stack meanwhile takes its token, so that the sleep without a limit that follows is not ended
/// by it, and no item is lost.
#[test]
fn a_sleep_that_ends_by_its_time_loses_nothing() {
    check(3, || {
        let (pool, mut parkers) = Pool::new(1);
        let parker = parkers.pop().unwrap();
        let worker = thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                pool.sleepers.start_search();
                let ready = || !pool.is_empty();
                pool.sleepers.sleep_for(0, &parker, Duration::ZERO, ready);
                pool.sleepers.stop_search(|| false);
                pool.work(0, &parker, 2);
            }
        });
        pool.submit();
        pool.submit();
        worker.join().unwrap();
        assert_eq!(pool.done.load(Ordering::SeqCst), 2);
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
                    gate.space().register(&mut key, waker);
                    match gate.try_enter() {
                        Ok(()) => Poll::Ready(()),
                        Err(_) => Poll::Pending,
                    }
                });
                if let Some(key) = key {
                    gate.space().served(key);
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
                gate.space().register(&mut key, std::task::Waker::noop());
                gate.space().forget(key.unwrap());
            })
        };
        let stayer = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let mut key = None;
                park_until(|waker| {
                    gate.space().register(&mut key, waker);
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

/// The intake of the queues: entries in one word, exits in a lane per worker.
#[test]
fn an_intake_wakes_whoever_waits_for_space_and_is_never_too_full() {
    check(3, || {
        let intake = Arc::new(Intake::new(1, 1));
        let inside = Arc::new(AtomicUsize::new(0));
        let users = [Lane::Worker(0), Lane::Outside].map(|lane| {
            let (intake, inside) = (Arc::clone(&intake), Arc::clone(&inside));
            thread::spawn(move || {
                let mut key = None;
                park_until(|waker| {
                    if intake.try_enter().is_ok() {
                        return Poll::Ready(());
                    }
                    intake.space().register(&mut key, waker);
                    match intake.try_enter() {
                        Ok(()) => Poll::Ready(()),
                        Err(_) => Poll::Pending,
                    }
                });
                if let Some(key) = key {
                    intake.space().served(key);
                }
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
                intake.leave(lane);
            })
        });
        for user in users {
            user.join().unwrap();
        }
        assert_eq!((intake.depth(), intake.entered()), (0, 2));
    });
}

/// The shape of the end of a worker: it sleeps until the runtime is closed and all has ended.
fn sleep_until_ended(census: &Census, sleepers: &Sleepers, index: usize, parker: &Parker) {
    sleepers.start_search();
    while !census.has_ended() {
        sleepers.sleep(index, parker, || census.has_ended());
    }
    sleepers.stop_search(|| false);
    sleepers.wake_all();
}

/// Two workers end their last tasks while somebody closes the runtime: nobody sleeps for ever,
/// although neither looks at the state when it counts its task as ended.
#[test]
fn the_last_workers_of_a_closed_runtime_find_out() {
    check(2, || {
        let (sleepers, parkers) = Sleepers::with_workers(2);
        let shared = Arc::new((Census::new(2), sleepers));
        assert!(shared.0.announce(false) && shared.0.announce(false));
        let mut index = 0;
        let workers: Vec<_> = parkers
            .into_iter()
            .map(|parker| {
                let (shared, own) = (Arc::clone(&shared), index);
                index += 1;
                thread::spawn(move || {
                    shared.0.end_one(Lane::Worker(own));
                    sleep_until_ended(&shared.0, &shared.1, own, &parker);
                })
            })
            .collect();
        shared.0.close(1);
        shared.1.wake_all();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(shared.0.pending(), 0);
    });
}

/// Work that is cancelled from outside ends there; the sleeping worker is told.
#[test]
fn the_last_task_may_end_outside() {
    check(3, || {
        let (sleepers, mut parkers) = Sleepers::with_workers(1);
        let parker = parkers.pop().unwrap();
        let shared = Arc::new((Census::new(1), sleepers));
        assert!(shared.0.announce(false));
        let worker = thread::spawn({
            let shared = Arc::clone(&shared);
            move || sleep_until_ended(&shared.0, &shared.1, 0, &parker)
        });
        let canceller = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                if shared.0.end_one(Lane::Outside) {
                    shared.1.wake_all();
                }
            }
        });
        shared.0.close(1);
        shared.1.wake_all();
        worker.join().unwrap();
        canceller.join().unwrap();
    });
}

/// A submission either is refused or is waited for.
#[test]
fn work_announced_beside_a_shutdown_is_refused_or_pending() {
    loom::model(|| {
        let census = Arc::new(Census::new(1));
        let submitter = thread::spawn({
            let census = Arc::clone(&census);
            move || {
                let taken = census.announce(false);
                if !taken {
                    census.end_one(Lane::Outside);
                }
                taken
            }
        });
        census.close(1);
        let ended = census.has_ended();
        let taken = submitter.join().unwrap();
        assert!(!(taken && ended), "accepted work was not waited for");
        assert_eq!(census.pending(), usize::from(taken));
    });
}

/// A worker, a thread that joins in place and one that cancels: the closure goes to one of them,
/// and the value to whoever sees the latch.
#[test]
fn a_task_is_run_once_or_cancelled() {
    loom::model(|| {
        let task = Arc::new((Slot::<usize, usize>::new(20), Latch::new()));
        let runs = Arc::new(AtomicUsize::new(0));
        let runner = thread::spawn({
            let (task, runs) = (Arc::clone(&task), Arc::clone(&runs));
            move || match task.0.claim() {
                Ok((job, claim)) => {
                    runs.fetch_add(1, Ordering::Relaxed);
                    claim.put(job + 1);
                    task.1.set();
                }
                Err(gone) => assert_eq!(gone, Gone::Withdrawn),
            }
        });
        let canceller = thread::spawn({
            let task = Arc::clone(&task);
            move || {
                let withdrawn = task.0.withdraw().is_some();
                if withdrawn {
                    task.1.set();
                }
                withdrawn
            }
        });
        task.1.wait();
        let value = task.0.take_value();
        assert!(task.0.take_value().is_none());
        runner.join().unwrap();
        let withdrawn = canceller.join().unwrap();
        assert_eq!(value, (!withdrawn).then_some(21));
        assert_eq!(runs.load(Ordering::Relaxed), usize::from(!withdrawn));
    });
}

/// A pool whose worker has something that only it may touch, or a guest in its seat.
struct Seated {
    pool: Arc<Pool>,
    books: loom::cell::UnsafeCell<usize>,
}

// SAFETY: whoever touches the books has the seat, which is what the models check: loom reports two
// accesses that are not ordered.
unsafe impl Sync for Seated {}

impl Seated {
    fn new() -> (Arc<Self>, Parker) {
        let (pool, mut parkers) = Pool::new(1);
        let books = loom::cell::UnsafeCell::new(0);
        (Arc::new(Self { pool, books }), parkers.pop().unwrap())
    }

    fn write(&self) {
        self.books.with_mut(|books| unsafe { *books += 1 });
    }

    /// Works in the worker's seat if that sleeps, or leaves an item for it.
    fn visit(&self, leaves_an_item: bool) {
        let seat = self.pool.sleepers.occupy();
        if seat.is_some() {
            self.write();
        }
        if leaves_an_item || seat.is_none() {
            self.pool.submit();
        }
        if let Some(seat) = seat {
            self.pool.sleepers.vacate(seat, || !self.pool.is_empty());
        }
    }

    fn work(&self, parker: &Parker, items: usize) {
        for _ in 0..items {
            self.pool.work(0, parker, 1);
            self.write();
        }
    }
}

/// Guest and worker never write at the same time, and an item that comes while the only seat is
/// taken is not forgotten, wherever it comes from.
#[test]
fn a_seat_belongs_to_one_and_loses_no_item() {
    check(3, || {
        let (seated, parker) = Seated::new();
        let worker = thread::spawn({
            let seated = Arc::clone(&seated);
            move || seated.work(&parker, 2)
        });
        let guest = thread::spawn({
            let seated = Arc::clone(&seated);
            move || seated.visit(true)
        });
        seated.pool.submit();
        worker.join().unwrap();
        guest.join().unwrap();
    });
}

/// Two threads want the same seat: one gets it, the other leaves an item or comes later.
#[test]
fn two_guests_do_not_share_a_seat() {
    check(2, || {
        let (seated, parker) = Seated::new();
        let worker = thread::spawn({
            let seated = Arc::clone(&seated);
            move || seated.work(&parker, 2)
        });
        let guest = thread::spawn({
            let seated = Arc::clone(&seated);
            move || seated.visit(true)
        });
        seated.visit(true);
        worker.join().unwrap();
        guest.join().unwrap();
    });
}

/// A guest sits in the seat of a worker while everybody is told that the pool is closed.
#[test]
fn a_worker_whose_seat_was_taken_learns_of_the_end() {
    check(3, || {
        let (seated, parker) = Seated::new();
        let worker = thread::spawn({
            let seated = Arc::clone(&seated);
            move || seated.pool.work(0, &parker, usize::MAX)
        });
        let guest = thread::spawn({
            let seated = Arc::clone(&seated);
            move || {
                if let Some(seat) = seated.pool.sleepers.occupy() {
                    let pool = &seated.pool;
                    let ready = || !pool.is_empty() || pool.closed.load(Ordering::Acquire);
                    pool.sleepers.vacate(seat, ready);
                }
            }
        });
        seated.pool.close();
        worker.join().unwrap();
        guest.join().unwrap();
    });
}
