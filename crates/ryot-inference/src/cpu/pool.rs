//! One team of threads for all products of a model.
//!
//! A region is one call of [`Pool::run`]: its numbered pieces are cut into as many ranges as there are
//! threads. Every thread takes the pieces of its own range in order, and then what others have not
//! begun. So neighbouring pieces, whose memory usually lies side by side, go to one thread, which
//! reads on where the processor has fetched ahead, and no counter passes between threads as long as
//! all are busy. Between regions threads spin for a while before they sleep, because a token is made
//! of a hundred regions that follow each other within microseconds.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;

/// Looks at the counter before a waiting thread sleeps: a few hundred microseconds, longer than any
/// step that one thread does alone between two regions; waking a thread costs tens of them.
const SPINS: u32 = 60_000;
/// Runs a thread in [`Pool::share`]: more share out more evenly, and cost more looks at the counter.
const RUNS: usize = 8;

/// Runs numbered pieces of work on a fixed team.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the thread that runs a region.
    leader: Mutex<()>,
}

/// A region's work: called with piece numbers.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Cache lines of its own, two as they are fetched in pairs.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    /// Counts regions; helpers wait for it to change.
    region: Apart<AtomicUsize>,
    /// The region's work: set before `region` changes, read by helpers until they leave the region.
    work: Apart<UnsafeCell<Option<Job>>>,
    /// The next piece of each thread's range, the leader's first.
    next: Box<[Apart<AtomicUsize>]>,
    /// Helpers still inside the region.
    busy: Apart<AtomicUsize>,
    /// Helpers that sleep or are about to; changed under `sleep`.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    panicked: AtomicBool,
}

#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    pieces: usize,
}

// SAFETY: the pointer is used only while `Pool::run` keeps the work alive, and the work is `Sync`.
unsafe impl Send for Job {}
// SAFETY: the leader writes `work` while no helper is in a region (`busy` is zero, which it has seen
// with acquire ordering), and helpers read it after they have seen the region that follows.
unsafe impl Sync for Shared {}

