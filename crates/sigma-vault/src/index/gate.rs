//! What many threads read at every lookup and one changes now and then.
//!
//! A reader says that it is inside by a plain store to a place of its own, and looks whether the gate
//! is closed; whoever changes the value closes the gate, [fences](super::barrier) for all readers, and
//! waits until each place says that nobody is inside. So reading takes no instruction that locks the
//! bus or waits for the stores before it, and lookups in a row overlap in the processor (the idea is
//! that of "big reader" locks, Linux 2.4, with the fence moved to the writer as in user-space RCU:
//! Desnoyers et al., 2012).
#![expect(
    unsafe_code,
    reason = "measured: with a standard lock, whose two locked instructions keep lookups from overlapping, a lookup takes half as long again"
)]

use std::cell::UnsafeCell;
use std::io;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use super::barrier::Barrier;
use super::seat::{SEATS, Seat};
use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, pause};

/// One reader's own, or what all without a seat share; two lines, because lines are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    /// How often its reader is inside.
    inside: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Keeps readers out while closed.
#[derive(Debug)]
struct Gate {
    closed: AtomicBool,
    barrier: Barrier,
    places: Box<[Place]>,
    /// Of readers without a seat.
    crowd: Place,
}

impl Gate {
    fn new(barrier: Barrier, seats: usize) -> Self {
        Self {
            closed: AtomicBool::new(false),
            barrier,
            places: (0..seats).map(|_| Place::default()).collect(),
            crowd: Place::default(),
        }
    }

    /// Returns inside; waits while the gate is closed.
    #[inline]
    fn enter(&self, seat: Seat) {
        let mut tries = 0;
        loop {
            match self.places.get(seat.number()) {
                Some(place) => {
                    // Nobody else stores here.
                    let inside = place.inside.load(Ordering::Relaxed);
                    place.inside.store(inside + 1, Ordering::Relaxed);
                }
                None => {
                    self.crowd.inside.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.barrier.light();
            if !self.closed.load(Ordering::Acquire) {
                return;
            }
            self.leave(seat);
            while self.closed.load(Ordering::Relaxed) {
                tries += 1;
                pause(tries);
            }
        }
    }

    #[inline]
    fn leave(&self, seat: Seat) {
        match self.places.get(seat.number()) {
            Some(place) => {
                let inside = place.inside.load(Ordering::Relaxed);
                place.inside.store(inside - 1, Ordering::Release);
            }
            None => {
                self.crowd.inside.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Returns when nobody is inside or will be before [`open`](Self::open), or with an error, upon
    /// which readers may be inside. By one thread at a time.
    fn close(&self) -> io::Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        self.barrier.heavy()?;
        for place in self.places.iter().chain([&self.crowd]) {
            let mut tries = 0;
            while place.inside.load(Ordering::Acquire) > 0 {
                tries += 1;
                pause(tries);
            }
        }
        Ok(())
    }

    fn open(&self) {
        self.closed.store(false, Ordering::Release);
    }
}

/// A value behind a gate.
#[derive(Debug)]
pub(super) struct Gated<T> {
    gate: Gate,
    value: UnsafeCell<T>,
    /// Held by whoever closes the gate.
    change: Mutex<()>,
}

// SAFETY: `read` gives a shared reference to several threads (`T: Sync`), `change` an exclusive one
// to any thread (`T: Send`), and the gate lets either happen only where the other does not.
unsafe impl<T: Send + Sync> Sync for Gated<T> {}

impl<T> Gated<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            gate: Gate::new(Barrier::best(), SEATS),
            value: UnsafeCell::new(value),
            change: Mutex::new(()),
        }
    }

    /// The value, which does not change while this is held. To be held for a short time and not
    /// while waiting for anything: [`change`](Self::change) waits for it.
    #[inline]
    pub(super) fn read(&self) -> Read<'_, T> {
        let seat = Seat::own();
        self.gate.enter(seat);
        Read { gated: self, seat }
    }

    /// Runs `change` while nobody reads; an error, and nothing changed, where the system does not say
    /// who reads.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        /// Opens the gate, also where `change` panics.
        struct Closed<'a>(&'a Gate);
        impl Drop for Closed<'_> {
            fn drop(&mut self) {
                self.0.open();
            }
        }
        let _one = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let _closed = Closed(&self.gate);
        self.gate.close()?;
        // SAFETY: the gate is closed and nobody inside: no `Read` of this value exists, and none
        // will before `_closed` is dropped. The lock keeps other calls of this method out.
        Ok(change(unsafe { &mut *self.value.get() }))
    }

    /// Counts lookups of this thread.
    #[inline]
    pub(super) fn count(&self, hits: u64, misses: u64) {
        let number = Seat::own().number();
        match self.gate.places.get(number) {
            Some(place) => {
                // Nobody else stores here.
                let sum = place.hits.load(Ordering::Relaxed) + hits;
                place.hits.store(sum, Ordering::Relaxed);
                let sum = place.misses.load(Ordering::Relaxed) + misses;
                place.misses.store(sum, Ordering::Relaxed);
            }
            None => {
                self.gate.crowd.hits.fetch_add(hits, Ordering::Relaxed);
                self.gate.crowd.misses.fetch_add(misses, Ordering::Relaxed);
            }
        }
    }

    /// The sums of what [`count`](Self::count) was told.
    pub(super) fn counted(&self) -> (u64, u64) {
        let places = self.gate.places.iter().chain([&self.gate.crowd]);
        places.fold((0, 0), |(hits, misses), place| {
            let (more_hits, more_misses) = (&place.hits, &place.misses);
            (
                hits + more_hits.load(Ordering::Relaxed),
                misses + more_misses.load(Ordering::Relaxed),
            )
        })
    }
}

