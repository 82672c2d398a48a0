//! Atomics, locks and parking: the standard ones, or loom's under `cfg(neurectomy_loom)`.
//!
//! The only file that knows which; everything else imports from here.

use std::sync::PoisonError;

#[cfg(not(neurectomy_loom))]
mod real {
    pub(crate) use crossbeam_utils::sync::{Parker, Unparker};
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::sync::{Mutex, MutexGuard};

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

#[cfg(not(neurectomy_loom))]
pub(crate) use real::*;

#[cfg(neurectomy_loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    use std::sync::Arc;
    use std::time::Duration;

    /// Same contract as crossbeam's `Parker`: one token, `park` takes it or waits for it.
    #[derive(Debug)]
    pub struct Parker {
        unparker: Unparker,
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Unparker {
        token: Arc<(Mutex<bool>, loom::sync::Condvar)>,
    }

    impl Parker {
        pub(crate) fn new() -> Self {
            let token = Arc::new((Mutex::new(false), loom::sync::Condvar::new()));
            Self {
                unparker: Unparker { token },
            }
        }

        pub(crate) fn unparker(&self) -> &Unparker {
            &self.unparker
        }

        pub(crate) fn park(&self) {
            let (token, signal) = &*self.unparker.token;
            let mut present = super::lock(token);
            while !*present {
                present = signal
                    .wait(present)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            *present = false;
        }

        /// loom has no time: waits like `park`.
        pub(crate) fn park_timeout(&self, _timeout: Duration) {
            self.park();
        }
    }

    impl Unparker {
        pub(crate) fn unpark(&self) {
            let (token, signal) = &*self.token;
            *super::lock(token) = true;
            signal.notify_one();
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
