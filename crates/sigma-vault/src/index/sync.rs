//! Atomics and waiting, those of loom where it checks the gate and the shards.

#[cfg(neurectomy_loom)]
pub(super) use loom::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(not(neurectomy_loom))]
pub(super) use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Lets another thread go on: the `tries`-th wait in a row.
#[cfg(not(neurectomy_loom))]
pub(super) fn pause(tries: u32) {
    /// The other thread is then likelier to be waiting for this core than to be about to finish.
    const SPINS_MAX: u32 = 64;
    if tries < SPINS_MAX {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

#[cfg(neurectomy_loom)]
pub(super) fn pause(_tries: u32) {
    loom::thread::yield_now();
}
