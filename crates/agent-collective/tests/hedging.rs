//! Hedged requests.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    CancelToken, CollectiveError, Hedge, HedgeConfig, Runtime, Task, TaskContext, TaskError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

fn eager() -> HedgeConfig {
    HedgeConfig::default()
        .requests_min(10)
        .extra_max(1.0)
        .factor(1.0)
}

/// Requests until the latency is known.
fn learn(runtime: &Runtime, hedge: &Hedge) {
    learn_from(runtime, hedge, Duration::ZERO);
}

/// Requests that take `duration` each until the latency is known.
fn learn_from(runtime: &Runtime, hedge: &Hedge, duration: Duration) {
    for n in 0..50 {
        let task = Task::repeatable("any", move |_: &TaskContext<'_>| {
            std::thread::sleep(duration);
            n
        });
        let handle = runtime.submit_hedged(hedge, task);
        assert_eq!(handle.unwrap().join(), Ok(n));
    }
    assert!(hedge.stats().delay.is_some());
}

/// Waits until it is cancelled; nobody else ends it.
fn hang(context: &TaskContext<'_>) {
    while !context.is_cancelled() {
        std::thread::sleep(Duration::from_micros(100));
    }
    context.checkpoint();
}

/// The try that starts first hangs, the other one answers. On a busy machine the second try may be
/// the one that starts first, so there are several requests.
#[test]
fn the_second_try_answers_and_the_first_is_cancelled() {
    let runtime = runtime();
    let hedge = Hedge::new(eager()).unwrap();
    learn(&runtime, &hedge);
    let before = hedge.stats();
    let mut requests = 0;
    while hedge.stats().second_wins == before.second_wins {
        requests += 1;
        assert!(requests <= 100, "the second try never answered");
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let task = Task::repeatable("any", move |context: &TaskContext<'_>| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            if number == 0 {
                hang(context);
            }
            number
        });
        let handle = runtime.submit_hedged(&hedge, task).unwrap();
        assert_eq!(handle.join(), Ok(1));
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }
    assert_eq!(hedge.stats().second_wins, before.second_wins + 1);
    let report = runtime.shutdown();
    assert!(
        report.teams[0].cancelled >= requests,
        "the losers were cancelled"
    );
}

/// A second try that has started sees itself cancelled, and then the first answers. On a busy
/// machine the second may be cancelled before it starts, or answer before anybody notices that it
/// takes too long; so a try waits only so long for the other, and there are several requests.
#[test]
fn a_second_try_that_takes_too_long_is_cancelled_and_the_first_goes_on() {
    let runtime = runtime();
    let hedge = Hedge::new(eager().second_max(1.0)).unwrap();
    learn_from(&runtime, &hedge, Duration::from_millis(2));
    for requests in 0.. {
        assert!(requests < 100, "no second try was cancelled");
        let wins = hedge.stats().second_wins;
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cancelled);
        let task = Task::repeatable("any", move |context: &TaskContext<'_>| {
            let from = Instant::now();
            while !seen.load(Ordering::SeqCst) && from.elapsed() < Duration::from_millis(100) {
                if context.is_cancelled() {
                    seen.store(true, Ordering::SeqCst);
                    context.checkpoint();
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            7
        });
        let handle = runtime.submit_hedged(&hedge, task).unwrap();
        assert_eq!(handle.join(), Ok(7));
        if cancelled.load(Ordering::SeqCst) && hedge.stats().second_wins == wins {
            break;
        }
    }
    assert!(runtime.shutdown().teams[0].cancelled >= 1);
    let error = Hedge::new(HedgeConfig::default().second_max(0.5)).unwrap_err();
    assert!(error.to_string().contains("hedge second_max is 0.5"));
}

#[test]
fn the_time_budget_limits_second_tries() {
    let runtime = runtime();
    let tight = Hedge::new(eager().extra_time_max(0.0)).unwrap();
    let wide = Hedge::new(eager().extra_time_max(1.0)).unwrap();
    for (hedge, tried) in [(&tight, false), (&wide, true)] {
        learn(&runtime, hedge);
        for _ in 0..20 {
            // On a busy machine the requests so far may have taken long.
            let usual = hedge.stats().delay.unwrap_or_default();
            let duration = Duration::from_millis(2) + 2 * usual;
            let slow = Task::repeatable("any", move |_: &TaskContext<'_>| {
                std::thread::sleep(duration);
            });
            runtime.submit_hedged(hedge, slow).unwrap().join().unwrap();
        }
        assert_eq!(hedge.stats().second_tries > 0, tried);
    }
    let error = Hedge::new(HedgeConfig::default().extra_time_max(2.0)).unwrap_err();
    assert!(error.to_string().contains("hedge extra_time_max is 2"));
}

#[test]
fn the_budget_limits_second_tries() {
    let runtime = runtime();
    let none = Hedge::new(eager().extra_max(0.0)).unwrap();
    learn(&runtime, &none);
    for _ in 0..20 {
        let slow = Task::repeatable("any", |_: &TaskContext<'_>| {
            std::thread::sleep(Duration::from_millis(2));
        });
        runtime.submit_hedged(&none, slow).unwrap().join().unwrap();
    }
    let stats = none.stats();
    assert_eq!((stats.requests, stats.second_tries), (70, 0));
}

#[test]
fn failures_cancellation_and_shutdown_end_a_request() {
    let runtime = runtime();
    let hedge = Hedge::new(HedgeConfig::default()).unwrap();
    let failing = Task::repeatable("any", |_: &TaskContext<'_>| -> u8 { panic!("no answer") });
    let message = "no answer".to_owned();
    assert_eq!(
        runtime.submit_hedged(&hedge, failing).unwrap().join(),
        Err(TaskError::Panicked { message })
    );
    let handle = runtime
        .submit_hedged(&hedge, Task::repeatable("any", hang))
        .unwrap();
    handle.cancel();
    assert_eq!(handle.join(), Err(TaskError::Cancelled));
    let token = CancelToken::new();
    let task = Task::repeatable("any", hang).cancel_token(&token);
    let handle = runtime.submit_hedged(&hedge, task).unwrap();
    token.cancel();
    assert_eq!(handle.join(), Err(TaskError::Cancelled));
    let outside = runtime.handle();
    runtime.shutdown();
    assert!(
        outside
            .submit_hedged(&hedge, Task::repeatable("any", hang))
            .is_err()
    );
}

#[test]
fn a_task_may_join_a_request_on_the_only_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let outer = Task::new("any", |context| {
        let hedge = Hedge::new(HedgeConfig::default()).unwrap();
        let inner = Task::repeatable("any", |_: &TaskContext<'_>| 5);
        let handle = context.runtime().submit_hedged(&hedge, inner).unwrap();
        handle.join()
    });
    assert_eq!(runtime.submit(outer).unwrap().join(), Ok(Ok(5)));
}

#[test]
fn bad_settings_are_typed_errors() {
    let cases = [
        (
            HedgeConfig::default().quantile(0.2),
            "hedge quantile is 0.2",
        ),
        (
            HedgeConfig::default().quantile(f64::NAN),
            "hedge quantile is NaN",
        ),
        (HedgeConfig::default().factor(0.5), "hedge factor is 0.5"),
        (
            HedgeConfig::default().extra_max(2.0),
            "hedge extra_max is 2",
        ),
        (
            HedgeConfig::default().requests_min(0),
            "hedge requests_min is 0",
        ),
    ];
    for (config, text) in cases {
        let error: CollectiveError = Hedge::new(config).unwrap_err();
        assert!(error.to_string().contains(text), "`{error}` lacks `{text}`");
    }
}
