//! The place for a closure and, after it ran, for its value; one of the files with `unsafe`.
//!
//! One word says what the place holds, and whoever changes it to a state of their own is the only
//! one to touch the content until the next change:
//!
//! | from | to | who |
//! |---|---|---|
//! | `QUEUED` | `CLAIMED` | takes the closure out, to run or to drop it |
//! | `QUEUED` | `WITHDRAWN` | takes the closure out, to drop it; the books are kept later |
//! | `CLAIMED` | `DONE` | the one that claimed it puts the value in |
//! | `DONE` | `CLAIMED` | takes the value out |
//!
//! Two mutexes did the same before; without them a task costs four atomic operations less.

use crate::primitive::{AtomicU8, Ordering, UnsafeCell};
use crate::worker::drop_quietly;
use std::mem::ManuallyDrop;

/// The closure is here.
const QUEUED: u8 = 0;
/// Nothing is here: somebody took the closure, or the value.
const CLAIMED: u8 = 1;
/// Nothing is here: the closure was dropped through the handle before it ran.
const WITHDRAWN: u8 = 2;
/// The value is here.
const DONE: u8 = 3;

/// Both lie at its beginning.
#[repr(C)]
union Content<F, T> {
    job: ManuallyDrop<F>,
    value: ManuallyDrop<T>,
}

/// Closure before, value after.
pub struct Slot<F, T> {
    state: AtomicU8,
    content: UnsafeCell<Content<F, T>>,
}

/// The right to put the value in: whoever took the closure has it.
pub struct Claim<'s, F, T> {
    slot: &'s Slot<F, T>,
}

/// Why there is no closure to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Somebody else runs it or has run it.
    Claimed,
    /// It was withdrawn before it ran.
    Withdrawn,
}

#[expect(
    unsafe_code,
    reason = "the content belongs to whoever changed the state"
)]
// SAFETY: a shared slot moves closures and values between threads and never hands out references
// to them, so it needs both to be `Send` and neither to be `Sync`.
unsafe impl<F: Send, T: Send> Sync for Slot<F, T> {}

#[expect(
    unsafe_code,
    reason = "the content belongs to whoever changed the state"
)]
impl<F, T> Slot<F, T> {
    /// With a closure.
    pub fn new(job: F) -> Self {
        let job = ManuallyDrop::new(job);
        Self {
            state: AtomicU8::new(QUEUED),
            content: UnsafeCell::new(Content { job }),
        }
    }

    fn take_job(&self, to: u8) -> Result<F, Gone> {
        let before = self
            .state
            .compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire);
        match before {
            // SAFETY: the state was `QUEUED`, so the closure is here, and this change of it gives
            // the content to this thread alone; the state says from now on that nothing is here.
            Ok(_) => Ok(self
                .content
                .with_mut(|content| unsafe { content.cast::<F>().read() })),
            Err(WITHDRAWN) => Err(Gone::Withdrawn),
            Err(_) => Err(Gone::Claimed),
        }
    }

    /// Takes the closure, to run or to drop it.
    pub fn claim(&self) -> Result<(F, Claim<'_, F, T>), Gone> {
        let job = self.take_job(CLAIMED)?;
        Ok((job, Claim { slot: self }))
    }

    /// Takes the closure so that whoever comes upon the slot later learns that it was withdrawn.
    pub fn withdraw(&self) -> Option<F> {
        self.take_job(WITHDRAWN).ok()
    }

    /// Whether the closure is still here.
    pub fn is_queued(&self) -> bool {
        self.state.load(Ordering::Acquire) == QUEUED
    }

    /// Takes the value, if it is here.
    pub fn take_value(&self) -> Option<T> {
        self.state
            .compare_exchange(DONE, CLAIMED, Ordering::AcqRel, Ordering::Acquire)
            .ok()?;
        // SAFETY: the state was `DONE`, so the value is here, and this change of it gives the
        // content to this thread alone.
        let value = self
            .content
            .with_mut(|content| unsafe { content.cast::<T>().read() });
        Some(value)
    }
}

#[expect(
    unsafe_code,
    reason = "the content belongs to whoever changed the state"
)]
impl<F, T> Claim<'_, F, T> {
    /// Puts the value in.
    pub fn put(self, value: T) {
        let value = ManuallyDrop::new(value);
        // SAFETY: a claim exists once per slot, for whoever took the closure out, and is used up
        // here; until the next line the state says that nothing is here, so nobody else looks.
        self.slot
            .content
            .with_mut(|content| unsafe { content.write(Content { value }) });
        self.slot.state.store(DONE, Ordering::Release);
    }
}

/// A value that nobody took is dropped on whichever thread lets go of the task last; a panic of
/// its destructor must not surprise that thread.
impl<F, T> Drop for Slot<F, T> {
    fn drop(&mut self) {
        if let Some(job) = self.withdraw() {
            drop_quietly(job);
        } else if std::mem::needs_drop::<T>()
            && let Some(value) = self.take_value()
        {
            drop_quietly(value);
        }
    }
}
