//! Cancellation, deadlines, shutdown, teams.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    CancelToken, CollectiveError, Interruption, Rejection, Runtime, Task, TaskError, TeamConfig,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Occupies one worker until the sender is dropped.
fn hold(runtime: &Runtime) -> Sender<()> {
    let (started, is_started) = channel();
    let (release, released) = channel::<()>();
    let holder = Task::new("any", move |_| {
        started.send(()).unwrap();
        let _ = released.recv();
    });
    runtime.submit(holder).unwrap().detach();
    is_started.recv().unwrap();
    release
}

fn one_worker() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

#[test]
fn a_queued_task_that_is_cancelled_never_runs() {
    let runtime = one_worker();
    let release = hold(&runtime);
    let ran = Arc::new(AtomicBool::new(false));
    let run = |ran: &Arc<AtomicBool>| {
        let ran = Arc::clone(ran);
        Task::new("any", move |_| ran.store(true, Ordering::Relaxed))
    };
    let by_handle = runtime.submit(run(&ran)).unwrap();
    by_handle.cancel();
    assert!(by_handle.is_finished());
    assert_eq!(by_handle.join(), Err(TaskError::Cancelled));
    let token = CancelToken::new();
    let by_token = runtime
        .submit(run(&ran).cancel_token(&token.child()))
        .unwrap();
    token.cancel();
    drop(release);
    assert_eq!(by_token.join(), Err(TaskError::Cancelled));
    let report = runtime.shutdown();
    assert!(!ran.load(Ordering::Relaxed));
    assert_eq!(
        (report.teams[0].cancelled, report.teams[0].completed),
        (2, 1)
    );
}

#[test]
fn a_running_task_sees_its_cancellation() {
    let runtime = one_worker();
    let (started, is_started) = channel();
    let asks = started.clone();
    let polite = runtime
        .submit(Task::new("any", move |context| {
            asks.send(()).unwrap();
            while !context.is_cancelled() {
                std::thread::yield_now();
            }
            (context.interruption(), 5)
        }))
        .unwrap();
    is_started.recv().unwrap();
    polite.cancel();
    assert_eq!(polite.join(), Ok((Some(Interruption::Cancelled), 5)));

    let token = CancelToken::new();
    let endless = Task::new("any", move |context| {
        started.send(()).unwrap();
        loop {
            context.checkpoint();
            std::thread::yield_now();
        }
    });
    let endless: agent_collective::JoinHandle<()> =
        runtime.submit(endless.cancel_token(&token)).unwrap();
    is_started.recv().unwrap();
    token.cancel();
    assert_eq!(endless.join(), Err(TaskError::Cancelled));
    assert_eq!(runtime.shutdown().teams[0].cancelled, 1);
}

#[test]
fn a_task_past_its_deadline_does_not_start() {
    let runtime = one_worker();
    let release = hold(&runtime);
    let late = Task::new("any", |_| ()).deadline(Duration::from_nanos(1));
    let late = runtime.submit(late).unwrap();
    let in_time = runtime.submit(
        Task::new("any", |context| {
            assert!(context.deadline_left().unwrap() > Duration::from_secs(100));
        })
        .deadline(Duration::from_secs(1_000)),
    );
    drop(release);
    match late.join() {
        Err(TaskError::DeadlineExceeded { late }) => assert!(late > Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!(in_time.unwrap().join(), Ok(()));
    assert_eq!(runtime.shutdown().teams[0].expired, 1);
}

#[test]
fn an_endless_task_past_its_deadline_is_told_and_reported() {
    let runtime = one_worker();
    let (overdue, is_overdue) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let endless = Task::new("any", move |context| {
        while !context.is_cancelled() {
            std::thread::yield_now();
        }
        assert_eq!(context.deadline_left(), Some(Duration::ZERO));
        overdue.send(()).unwrap();
        let _ = may_go_on.recv();
        context.checkpoint();
    });
    // Long enough to start within it on a busy machine.
    let endless = runtime
        .submit(endless.deadline(Duration::from_millis(200)))
        .unwrap();
    is_overdue.recv().unwrap();
    assert_eq!(runtime.report().teams[0].overdue_running, 1);
    drop(go_on);
    assert!(matches!(
        endless.join(),
        Err(TaskError::DeadlineExceeded { .. })
    ));
    let team = &runtime.shutdown().teams[0];
    assert_eq!(
        (team.overdue, team.overdue_running, team.expired),
        (1, 0, 1)
    );
}

#[test]
fn shutdown_finishes_what_was_accepted_and_what_it_delegates() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let release = hold(&runtime);
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let ran = Arc::clone(&ran);
        let parent = Task::new("any", move |context| {
            let child = Task::new("any", move |_| ran.fetch_add(1, Ordering::Relaxed));
            context.runtime().submit(child).unwrap().detach();
        });
        runtime.submit(parent).unwrap().detach();
    }
    let draining = std::thread::spawn(move || runtime.shutdown());
    while !handle.is_shutting_down() {
        std::thread::yield_now();
    }
    let rejected = handle.submit(Task::new("any", |_| ())).unwrap_err();
    assert_eq!(rejected.reason(), &Rejection::ShuttingDown);
    assert_eq!(rejected.to_string(), "submit: the runtime is shutting down");
    drop(release);
    let report = draining.join().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 50);
    assert_eq!(report.teams[0].completed, 101);
    assert_eq!(handle.report().wall, report.wall);
}