/// A reader that is inside.
#[derive(Debug)]
pub(crate) struct Read<'a, T> {
    gated: &'a Gated<T>,
    seat: Seat,
}

impl<T> Deref for Read<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this reader is inside, so `change` waits: nobody has an exclusive reference. The
        // reference does not outlive the guard.
        unsafe { &*self.gated.value.get() }
    }
}

impl<T> Drop for Read<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.gated.gate.leave(self.seat);
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Two numbers that are the same whenever nobody changes them.
    fn gated(barrier: Barrier, seats: usize) -> Gated<[u64; 2]> {
        Gated {
            gate: Gate::new(barrier, seats),
            value: UnsafeCell::new([0; 2]),
            change: Mutex::new(()),
        }
    }

    /// Every form of the gate, with seats for all threads and for none.
    #[test]
    fn readers_see_whole_changes_only() {
        let rounds = if cfg!(miri) { 50 } else { 5000 };
        for barrier in [Barrier::best(), Barrier::Plain] {
            for seats in [SEATS, 0] {
                let gated = gated(barrier, seats);
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            let mut last = 0;
                            while last < 2 * rounds {
                                let [first, second] = *gated.read();
                                assert_eq!(first, second);
                                assert!(first >= last);
                                last = first;
                                gated.count(1, 2);
                            }
                        });
                        scope.spawn(|| {
                            for _ in 0..rounds {
                                let changed = gated.change(|value| {
                                    value[0] += 1;
                                    value[1] += 1;
                                });
                                changed.unwrap();
                            }
                        });
                    }
                });
                assert_eq!(*gated.read(), [2 * rounds; 2]);
                let (hits, misses) = gated.counted();
                assert!(hits >= 2 && misses == 2 * hits);
            }
        }
    }

    #[test]
    fn counts_of_threads_that_ended_stay() {
        let gated = Arc::new(gated(Barrier::best(), SEATS));
        for _ in 0..SEATS + 2 {
            let gated = Arc::clone(&gated);
            std::thread::spawn(move || gated.count(3, 1))
                .join()
                .unwrap();
        }
        let threads = SEATS as u64 + 2;
        assert_eq!(gated.counted(), (3 * threads, threads));
    }

    #[test]
    fn a_panic_in_a_change_opens_the_gate() {
        let gated = gated(Barrier::best(), SEATS);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = gated.change(|value| {
                value[0] = 7;
                panic!("on purpose");
            });
        }));
        assert!(caught.is_err());
        gated.change(|value| value[1] = 7).unwrap();
        assert_eq!(*gated.read(), [7, 7]);
    }

    #[test]
    fn a_system_that_refuses_its_barrier_changes_nothing_and_keeps_no_reader_out() {
        let gated = gated(Barrier::Refused, SEATS);
        let held = gated.read();
        let error = gated.change(|value| value[0] = 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!((*held, *gated.read()), ([0, 0], [0, 0]));
    }

    /// More threads at once than there are seats.
    #[test]
    fn no_two_running_threads_have_one_seat() {
        let count = if cfg!(miri) { 8 } else { SEATS + 10 };
        let barrier = std::sync::Barrier::new(count);
        let seats = std::thread::scope(|scope| {
            let sit = || {
                let seat = Seat::own().number();
                assert_eq!(seat, Seat::own().number());
                barrier.wait();
                seat
            };
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(sit)).collect();
            let seats = threads.into_iter().map(|thread| thread.join().unwrap());
            seats.collect::<Vec<_>>()
        });
        let mut taken: Vec<usize> = seats.into_iter().filter(|seat| *seat < SEATS).collect();
        let all = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), all);
    }
}

/// Run by `ci/loom.sh`: the form with fences on both sides, of which the other one is the same but
/// for who runs the reader's fence.
#[cfg(all(test, neurectomy_loom))]
mod model {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A reader, in a seat or in the crowd, and a change of the value.
    fn readers_and_a_change_keep_apart(barrier: Barrier, seats: usize) {
        loom::model(move || {
            let shared = Arc::new((Gate::new(barrier, seats), UnsafeCell::new(0_u64)));
            let reader = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (gate, value) = &*shared;
                    let read = || {
                        gate.enter(Seat::numbered(0));
                        // SAFETY: loom checks that nobody changes the value meanwhile.
                        let seen = value.with(|value| unsafe { *value });
                        gate.leave(Seat::numbered(0));
                        seen
                    };
                    let first = read();
                    assert!(first <= read());
                }
            });
            let (gate, value) = &*shared;
            gate.close().unwrap();
            // SAFETY: as above.
            value.with_mut(|value| unsafe { *value += 1 });
            gate.open();
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_a_reader_with_a_seat_and_a_change_keep_apart() {
        readers_and_a_change_keep_apart(Barrier::Plain, 1);
    }

    #[test]
    fn loom_a_reader_of_the_crowd_and_a_change_keep_apart() {
        readers_and_a_change_keep_apart(Barrier::Plain, 0);
    }

    /// The test of the test: without the reader's fence loom finds the two together.
    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_a_reader_without_a_fence_is_caught() {
        readers_and_a_change_keep_apart(Barrier::Asymmetric, 1);
    }
}
