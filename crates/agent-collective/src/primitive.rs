//! Atomics, locks and parking: the standard ones, or loom's under `cfg(neurectomy_loom)`.
//!
//! The only file that knows which; everything else imports from here.

use std::sync::PoisonError;

#[cfg(not(neurectomy_loom))]
mod real {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::sync::{Mutex, MutexGuard};

    pub(crate) mod thread {
        pub(crate) use std::thread::{Thread, current, park, park_timeout};
    }

    /// The standard cell with loom's way of access.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

/// The processor that the calling thread runs on at the moment; 0 where nobody says.
#[cfg(all(target_os = "linux", not(miri), not(neurectomy_loom)))]
pub(crate) fn current_cpu() -> usize {
    rustix::thread::sched_getcpu()
}

#[cfg(not(all(target_os = "linux", not(miri), not(neurectomy_loom))))]
pub(crate) fn current_cpu() -> usize {
    0
}

#[cfg(not(neurectomy_loom))]
pub(crate) use real::*;

#[cfg(neurectomy_loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// The token of each thread as the standard library has it. loom's own is lost on a thread that
    /// is unparked while it waits for something else, such as a join.
    pub mod thread {
        use super::super::lock;
        use loom::sync::{Arc, Condvar, Mutex};
        use std::sync::PoisonError;
        use std::time::Duration;

        loom::thread_local! {
            static OWN: Thread = Thread {
                token: Arc::new((Mutex::new(false), Condvar::new())),
            };
        }

        #[derive(Clone, Debug)]
        pub struct Thread {
            token: Arc<(Mutex<bool>, Condvar)>,
        }

        pub fn current() -> Thread {
            OWN.with(Clone::clone)
        }

        pub(crate) fn park() {
            let own = current();
            let (token, signal) = &*own.token;
            let mut present = lock(token);
            while !*present {
                present = signal.wait(present).unwrap_or_else(PoisonError::into_inner);
            }
            *present = false;
        }

        /// loom has no time: waits like `park`.
        pub(crate) fn park_timeout(_: Duration) {
            park();
        }

        impl Thread {
            pub fn unpark(&self) {
                let (token, signal) = &*self.token;
                *lock(token) = true;
                signal.notify_one();
            }
        }
    }
}

#[cfg(neurectomy_loom)]
pub use model::*;

/// Locks `mutex`; a lock left poisoned by a panic is taken as it is, because no user code runs
/// inside our critical sections.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