#[test]
fn shutdown_now_cancels_what_is_queued_and_tells_what_runs() {
    let runtime = one_worker();
    let (started, is_started) = channel();
    let running = runtime.submit(Task::new("any", move |context| {
        started.send(()).unwrap();
        while !context.is_cancelled() {
            std::thread::yield_now();
        }
        context
            .runtime()
            .submit(Task::new("any", |_| ()))
            .unwrap_err()
            .into_parts()
            .0
    }));
    is_started.recv().unwrap();
    let queued: Vec<_> = (0..20)
        .map(|_| runtime.submit(Task::new("any", |_| ())).unwrap())
        .collect();
    let report = runtime.shutdown_now();
    assert_eq!(running.unwrap().join(), Ok(Rejection::ShuttingDown));
    for handle in queued {
        assert_eq!(handle.join(), Err(TaskError::Cancelled));
    }
    assert_eq!(
        (report.teams[0].completed, report.teams[0].cancelled),
        (1, 20)
    );
    assert_eq!(report.teams[0].submitted, report.teams[0].finished());
}

#[test]
fn a_shutdown_with_a_timeout_does_not_wait_for_an_endless_task() {
    let runtime = one_worker();
    let release = hold(&runtime);
    let queued = runtime.submit(Task::new("any", |_| ())).unwrap();
    match runtime.shutdown_timeout(Duration::from_millis(5)) {
        Err(error @ CollectiveError::ShutdownTimedOut { pending, waited }) => {
            assert_eq!((pending, waited), (2, Duration::from_millis(5)));
            assert_eq!(
                error.to_string(),
                "shut down: 2 tasks unfinished after 5ms, they were told to stop"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(queued.join(), Err(TaskError::Cancelled));
    drop(release);

    let runtime = one_worker();
    let done = runtime.submit(Task::new("any", |_| 1)).unwrap();
    assert!(runtime.shutdown_timeout(Duration::from_secs(1_000)).is_ok());
    assert_eq!(done.join(), Ok(1));
}

#[test]
fn dropping_the_runtime_drains_and_dropping_a_handle_detaches() {
    let ran = Arc::new(AtomicUsize::new(0));
    let runtime = one_worker();
    for _ in 0..10 {
        let ran = Arc::clone(&ran);
        drop(runtime.submit(Task::new("any", move |_| {
            ran.fetch_add(1, Ordering::Relaxed)
        })));
    }
    drop(runtime);
    assert_eq!(ran.load(Ordering::Relaxed), 10);
}

#[test]
fn a_runtime_may_be_dropped_by_its_own_task() {
    let runtime = one_worker();
    let handle = runtime.handle();
    let (give, take) = channel::<Runtime>();
    let (done, is_done) = channel();
    handle
        .submit(Task::new("any", move |_| drop(take.recv())))
        .unwrap()
        .detach();
    handle
        .submit(Task::new("any", move |_| done.send(()).unwrap()))
        .unwrap()
        .detach();
    give.send(runtime).unwrap();
    is_done.recv().unwrap();
}

#[test]
fn blocked_submitters_learn_of_a_shutdown() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let release = hold(&runtime);
    runtime.submit(Task::new("any", |_| ())).unwrap().detach();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let handle = runtime.handle();
            std::thread::spawn(move || {
                let rejected = handle.submit(Task::new("any", |_| ())).err();
                rejected.map(|rejected| rejected.into_parts().0)
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(20));
    let stopping = std::thread::spawn(move || runtime.shutdown_now());
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), Some(Rejection::ShuttingDown));
    }
    drop(release);
    stopping.join().unwrap();
}

