//! Group commit: one waiting writer syncs for all that wait.
//!
//! States: `durable` only grows; at most one leader is syncing. A waiter whose sequence number is
//! durable returns; otherwise, if nobody syncs, it becomes the leader, else it sleeps. The leader
//! snapshots what has been written *before* it syncs, so its result covers every writer that had
//! appended by then; those that came later find no leader and elect one among themselves.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::VaultError;

#[derive(Debug, Default)]
struct State {
    durable: u64,
    syncing: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Commit {
    state: Mutex<State>,
    finished: Condvar,
}

impl Commit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that everything up to `sequence` is durable and wakes those who wait for it.
    pub(crate) fn publish(&self, sequence: u64) {
        let mut state = self.state();
        if sequence > state.durable {
            state.durable = sequence;
            self.finished.notify_all();
        }
    }

    /// Returns once `sequence` is durable, by this thread's `sync` or another's. `sync` returns the
    /// sequence number up to which it made everything durable; it must fail once a sync has failed.
    pub(crate) fn wait(
        &self,
        sequence: u64,
        mut sync: impl FnMut() -> Result<u64, VaultError>,
    ) -> Result<(), VaultError> {
        let mut state = self.state();
        while state.durable < sequence {
            if state.syncing {
                state = self
                    .finished
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            drop(state);
            let result = sync();
            state = self.state();
            state.syncing = false;
            if let Ok(durable) = result {
                state.durable = state.durable.max(durable);
            }
            self.finished.notify_all();
            result?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn many_waiters_share_syncs_and_none_returns_early() {
        const THREADS: u64 = 4;
        const EACH: u64 = 200;
        let commit = Commit::default();
        let written = AtomicU64::new(0);
        let synced = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                        commit
                            .wait(mine, || {
                                let upto = written.load(Ordering::SeqCst);
                                synced.fetch_max(upto, Ordering::SeqCst);
                                Ok(upto)
                            })
                            .unwrap();
                        assert!(synced.load(Ordering::SeqCst) >= mine);
                    }
                });
            }
        });
        assert_eq!(commit.state().durable, THREADS * EACH);
    }

    #[test]
    fn a_failed_sync_reaches_the_caller_and_frees_the_lead() {
        let commit = Commit::default();
        let fail = || {
            Err(VaultError::Poisoned {
                file: "f".into(),
                reason: "r".into(),
            })
        };
        assert!(commit.wait(1, fail).is_err());
        commit.wait(1, || Ok(1)).unwrap();
        commit.wait(1, || unreachable!("already durable")).unwrap();
    }
}
