//! Submitting, joining, priorities, bounds.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    CancelToken, CollectiveError, Priority, Rejection, Runtime, Task, TaskError, TeamConfig,
};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A runtime with one worker that is held inside a task until the sender is used or dropped.
fn held(builder: agent_collective::RuntimeBuilder) -> (Runtime, std::sync::mpsc::Sender<()>) {
    let runtime = builder.workers(1).build().unwrap();
    let (started, is_started) = channel();
    let (release, released) = channel::<()>();
    let holder = Task::new("any", move |_| {
        started.send(()).unwrap();
        let _ = released.recv();
    });
    runtime.submit(holder).unwrap().detach();
    is_started.recv().unwrap();
    (runtime, release)
}

#[test]
fn a_million_tasks_run_exactly_once() {
    run_exactly_once(1_000_000);
}

/// `cargo test -p agent-collective --test pool --release -- --ignored a_hundred_million`
#[test]
#[ignore = "takes a minute and 100 MB; the command is in the comment"]
fn a_hundred_million_tasks_run_exactly_once() {
    run_exactly_once(100_000_000);
}

/// Half with a handle that is dropped, half without.
fn run_exactly_once(tasks: usize) {
    const THREADS: usize = 2;
    let runtime = Runtime::builder()
        .workers(3)
        .queue_capacity(4096)
        .build()
        .unwrap();
    let runs: Arc<Vec<AtomicU8>> = Arc::new((0..tasks).map(|_| AtomicU8::new(0)).collect());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, runs) = (runtime.handle(), Arc::clone(&runs));
            scope.spawn(move || {
                for index in (thread..tasks).step_by(THREADS) {
                    let runs = Arc::clone(&runs);
                    let task = Task::new("count", move |_| {
                        runs[index].fetch_add(1, Ordering::Relaxed);
                    });
                    if index % 4 < 2 {
                        handle.submit(task).unwrap().detach();
                    } else {
                        handle.spawn(task).unwrap();
                    }
                }
            });
        }
    });
    let report = runtime.shutdown();
    assert_eq!(
        runs.iter()
            .filter(|run| run.load(Ordering::Relaxed) != 1)
            .count(),
        0
    );
    assert_eq!(report.teams[0].completed, tasks as u64);
    assert_eq!(report.teams[0].queued_latency.count, tasks as u64);
    assert!(
        report.queue_depth_max <= 4096,
        "{} were queued",
        report.queue_depth_max
    );
}

#[test]
fn a_panic_costs_one_task() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handles: Vec<_> = (0..100)
        .map(|i| {
            let task = Task::new(
                "any",
                move |_| if i % 10 == 3 { panic!("task {i}") } else { i },
            );
            runtime.submit(task).unwrap()
        })
        .collect();
    for (i, handle) in handles.into_iter().enumerate() {
        let expected = if i % 10 == 3 {
            Err(TaskError::Panicked {
                message: format!("task {i}"),
            })
        } else {
            Ok(i)
        };
        assert_eq!(handle.join(), expected);
    }
    let team = &runtime.report().teams[0];
    assert_eq!(
        (team.completed, team.failed, team.finished()),
        (90, 10, 100)
    );
}

#[test]
fn a_panicking_destructor_does_not_harm_the_worker() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("bomb");
            }
        }
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.submit(Task::new("any", |_| Bomb)).unwrap().detach();
    let bomb = Bomb;
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let task = Task::new("any", move |_| drop(bomb)).cancel_token(&cancelled);
    assert_eq!(
        runtime.submit(task).unwrap().join(),
        Err(TaskError::Cancelled)
    );
    let payload = Task::new("any", |_| std::panic::panic_any(Bomb));
    let error = runtime.submit(payload).unwrap().join().unwrap_err();
    assert_eq!(
        error.to_string(),
        "task panicked: the panic carried no text"
    );
    assert_eq!(
        runtime.submit(Task::new("any", |_| 5)).unwrap().join(),
        Ok(5)
    );
}

#[test]
fn a_full_queue_rejects_and_gives_the_task_back() {
    let (runtime, release) = held(Runtime::builder().queue_capacity(3));
    let ran = Arc::new(AtomicUsize::new(0));
    let count = |ran: &Arc<AtomicUsize>| {
        let ran = Arc::clone(ran);
        Task::new("any", move |_| ran.fetch_add(1, Ordering::Relaxed))
    };
    for _ in 0..3 {
        runtime.try_submit(count(&ran)).unwrap().detach();
    }
    let rejected = runtime.try_submit(count(&ran)).unwrap_err();
    assert_eq!(
        rejected.reason(),
        &Rejection::QueueFull {
            depth: 3,
            capacity: 3
        }
    );
    assert_eq!(runtime.queue_depth(), 3);
    assert_eq!(runtime.report().teams[0].rejected, 1);
    drop(release);
    runtime
        .submit(rejected.into_inner())
        .unwrap()
        .join()
        .unwrap();
    let report = runtime.shutdown();
    assert_eq!(ran.load(Ordering::Relaxed), 4);
    assert_eq!(report.queue_depth_max, 3);
}

#[test]
fn overload_never_passes_the_capacity() {
    let runtime = Runtime::builder()
        .workers(2)
        .queue_capacity(32)
        .build()
        .unwrap();
    let (accepted, rejected) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    match runtime.try_submit(Task::new("any", |_| std::hint::spin_loop())) {
                        Ok(handle) => {
                            handle.detach();
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(full) => {
                            let capacity = 32;
                            assert!(
                                matches!(
                                    full.reason(),
                                    Rejection::QueueFull { .. } | Rejection::TeamFull { .. }
                                ),
                                "{full} at {capacity}"
                            );
                            rejected.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    assert!(runtime.queue_depth() <= 32);
                }
            });
        }
    });
    let report = runtime.shutdown();
    assert_eq!(accepted.into_inner() as u64, report.teams[0].completed);
    assert_eq!(rejected.into_inner() as u64, report.teams[0].rejected);
    assert!(report.queue_depth_max <= 32);
}

