//! Small numbers for running threads, so that each has a place of its own in arrays.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many threads at a time have a seat; the others share one place.
pub(super) const SEATS: usize = 128;
const NONE: usize = SEATS;
const UNKNOWN: usize = usize::MAX;

/// The number of the running thread. Not to be given to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    number: usize,
    own: PhantomData<*const ()>,
}

static TAKEN: [AtomicBool; SEATS] = [const { AtomicBool::new(false) }; SEATS];

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static TENURE: Cell<Tenure> = const { Cell::new(Tenure(NONE)) };
}

/// Makes the seat free when its thread ends.
struct Tenure(usize);

impl Drop for Tenure {
    fn drop(&mut self) {
        if let Some(taken) = TAKEN.get(self.0) {
            NUMBER.set(NONE);
            taken.store(false, Ordering::Release);
        }
    }
}

impl Seat {
    /// The seat of this thread: no other has it until this one ends.
    #[inline]
    pub(super) fn own() -> Self {
        let mut number = NUMBER.get();
        if number == UNKNOWN {
            number = Self::take();
        }
        Self::numbered(number)
    }

    /// [`SEATS`] or more where the thread has none.
    #[inline]
    pub(super) fn number(self) -> usize {
        self.number
    }

    pub(super) fn numbered(number: usize) -> Self {
        let own = PhantomData;
        Self { number, own }
    }

    #[cold]
    fn take() -> usize {
        // What the last one in this seat stored is seen by the next.
        let free = |taken: &AtomicBool| !taken.swap(true, Ordering::AcqRel);
        let sit = |tenure: &Cell<Tenure>| {
            let number = TAKEN.iter().position(free).unwrap_or(NONE);
            tenure.set(Tenure(number));
            number
        };
        // A thread that is about to end could not give a seat back.
        let number = TENURE.try_with(sit).unwrap_or(NONE);
        NUMBER.set(number);
        number
    }
}
