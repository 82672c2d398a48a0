//! Writes that are on the device when they return, by 1, 8 and 64 threads, one by one and in
//! batches.

use neurectomy_bench::{BenchError, Goal, Suite};

use crate::slices::{Plan, quantiles, rows, run as run_slices};
use crate::stores::{Entry, Promise, Store, entry, open_all};

const VALUE_BYTES: usize = 1024;
const BATCH: usize = 100;

pub(crate) fn run(suite: &mut Suite) -> Result<(), BenchError> {
    for (threads, batch, calls, ratio) in [
        (1, 1, 200, 1.1),
        (8, 1, 50, 2.0),
        (64, 1, 20, 3.0),
        (1, BATCH, 30, 2.0),
        (8, BATCH, 8, 4.0),
    ] {
        let dir = tempfile::tempdir()?;
        let stores = open_all(dir.path(), Promise::Durable)?;
        let plan = Plan {
            threads,
            rounds: suite.size(1, 7),
            calls: suite.size(2, calls),
            operations: batch,
        };
        let total = plan.rounds * plan.calls;
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
        for store in &stores {
            check(&**store, &entries)?;
        }
        let what = if batch == 1 {
            "put".to_owned()
        } else {
            format!("batch of {batch}")
        };
        let s = if threads == 1 { "" } else { "s" };
        let measure = format!("durable {what} 1 KB, {threads} thread{s}");
        rows(suite, &measure, &outcomes, &[], Some(ratio));
        let p99 = (batch == 1).then_some(Goal::OursAtMost(5.0));
        quantiles(suite, &measure, &outcomes, "fjall", p99);
    }
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