impl Pool {
    /// A team of `threads`, the caller of [`Pool::run`] among them.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            region: Apart(AtomicUsize::new(0)),
            work: Apart(UnsafeCell::new(None)),
            next: (0..threads).map(|_| Apart(AtomicUsize::new(0))).collect(),
            busy: Apart(AtomicUsize::new(0)),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let mut pool = Self {
            shared,
            helpers: Vec::new(),
            leader: Mutex::new(()),
        };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let helper = std::thread::Builder::new()
                .name(format!("ryot-{index}"))
                .spawn(move || shared.help(index))?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work` once for every number below `pieces`, and returns when all are done.
    ///
    /// While another thread runs a region, the caller does its pieces alone.
    ///
    /// # Panics
    /// When `work` panics; the other pieces are still done.
    pub(crate) fn run(&self, pieces: usize, work: &Work<'_>) {
        let leader = match self.leader.try_lock() {
            Ok(leader) => Some(leader),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if leader.is_none() || self.helpers.is_empty() || pieces <= 1 {
            (0..pieces).for_each(work);
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; the pointer is dropped from `work` below, after every
        // helper has left the region.
        let erased = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        let job = Job {
            work: erased,
            pieces,
        };
        // SAFETY: no helper is in a region, and the leader's lock is held.
        unsafe { *shared.work.0.get() = Some(job) };
        for (index, next) in shared.next.iter().enumerate() {
            next.0
                .store(shared.range(index, pieces).start, Ordering::Relaxed);
        }
        shared.busy.0.store(self.helpers.len(), Ordering::Relaxed);
        // either this sees a sleeper, or the sleeper sees the region (both in one total order)
        shared.region.0.fetch_add(1, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            let _sleep = lock(&shared.sleep);
            shared.wake.notify_all();
        }
        let region = Region(shared);
        shared.take_pieces(0, work, pieces);
        drop(region);
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        assert!(!panicked, "a thread of the pool panicked");
    }
}

impl Pool {
    /// Calls `work` once for every number below `items`, in order within runs of neighbours that
    /// one thread does: for many small items.
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub(crate) fn share(&self, items: usize, work: &Work<'_>) {
        let each = items.div_ceil(self.threads() * RUNS).max(1);
        self.run(items.div_ceil(each), &|run| {
            (run * each..items.min((run + 1) * each)).for_each(work);
        });
    }
}

/// Ends when every helper has left; also when the leader's own piece panics.
struct Region<'a>(&'a Shared);

impl Drop for Region<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.0.busy.0.load(Ordering::Acquire) != 0 {
            relax(&mut spins);
        }
        // SAFETY: every helper has left, and the leader's lock is held.
        unsafe { *self.0.work.0.get() = None };
    }
}

impl Shared {
    /// The pieces that thread `index` begins with.
    fn range(&self, index: usize, pieces: usize) -> Range<usize> {
        let threads = self.next.len();
        let (each, more) = (pieces / threads, pieces % threads);
        let start = index * each + index.min(more);
        start..start + each + usize::from(index < more)
    }

    /// Does pieces until none is left, those of range `own` first.
    fn take_pieces(&self, own: usize, work: &Work<'_>, pieces: usize) {
        let threads = self.next.len();
        for index in (own..threads).chain(0..own) {
            let (next, end) = (&self.next[index].0, self.range(index, pieces).end);
            // a look first, as a counter that is added to leaves its owner's cache
            while next.load(Ordering::Relaxed) < end {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece < end {
                    work(piece);
                }
            }
        }
    }

    fn help(&self, index: usize) {
        let mut seen = 0;
        while let Some(region) = self.wait(seen) {
            seen = region;
            // SAFETY: the leader set it before the region that was seen, and changes it after this
            // helper has left.
            let Some(job) = (unsafe { *self.work.0.get() }) else {
                continue;
            };
            // SAFETY: `Pool::run` returns only after `busy` is zero, so the work is alive.
            let work = unsafe { &*job.work };
            let run = std::panic::AssertUnwindSafe(|| self.take_pieces(index, work, job.pieces));
            if std::panic::catch_unwind(run).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// The region after `seen`; `None` when the pool ends.
    fn wait(&self, seen: usize) -> Option<usize> {
        let mut spins = 0;
        while spins < SPINS {
            let region = self.region.0.load(Ordering::Acquire);
            if region != seen {
                return Some(region);
            }
            relax(&mut spins);
        }
        let mut sleep = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            let region = self.region.0.load(Ordering::SeqCst);
            if region != seen || self.stop.load(Ordering::Relaxed) {
                break (region != seen).then_some(region);
            }
            sleep = self
                .wake
                .wait(sleep)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        found
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let _sleep = lock(&self.shared.sleep);
            self.shared.stop.store(true, Ordering::Relaxed);
            self.shared.wake.notify_all();
        }
        for helper in self.helpers.drain(..) {
            // a helper catches the panics of its work
            let _ = helper.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spins, and gives the processor away now and then where the machine is busy.
fn relax(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(1024) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        let pool = Pool::new(3).unwrap();
        for pieces in [0, 1, 2, 7, 1000] {
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                pool.run(pieces, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn ranges_lie_side_by_side() {
        for threads in 1..5 {
            let pool = Pool::new(threads).unwrap();
            for pieces in [0, 1, 2, 3, 7, 100] {
                let ranges = (0..threads).map(|index| pool.shared.range(index, pieces));
                let ranges: Vec<_> = ranges.collect();
                let all: Vec<usize> = ranges.iter().cloned().flatten().collect();
                assert_eq!(all, (0..pieces).collect::<Vec<_>>());
                let lens = ranges.iter().map(ExactSizeIterator::len);
                let (least, most) = (lens.clone().min(), lens.max());
                assert!(most <= least.map(|least| least + 1), "{ranges:?}");
            }
        }
    }

    #[test]
    fn every_shared_item_is_done_once() {
        let pool = Pool::new(2).unwrap();
        for items in [0, 1, 15, 16, 17, 1000] {
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            pool.share(items, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn many_callers_share_a_pool() {
        let pool = Pool::new(2).unwrap();
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(5, &|i| {
                            total.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 200 * 10);
    }

    #[test]
    fn a_panicking_piece_is_reported_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, &|i| assert_ne!(i, 3, "piece 3"));
        }));
        assert!(caught.is_err());
        let done = AtomicUsize::new(0);
        pool.run(8, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn sleeping_helpers_wake_up() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            let done = AtomicUsize::new(0);
            pool.run(4, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 4);
        }
    }
}
