//! A fence between a frequent side and a rare one, of which the frequent side pays nothing.
//!
//! The frequent side stores, then loads, and needs the two in this order (Dekker's pattern); a fence
//! in between would cost it more than all the rest. Linux can put that fence into all running
//! threads of a process at the wish of one: `membarrier(2)`. Where it is not to be had, both sides
//! fence.
#![cfg_attr(
    all(target_os = "linux", not(miri), not(neurectomy_loom)),
    expect(
        unsafe_code,
        reason = "measured: a lookup with fences takes half as long again; no library offers the call"
    )
)]

use std::io;

use super::sync::{Ordering, fence};

/// Who fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// The rare side, for all.
    Asymmetric,
    /// Both sides.
    Plain,
    /// As [`Asymmetric`](Self::Asymmetric), on a system that refuses.
    #[cfg(all(test, not(neurectomy_loom)))]
    Refused,
}

impl Barrier {
    /// The one that lookups cost less with, of those that the system has.
    pub(super) fn best() -> Self {
        if system::register() && system::interrupt().is_ok() {
            Self::Asymmetric
        } else {
            Self::Plain
        }
    }

    /// Between a store and a load of the frequent side.
    #[inline(always)]
    pub(super) fn light(self) {
        match self {
            Self::Plain => fence(Ordering::SeqCst),
            _ => std::sync::atomic::compiler_fence(Ordering::SeqCst),
        }
    }

    /// Between a store and a load of the rare side. An error, and no fence of the frequent side, where
    /// the system refuses what it offered before: who is inside cannot be told then.
    pub(super) fn heavy(self) -> io::Result<()> {
        fence(Ordering::SeqCst);
        match self {
            Self::Asymmetric => system::interrupt(),
            Self::Plain => Ok(()),
            #[cfg(all(test, not(neurectomy_loom)))]
            Self::Refused => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

#[cfg(all(target_os = "linux", not(miri), not(neurectomy_loom)))]
mod system {
    use std::io;
    use std::sync::OnceLock;

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: the call takes three numbers and no pointer.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Whether this process may [`interrupt`].
    pub(super) fn register() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(|| membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
    }

    /// Every thread of this process has passed a fence between the beginning of this call and its
    /// end.
    pub(super) fn interrupt() -> io::Result<()> {
        if membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(any(not(target_os = "linux"), miri, neurectomy_loom))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn interrupt() -> std::io::Result<()> {
        Ok(())
    }
}
