//! A list of wakers with keys, so that a waiter can renew or withdraw its own entry.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// First come, first woken. A waiter keeps its key and passes it back to renew its waker, so
/// polling often does not grow the list.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next_key: u64,
    list: VecDeque<(u64, Waker)>,
}

impl Waiters {
    /// Adds `waker`, or renews the entry under `key` if that is still listed.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let listed = key.and_then(|key| self.list.iter_mut().find(|(k, _)| *k == key));
        if let Some((_, stored)) = listed {
            stored.clone_from(waker);
            return;
        }
        self.next_key += 1;
        self.list.push_back((self.next_key, waker.clone()));
        *key = Some(self.next_key);
    }

    /// Withdraws an entry; false if it was already taken out to be woken.
    pub(crate) fn remove(&mut self, key: u64) -> bool {
        let at = self.list.iter().position(|(k, _)| *k == key);
        at.is_some_and(|at| self.list.remove(at).is_some())
    }

    pub(crate) fn pop(&mut self) -> Option<Waker> {
        self.list.pop_front().map(|(_, waker)| waker)
    }

    pub(crate) fn take_all(&mut self) -> VecDeque<(u64, Waker)> {
        std::mem::take(&mut self.list)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

/// Wakes every waker of a list taken by [`Waiters::take_all`].
pub(crate) fn wake_all(list: VecDeque<(u64, Waker)>) {
    for (_, waker) in list {
        wake(waker);
    }
}

/// Wakes one. A waker is an executor's code: if it panics, the panic ends here, because whoever
/// wakes has other waiters to serve and books to keep.
pub(crate) fn wake(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_waiter_keeps_one_entry_and_a_woken_one_is_gone() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (None, None);
        for _ in 0..3 {
            waiters.register(&mut first, Waker::noop());
        }
        waiters.register(&mut second, Waker::noop());
        assert_eq!(waiters.len(), 2);
        assert!(waiters.pop().is_some());
        assert!(!waiters.remove(first.unwrap()));
        assert!(waiters.remove(second.unwrap()));
        assert_eq!(waiters.len(), 0);
    }
}