#[test]
fn blocking_submitters_all_get_in() {
    let runtime = Runtime::builder()
        .workers(2)
        .queue_capacity(2)
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for i in 0..2_000usize {
                    let handle = runtime.submit(Task::new("any", move |_| i)).unwrap();
                    if i % 100 == 0 {
                        assert_eq!(handle.join(), Ok(i));
                    }
                }
            });
        }
    });
    let report = runtime.shutdown();
    assert_eq!(report.teams[0].completed, 12_000);
    assert!(report.queue_depth_max <= 2);
}

#[test]
fn high_before_normal_before_low() {
    let (runtime, release) = held(Runtime::builder());
    let order = Arc::new(Mutex::new(Vec::new()));
    for (name, priority) in [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
    ] {
        for _ in 0..2 {
            let order = Arc::clone(&order);
            let task = Task::new("any", move |_| order.lock().unwrap().push(name));
            runtime.submit(task.priority(priority)).unwrap().detach();
        }
    }
    drop(release);
    runtime.shutdown();
    assert_eq!(
        *order.lock().unwrap(),
        ["high", "high", "normal", "normal", "low", "low"]
    );
}

#[test]
fn low_priority_is_late_but_not_starved() {
    let (runtime, release) = held(Runtime::builder());
    let low = runtime
        .submit(Task::new("any", |_| ()).priority(Priority::Low))
        .unwrap();
    let mut normal = Vec::new();
    for _ in 0..200 {
        normal.push(runtime.submit(Task::new("any", |_| ())).unwrap());
    }
    let seen = Task::new("any", move |_| low.is_finished());
    let seen = runtime.submit(seen).unwrap();
    drop(release);
    assert_eq!(
        seen.join(),
        Ok(true),
        "200 tasks ran and the low one did not"
    );
}

#[test]
fn bulk_submission_keeps_order_and_runs_everything() {
    let runtime = Runtime::builder()
        .workers(2)
        .queue_capacity(16)
        .build()
        .unwrap();
    let handles = runtime
        .submit_all((0..500).map(|i| Task::new("any", move |_| i * 2)))
        .unwrap();
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join(), Ok(i * 2));
    }
    let none = runtime.submit_all(Vec::<Task<fn(&agent_collective::TaskContext<'_>)>>::new());
    assert!(none.unwrap().is_empty());
}

#[test]
fn bulk_submission_says_what_was_not_accepted() {
    let runtime = Runtime::builder()
        .workers(1)
        .team(TeamConfig::new("a").capability("a"))
        .build()
        .unwrap();
    let names = ["a", "a", "b", "a"];
    let tasks = names
        .iter()
        .enumerate()
        .map(|(i, &name)| Task::new(name, move |_| i));
    let bulk = runtime.submit_all(tasks).unwrap_err();
    assert_eq!(
        bulk.rejected.reason(),
        &Rejection::NoTeam {
            capability: "b".into()
        }
    );
    assert_eq!(
        bulk.to_string(),
        "bulk submit: 2 tasks accepted, 2 not: submit: no team has the capability `b`"
    );
    assert_eq!((bulk.accepted.len(), bulk.rest.len()), (2, 1));
    for (i, handle) in bulk.accepted.into_iter().enumerate() {
        assert_eq!(handle.join(), Ok(i));
    }
}

#[test]
fn affinity_is_only_a_hint() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (held_worker, is_held) = channel();
    let (release, released) = channel::<()>();
    let holder = Task::new("any", move |context| {
        held_worker.send(context.worker_index()).unwrap();
        let _ = released.recv();
    });
    runtime.submit(holder).unwrap().detach();
    let busy = is_held.recv().unwrap();
    for key in 0..50 {
        let task = Task::new("any", |context| context.worker_index()).affinity(key);
        assert_ne!(runtime.submit(task).unwrap().join().unwrap(), busy);
    }
    drop(release);
}

#[test]
fn an_old_queue_turns_new_tasks_away() {
    let limit = Duration::from_millis(5);
    let (runtime, release) = held(Runtime::builder().queue_age_max(limit));
    let (go_on, may_go_on) = channel::<()>();
    let (started, is_started) = channel();
    let aged = Task::new("any", move |_| {
        started.send(()).unwrap();
        let _ = may_go_on.recv();
    });
    runtime.submit(aged).unwrap().detach();
    std::thread::sleep(2 * limit);
    drop(release);
    is_started.recv().unwrap();
    // The queue is empty, so the wait of the last one does not count.
    runtime.submit(Task::new("any", |_| ())).unwrap().detach();
    let rejected = runtime.submit(Task::new("any", |_| ())).unwrap_err();
    match rejected.reason() {
        Rejection::AgeExceeded { age, age_max } => assert!(age > age_max && *age_max == limit),
        other => panic!("{other}"),
    }
    drop(go_on);
}

#[test]
fn zero_workers_and_zero_capacity_are_typed_errors() {
    for builder in [
        Runtime::builder().workers(0),
        Runtime::builder().queue_capacity(0),
    ] {
        assert!(matches!(
            builder.build(),
            Err(CollectiveError::InvalidConfig { .. })
        ));
    }
}
