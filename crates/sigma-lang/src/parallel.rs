//! Runs independent items on at most a given number of rayon workers, results in item order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::SigmaError;

/// Applies `work` to every item on at most `threads` threads: the calling one, and others of the current
/// rayon pool. `states` keeps one reusable state per worker; missing
/// ones are made by `make`. Which worker takes which item is left open, so `work` must not let its
/// state show in the result. The error of the first failing item is returned.
pub(crate) fn map<T, S, R>(
    items: Vec<T>,
    threads: usize,
    states: &mut Vec<S>,
    make: impl Fn() -> Result<S, SigmaError> + Sync,
    work: impl Fn(&mut S, T) -> Result<R, SigmaError> + Sync,
) -> Result<Vec<R>, SigmaError>
where
    T: Send,
    S: Send,
    R: Send,
{
    let mut results = Vec::with_capacity(items.len());
    let work = |state: &mut S, item, _: &mut Vec<u8>| work(state, item);
    let sink = |result, _: &[u8]| {
        results.push(result);
        Ok(())
    };
    in_order(items, threads, states, &mut Vec::new(), make, work, sink)?;
    Ok(results)
}

/// Applies `work` as [`map`] does, with a room for what it makes, and gives `sink` the results in item order as
/// soon as they are there: who finishes the next one hands it on, while the others work. `rooms` keeps rooms
/// that are used again. After an error nothing more is given to `sink`.
pub(crate) fn in_order<T, S, R>(
    items: Vec<T>,
    threads: usize,
    states: &mut Vec<S>,
    rooms: &mut Vec<Vec<u8>>,
    make: impl Fn() -> Result<S, SigmaError> + Sync,
    work: impl Fn(&mut S, T, &mut Vec<u8>) -> Result<R, SigmaError> + Sync,
    sink: impl FnMut(R, &[u8]) -> Result<(), SigmaError> + Send,
) -> Result<(), SigmaError>
where
    T: Send,
    S: Send,
    R: Send,
{
    let workers = threads.min(items.len()).max(1);
    while states.len() < workers {
        states.push(make()?);
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let turns = Mutex::new(Turns {
        next: 0,
        waiting: BTreeMap::new(),
        rooms: std::mem::take(rooms),
        sink,
        failed: None,
    });
    let (queue_ref, turns_ref, work_ref) = (&queue, &turns, &work);
    let run = |state: &mut S| {
        let mut room = lock(turns_ref).rooms.pop().unwrap_or_default();
        loop {
            let Some((index, item)) = lock(queue_ref).next() else {
                return;
            };
            room.clear();
            let result = work_ref(state, item, &mut room);
            match lock(turns_ref).hand_on(index, result, room) {
                Some(next_room) => room = next_room,
                None => return,
            }
        }
    };
    if workers == 1 {
        states.first_mut().into_iter().for_each(run);
    } else {
        let run = &run;
        let mut states = states.iter_mut().take(workers);
        let own = states.next();
        // The calling thread begins at once, while the others wake up.
        rayon::in_place_scope(|scope| {
            for state in states {
                scope.spawn(move |_| run(state));
            }
            own.into_iter().for_each(run);
        });
    }
    let turns = turns.into_inner().unwrap_or_else(PoisonError::into_inner);
    *rooms = turns.rooms;
    turns.failed.map_or(Ok(()), Err)
}

/// Results that wait for those before them.
struct Turns<R, K> {
    next: usize,
    waiting: BTreeMap<usize, (Result<R, SigmaError>, Vec<u8>)>,
    rooms: Vec<Vec<u8>>,
    sink: K,
    failed: Option<SigmaError>,
}

impl<R, K: FnMut(R, &[u8]) -> Result<(), SigmaError>> Turns<R, K> {
    /// Takes a result, and gives a room for the next, or nothing if there was an error.
    fn hand_on(
        &mut self,
        index: usize,
        result: Result<R, SigmaError>,
        room: Vec<u8>,
    ) -> Option<Vec<u8>> {
        self.waiting.insert(index, (result, room));
        while let Some((result, room)) = self.waiting.remove(&self.next) {
            self.next += 1;
            let done = result.and_then(|result| (self.sink)(result, &room));
            self.rooms.push(room);
            if let Err(error) = done {
                // What comes behind has no turn any more.
                self.next = usize::MAX;
                self.failed = Some(error);
            }
        }
        let failed = self.failed.is_some();
        (!failed).then(|| self.rooms.pop().unwrap_or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_handed_on_in_order_up_to_the_first_error() {
        for threads in [1, 2, 4] {
            for failing in [None, Some(0), Some(7), Some(99)] {
                let (mut states, mut rooms) = (Vec::new(), Vec::new());
                let mut seen = Vec::new();
                let work = |_: &mut (), n: u8, room: &mut Vec<u8>| {
                    assert!(room.is_empty());
                    if failing == Some(n) {
                        return Err(SigmaError::NotSigma { offset: n.into() });
                    }
                    room.resize(usize::from(n), n);
                    Ok(n)
                };
                let sink = |n: u8, room: &[u8]| {
                    assert_eq!(room, vec![n; usize::from(n)]);
                    seen.push(n);
                    Ok(())
                };
                let make = || Ok(());
                let items = (0..100).collect();
                let done = in_order(items, threads, &mut states, &mut rooms, make, work, sink);
                match failing {
                    None => assert!(done.is_ok()),
                    Some(n) => {
                        let expected = u64::from(n);
                        let is_first = matches!(done, Err(SigmaError::NotSigma { offset }) if offset == expected);
                        assert!(is_first);
                    }
                }
                assert_eq!(seen, (0..failing.unwrap_or(100)).collect::<Vec<u8>>());
            }
        }
    }

    #[test]
    fn keeps_item_order_and_first_error() {
        for threads in [1, 2, 4] {
            let mut states = Vec::new();
            let items: Vec<u64> = (0..100).collect();
            let squares = map(
                items.clone(),
                threads,
                &mut states,
                || Ok(()),
                |_, n| Ok(n * n),
            );
            assert_eq!(
                squares.unwrap(),
                items.iter().map(|n| n * n).collect::<Vec<_>>()
            );
            let failed = map(
                items,
                threads,
                &mut states,
                || Ok(()),
                |_, n| {
                    if n % 40 == 39 {
                        Err(SigmaError::NotSigma { offset: n })
                    } else {
                        Ok(n)
                    }
                },
            );
            assert!(matches!(failed, Err(SigmaError::NotSigma { offset: 39 })));
        }
    }
}
