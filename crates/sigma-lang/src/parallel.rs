//! Runs independent items on at most a given number of rayon workers, results in item order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::SigmaError;

/// Applies `work` to every item on at most `threads` threads of the current rayon pool (on the
/// calling thread alone if `threads` is 1). `states` keeps one reusable state per worker; missing
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
    let workers = threads.min(items.len()).max(1);
    while states.len() < workers {
        states.push(make()?);
    }
    if workers == 1 {
        let Some(state) = states.first_mut() else {
            return Ok(Vec::new());
        };
        return items.into_iter().map(|item| work(state, item)).collect();
    }
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(count));
    let (queue_ref, results_ref, work_ref) = (&queue, &results, &work);
    rayon::scope(|scope| {
        for state in states.iter_mut().take(workers) {
            scope.spawn(move |_| {
                loop {
                    let Some((index, item)) = lock(queue_ref).next() else {
                        return;
                    };
                    let result = work_ref(state, item);
                    lock(results_ref).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