#[test]
fn tasks_go_to_a_team_with_the_capability() {
    let runtime = Runtime::builder()
        .workers(2)
        .team(
            TeamConfig::new("zip")
                .capability("compress")
                .capability("expand"),
        )
        .team(TeamConfig::new("store").capability("write"))
        .team(TeamConfig::new("rest").any_capability())
        .build()
        .unwrap();
    let team_of = |capability: &'static str| {
        let task = Task::new(capability, |context| context.team().to_owned());
        runtime.submit(task).unwrap().join().unwrap()
    };
    assert_eq!(team_of("compress"), "zip");
    assert_eq!(team_of("expand"), "zip");
    assert_eq!(team_of("write"), "store");
    assert_eq!(team_of("dream"), "rest");
    let write = runtime.capability("write").unwrap();
    let task = Task::new(&write, |context| context.team().to_owned());
    assert_eq!(runtime.submit(task).unwrap().join().unwrap(), "store");
    let other = Runtime::builder().workers(1).build().unwrap();
    let foreign = other.try_submit(Task::new(&write, |_| ())).unwrap_err();
    assert_eq!(foreign.reason(), &Rejection::ForeignCapability);
}

#[test]
fn an_unknown_capability_is_rejected() {
    let team = TeamConfig::new("zip").capability("compress");
    let runtime = Runtime::builder().workers(1).team(team).build().unwrap();
    let rejected = runtime.submit(Task::new("fly", |_| ())).unwrap_err();
    assert_eq!(
        rejected.to_string(),
        "submit: no team has the capability `fly`"
    );
    assert!(runtime.capability("fly").is_err());
    assert_eq!(runtime.report().rejected_unrouted, 1);
}

#[test]
fn of_two_teams_the_less_loaded_gets_the_task() {
    let runtime = Runtime::builder()
        .workers(1)
        .team(TeamConfig::new("hold").capability("any"))
        .team(TeamConfig::new("left").capability("work"))
        .team(
            TeamConfig::new("right")
                .capability("work")
                .capability("more"),
        )
        .build()
        .unwrap();
    let release = hold(&runtime);
    for _ in 0..3 {
        runtime.submit(Task::new("more", |_| ())).unwrap().detach();
    }
    for _ in 0..7 {
        runtime.submit(Task::new("work", |_| ())).unwrap().detach();
    }
    let report = runtime.report();
    let submitted = |team: &str| report.team(team).unwrap().submitted;
    assert_eq!((submitted("left"), submitted("right")), (5, 5));
    drop(release);
}

#[test]
fn a_team_runs_at_most_its_limit_and_serves_its_backlog_by_priority() {
    let runtime = Runtime::builder()
        .workers(4)
        .team(TeamConfig::new("two").capability("two").concurrency_max(2))
        .build()
        .unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..200)
        .map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let task = Task::new("two", move |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(50));
                now.fetch_sub(1, Ordering::SeqCst);
            });
            runtime.submit(task).unwrap()
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn the_queue_of_one_team_does_not_fill_that_of_another() {
    let runtime = Runtime::builder()
        .workers(1)
        .team(TeamConfig::new("hold").capability("any"))
        .team(
            TeamConfig::new("small")
                .capability("small")
                .queue_capacity(2),
        )
        .build()
        .unwrap();
    let release = hold(&runtime);
    for _ in 0..2 {
        runtime.submit(Task::new("small", |_| ())).unwrap().detach();
    }
    let full = runtime.try_submit(Task::new("small", |_| ())).unwrap_err();
    let reason = Rejection::TeamFull {
        team: "small".into(),
        depth: 2,
        capacity: 2,
    };
    assert_eq!(full.reason(), &reason);
    assert_eq!(
        full.to_string(),
        "submit: team `small` holds 2 queued tasks, capacity is 2"
    );
    runtime
        .try_submit(Task::new("any", |_| ()))
        .unwrap()
        .detach();
    drop(release);
    let report = runtime.shutdown();
    assert_eq!(report.team("small").unwrap().rejected, 1);
    assert_eq!(report.team("small").unwrap().queue_depth_max, 2);
}
