//! Writes that are on the device when they return, by 1, 2, 8 and 64 threads, one by one and in
//! batches.

use neurectomy_bench::{BenchError, Goal, Suite};

use crate::slices::{Plan, quantiles, rows, run as run_slices};
use crate::stores::{Device, Entry, PEERS, Promise, Store, entry, open_all};

const VALUE_BYTES: usize = 1024;
const BATCH: usize = 100;

/// A run: threads, calls of each in a slice, and the ratio to the best peer that is wanted.
type Load = (usize, usize, Option<f64>);

pub(crate) fn puts(suite: &mut Suite) -> Result<(), BenchError> {
    let loads: [Load; 4] = [
        (1, 200, Some(1.1)),
        (2, 150, None),
        (8, 50, Some(2.0)),
        (64, 20, Some(3.0)),
    ];
    loads
        .into_iter()
        .try_for_each(|load| measure(suite, load, 1))
}

pub(crate) fn batches(suite: &mut Suite) -> Result<(), BenchError> {
    let loads: [Load; 2] = [(1, 30, Some(2.0)), (8, 8, Some(4.0))];
    loads
        .into_iter()
        .try_for_each(|load| measure(suite, load, BATCH))
}

fn measure(suite: &mut Suite, load: Load, batch: usize) -> Result<(), BenchError> {
    let (threads, calls, ratio) = load;
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        threads,
        rounds: suite.size(1, 7),
        calls: suite.size(2, calls),
        operations: batch,
    };
    let total = plan.rounds * plan.calls;
    let mut stores = open_all(dir.path(), Promise::Durable)?;
    let bytes = threads * total * batch * VALUE_BYTES;
    stores.push(Box::new(Device::open(dir.path(), bytes)?));
    let entries: Vec<Vec<Entry>> = (0..threads * total)
        .map(|call| {
            let first = (call * batch) as u64;
            let numbers = first..first + batch as u64;
            numbers.map(|n| entry(n, VALUE_BYTES)).collect()
        })
        .collect();
    let outcomes = run_slices(&stores, plan, &|store, thread, call| {
        store.put(&entries[thread * total + call])
    })?;
    for store in stores.iter().filter(|store| store.name() != Device::NAME) {
        check(&**store, &entries)?;
    }
    let what = if batch == 1 {
        "put".to_owned()
    } else {
        format!("batch of {batch}")
    };
    let s = if threads == 1 { "" } else { "s" };
    let measure = format!("durable {what} 1 KB, {threads} thread{s}");
    rows(suite, &measure, &outcomes, PEERS, ratio);
    let p99 = (batch == 1).then_some(Goal::OursAtMost(5.0));
    quantiles(suite, &measure, &outcomes, "fjall", p99);
    Ok(())
}

fn check(store: &dyn Store, calls: &[Vec<Entry>]) -> Result<(), BenchError> {
    let mut wrong = 0;
    for entries in calls {
        let keys: Vec<[u8; 16]> = entries
            .iter()
            .filter_map(|(key, _)| key.as_slice().try_into().ok())
            .collect();
        let mut expected = entries.iter();
        store.get(&keys, &mut |found| {
            let equal = expected
                .next()
                .is_some_and(|entry| found == Some(&entry.1[..]));
            wrong += usize::from(!equal);
        })?;
    }
    if wrong > 0 {
        return Err(format!("{}: {wrong} values are not those put", store.name()).into());
    }
    Ok(())
}
