//! Bulk jobs: every item once, results in order, failures, cancellation, bounds.
#![cfg(not(neurectomy_loom))]

use agent_collective::{Rejection, Runtime, Task, TaskError, TeamConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Beside its plain twin, one task per item.
#[test]
fn items_give_what_single_tasks_give() {
    let runtime = runtime(3);
    let job = |i: usize| i.wrapping_mul(0x9e37_79b9) ^ (i >> 3);
    for count in [0, 1, 2, 63, 64, 1_000] {
        let bulk = Task::bulk("any", move |i, _| job(i));
        let values = runtime.submit_bulk(count, bulk).unwrap().join().unwrap();
        let tasks = (0..count).map(|i| Task::new("any", move |_| job(i)));
        let singles = runtime.submit_all(tasks).unwrap().into_iter();
        let singles: Vec<usize> = singles.map(|handle| handle.join().unwrap()).collect();
        assert_eq!(values, singles);
    }
    let report = runtime.shutdown();
    let team = &report.teams[0];
    // The empty job counts as one task.
    assert_eq!(team.submitted, 2 * 1_130 + 1);
    assert_eq!(team.completed, 2 * 1_130);
    assert!((report.accounted_fraction - 1.0).abs() < 0.01);
}

#[test]
fn a_million_items_run_exactly_once_and_are_all_in_the_books() {
    const ITEMS: usize = 1_000_000;
    let runtime = runtime(3);
    let runs: Arc<Vec<AtomicU8>> = Arc::new((0..ITEMS).map(|_| AtomicU8::new(0)).collect());
    let counted = Arc::clone(&runs);
    let task = Task::bulk("any", move |i, _| {
        counted[i].fetch_add(1, Ordering::Relaxed);
    });
    let units = runtime.submit_bulk(ITEMS, task).unwrap().join().unwrap();
    assert_eq!(units.len(), ITEMS);
    assert!(runs.iter().all(|run| run.load(Ordering::Relaxed) == 1));
    let report = runtime.shutdown();
    assert_eq!(report.teams[0].completed, ITEMS as u64);
    assert_eq!(report.teams[0].run_latency.count, ITEMS as u64);
}

#[test]
fn a_panic_costs_one_item() {
    let runtime = runtime(2);
    let task = || {
        Task::bulk("any", |i: usize, _| {
            assert!(i % 10 != 7, "item {i}");
            i
        })
    };
    let each = runtime
        .submit_bulk(30, task())
        .unwrap()
        .join_each()
        .unwrap();
    for (i, result) in each.iter().enumerate() {
        let message = format!("item {i}");
        let expected = match i % 10 {
            7 => Err(TaskError::Panicked { message }),
            _ => Ok(i),
        };
        assert_eq!(*result, expected);
    }
    let first = runtime.submit_bulk(30, task()).unwrap().join();
    let message = "item 7".to_owned();
    assert_eq!(first, Err(TaskError::Panicked { message }));
    let report = runtime.shutdown();
    assert_eq!((report.teams[0].completed, report.teams[0].failed), (54, 6));
}

#[test]
fn cancelling_spares_what_has_not_started() {
    let runtime = runtime(2);
    let (started, wait) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(true)),
    );
    let (count, hold) = (Arc::clone(&started), Arc::clone(&wait));
    let task = Task::bulk("any", move |_, context| {
        count.fetch_add(1, Ordering::Relaxed);
        while hold.load(Ordering::Relaxed) && !context.is_cancelled() {
            std::thread::yield_now();
        }
    });
    let handle = runtime.submit_bulk(100_000, task).unwrap();
    while started.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    handle.cancel();
    let results = handle.join_each().unwrap();
    let cancelled = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(results.len(), 100_000);
    assert_eq!(cancelled + started.load(Ordering::Relaxed), 100_000);
    assert!(cancelled > 0);
    let team = &runtime.shutdown().teams[0];
    assert_eq!(
        (team.finished(), team.cancelled),
        (100_000, cancelled as u64)
    );
}

#[test]
fn a_task_may_join_a_bulk_job_on_the_only_worker() {
    let runtime = runtime(1);
    let outer = Task::new("any", |context| {
        let inner = Task::bulk("any", |i, _| i);
        let handle = context.runtime().submit_bulk(5_000, inner).unwrap();
        handle.join().unwrap().into_iter().sum::<usize>()
    });
    assert_eq!(runtime.submit(outer).unwrap().join(), Ok(4_999 * 5_000 / 2));
}

#[test]
fn a_limited_team_runs_a_bulk_job_no_wider_than_its_limit() {
    let runtime = Runtime::builder()
        .workers(3)
        .team(TeamConfig::new("one").capability("one").concurrency_max(1))
        .build()
        .unwrap();
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let task = Task::bulk("one", move |_, _| {
        seen.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(50));
        inside.fetch_sub(1, Ordering::SeqCst);
    });
    runtime.submit_bulk(200, task).unwrap().join().unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stopped_runtime_ends_bulk_jobs_and_refuses_new_ones() {
    let runtime = runtime(1);
    let task = Task::bulk("any", |_, context: &agent_collective::TaskContext<'_>| {
        while !context.is_cancelled() {
            std::thread::yield_now();
        }
    });
    let handle = runtime.submit_bulk(10_000, task).unwrap();
    let outside = runtime.handle();
    runtime.shutdown_now();
    assert_eq!(handle.join_each().unwrap().len(), 10_000);
    let rejected = outside.submit_bulk(3, Task::bulk("any", |i, _| i));
    assert_eq!(*rejected.unwrap_err().reason(), Rejection::ShuttingDown);
}

#[test]
fn a_long_bulk_job_lets_other_tasks_go_between() {
    let runtime = runtime(1);
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let task = Task::bulk("any", move |_, _| {
        std::thread::sleep(Duration::from_micros(200));
        count.fetch_add(1, Ordering::Relaxed);
    });
    let handle = runtime.submit_bulk(500, task).unwrap();
    let seen = Arc::clone(&done);
    let between = runtime
        .submit(Task::new("any", move |_| seen.load(Ordering::Relaxed)))
        .unwrap();
    assert!(between.join().unwrap() < 500);
    assert_eq!(handle.join().unwrap().len(), 500);
}
