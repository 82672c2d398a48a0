//! The targets that the project was begun with: absolute figures, no peer beside them.

use hdrhistogram::Histogram;
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Goal, Row, Suite};

use crate::slices::{Plan, run as run_slices};
use crate::stores::{Ours, Promise, Store, entry, key};

pub(crate) fn run(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(300, 100_000);
    writes(suite, Promise::Durable, 64, suite.size(2, 20), None)?;
    let goal = Some(Goal::OursAtLeast(100_000.0));
    writes(suite, Promise::Written, 8, suite.size(10, 2000), goal)?;
    let dir = tempfile::tempdir()?;
    let ours = Ours::open(dir.path(), Promise::Written)?;
    for number in 0..keys as u64 {
        ours.put(&[entry(number, 1024)])?;
    }
    let stores: [Box<dyn Store>; 1] = [Box::new(ours)];
    for (what, hot) in [("any", false), ("a hot", true)] {
        let plan = Plan {
            threads: 2,
            rounds: suite.size(1, 5),
            calls: suite.size(10, 50_000),
            operations: 1,
        };
        let outcomes = run_slices(&stores, plan, &|store, thread, call| {
            let mut seeded = SplitMix64::new((thread * 10_000_000 + call) as u64);
            let chosen = if hot { 7 } else { seeded.below(keys) };
            let mut found = false;
            store.get(&[key(chosen as u64)], &mut |value| {
                found = std::hint::black_box(value).is_some();
            })?;
            if found {
                Ok(())
            } else {
                Err("a key was not found".into())
            }
        })?;
        for outcome in &outcomes {
            let measure = format!("get of {what} key, 1 KB, 2 threads");
            let goal = Goal::OursAtLeast(1_000_000.0);
            suite.record(Row::new(&measure, "op/s", outcome.rate).goal(goal));
            let (p50, p99) = if hot { (1.0, 5000.0) } else { (5000.0, 5000.0) };
            quantiles(suite, &measure, &outcome.latency_ns, p50, p99);
        }
    }
    Ok(())
}

fn writes(
    suite: &mut Suite,
    promise: Promise,
    threads: usize,
    calls: usize,
    goal: Option<Goal>,
) -> Result<(), BenchError> {
    let dir = tempfile::tempdir()?;
    let stores: [Box<dyn Store>; 1] = [Box::new(Ours::open(dir.path(), promise)?)];
    let plan = Plan {
        threads,
        rounds: suite.size(1, 5),
        calls,
        operations: 1,
    };
    let total = plan.rounds * calls;
    let outcomes = run_slices(&stores, plan, &|store, thread, call| {
        store.put(&[entry((thread * total + call) as u64, 1024)])
    })?;
    let what = if promise == Promise::Durable {
        "durable"
    } else {
        "written"
    };
    for outcome in &outcomes {
        let measure = format!("put 1 KB, {what}, {threads} threads");
        let row = Row::new(&measure, "op/s", outcome.rate);
        suite.record(match goal {
            Some(goal) => row.goal(goal),
            None => row,
        });
        quantiles(suite, &measure, &outcome.latency_ns, 10_000.0, 10_000.0);
    }
    let depth = Row::new(&format!("calls under way, {what}"), "calls", threads as f64);
    suite.record(depth.goal(Goal::OursAtMost(100.0)));
    Ok(())
}

/// In microseconds, with the most that the median and the 99th percentile may be.
fn quantiles(suite: &mut Suite, measure: &str, ns: &Histogram<u64>, p50: f64, p99: f64) {
    for (name, q, goal) in [
        ("p50", 0.5, Some(p50)),
        ("p99", 0.99, Some(p99)),
        ("p999", 0.999, None),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call")]
        let us = ns.value_at_quantile(q) as f64 / 1e3;
        let row = Row::new(&format!("{measure}, {name}"), "us", us);
        suite.record(match goal {
            Some(goal) => row.goal(Goal::OursAtMost(goal)),
            None => row,
        });
    }
}
