//! Atomic numbers: those of the language, or those of the model checker in builds with
//! `--cfg neurectomy_loom`.

#[cfg(not(neurectomy_loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(neurectomy_loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
