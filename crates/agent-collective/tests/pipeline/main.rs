//! Pipelines: verdicts in order, endless and crashing items that cost themselves only, times that
//! add up.
#![cfg(not(neurectomy_loom))]

mod candidates;
mod files;
mod support;
mod waiting;

use crate::support::{LONG, assert_adds_up, numbers, runtime, texts};
use agent_collective::pipeline::{
    Dedupe, FileContent, Filter, ItemContext, Pipeline, Stop, Transform, Validate, WriteFiles,
};
use agent_collective::{CancelToken, CollectiveError, Interruption};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[test]
fn items_keep_their_order_and_carry_their_verdict() {
    let run = numbers()
        .run(&runtime(2), [4, -1, 13, 2_000, 14, 7, 6])
        .unwrap();
    let wanted = [
        "Some(\"4\")",
        "positive: filtered out",
        "small: panicked: unlucky",
        "small: 2000 is large",
        "last digit: duplicate of item 0",
        "even: odd",
        "Some(\"6\")",
    ];
    assert_eq!(texts(&run), wanted);
    assert_eq!((run.report.items, run.report.passed), (7, 2));
    let panicked = run.report.stage("small").unwrap();
    assert_eq!(
        (panicked.items, panicked.passed, panicked.panicked),
        (6, 4, 1)
    );
    assert!(run.report.to_string().contains("whole run"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn verdicts_are_those_of_a_plain_loop_on_any_number_of_workers(
        items in prop::collection::vec(-5_i64..1_200, 0..150),
        workers in 1_usize..4,
    ) {
        let run = numbers().run(&runtime(workers), items.clone()).unwrap();
        let mut seen = std::collections::HashMap::new();
        let wanted: Vec<String> = items.iter().enumerate().map(|(index, &n)| {
            if n <= 0 { return "positive: filtered out".to_owned(); }
            if n == 13 { return "small: panicked: unlucky".to_owned(); }
            if n >= 1_000 { return format!("small: {n} is large"); }
            let first = *seen.entry(n % 10).or_insert(index);
            if first != index { return format!("last digit: duplicate of item {first}"); }
            if n % 2 != 0 { return "even: odd".to_owned(); }
            format!("Some(\"{n}\")")
        }).collect();
        prop_assert_eq!(texts(&run), wanted);
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    let run = numbers().run(&runtime(1), []).unwrap();
    assert!(run.verdicts.is_empty());
    assert_eq!(run.report.stages.len(), 4);
    assert_eq!(
        run.report.stages.iter().map(|s| s.times.lanes).max(),
        Some(0)
    );
    let none = Pipeline::new("none").run(&runtime(1), [1, 2]).unwrap();
    assert_eq!(none.passed().collect::<Vec<_>>(), [&1, &2]);
}

#[test]
fn settings_out_of_range_are_named_before_anything_runs() {
    let runtime = runtime(1);
    let stage = || Validate::computing("check", LONG, |n: i64, _| Ok::<i64, String>(n));
    let text = |stage: Validate<i64, i64>| {
        let pipeline = Pipeline::new("settings").then(stage);
        pipeline.run(&runtime, [1]).unwrap_err().to_string()
    };
    assert_eq!(
        text(stage().concurrency_max(0)),
        "validation stage: concurrency_max is 0, allowed is 1..=1024"
    );
    assert_eq!(
        text(stage().abandoned_max(1_025)),
        "validation stage: abandoned_max is 1025, allowed is 0..=1024"
    );
    assert_eq!(
        text(stage().grace(Duration::ZERO)),
        "validation stage: grace is 0ns, allowed is more than zero, at most 366 days"
    );
    assert_eq!(
        text(stage().stack_bytes(1)),
        "validation stage: stack_bytes is 1, allowed is 65536..=1073741824"
    );
    let never = Validate::computing("check", Duration::MAX, |n: i64, _| Ok::<i64, String>(n));
    assert!(text(never).starts_with("validation stage: deadline is "));
    let few = numbers().items_max(3).run(&runtime, 0..).unwrap_err();
    assert_eq!(
        few.to_string(),
        "pipeline: more than 3 items, the configured limit"
    );
    let zero = numbers().items_max(0).run(&runtime, [1]).unwrap_err();
    assert!(matches!(zero, CollectiveError::InvalidSetting { .. }));
    let group = WriteFiles::new("write", "/nowhere", |_: &i64| {
        Err::<FileContent, _>("not reached")
    });
    let group = Pipeline::new("files").then(group.group_files(0));
    let error = group.run(&runtime, [1]).unwrap_err().to_string();
    assert_eq!(error, "write stage: group_files is 0, allowed is 1..=65536");
}

#[test]
fn a_run_cancelled_in_the_middle_ends_with_what_it_has() {
    let runtime = runtime(2);
    for futures in [false, true] {
        let token = CancelToken::new();
        let stop = token.clone();
        let check = move |n: u32, item: &ItemContext| {
            if n == 5 {
                stop.cancel();
            }
            if n >= 5 {
                let cut = item.wait(LONG).unwrap_err();
                assert_eq!(cut, Interruption::Cancelled);
            }
            Ok::<u32, String>(n)
        };
        let stop = token.clone();
        let stage = if futures {
            Validate::futures("check", LONG, move |n: u32, item: ItemContext| {
                let stop = stop.clone();
                async move {
                    if n >= 5 {
                        stop.cancel();
                        item.sleep(LONG).await;
                    }
                    Ok::<u32, String>(n)
                }
            })
            .concurrency_max(2)
        } else {
            Validate::computing("check", LONG, check).concurrency_max(1)
        };
        let start = Instant::now();
        let run = Pipeline::new("cancelled")
            .then(Filter::new("all", |_: &u32| true))
            .then(stage)
            .then(Filter::new("after", |_: &u32| true))
            .cancel_token(&token)
            .run(&runtime, 0..1_000)
            .unwrap();
        assert!(start.elapsed() < LONG);
        assert!(run.report.cancelled);
        assert_eq!(run.verdicts.len(), 1_000);
        // What had passed the stage finds the next one cancelled.
        assert_eq!(run.report.passed, 0);
        let cancelled = |v: &agent_collective::pipeline::Verdict<u32>| {
            matches!(v.stopped(), Some((_, Stop::Cancelled)))
        };
        assert!(run.verdicts.iter().all(cancelled), "{:?}", texts(&run));
        let stages: HashSet<&str> = run
            .verdicts
            .iter()
            .filter_map(|v| Some(v.stopped()?.0))
            .collect();
        assert_eq!(stages, HashSet::from(["check", "after"]));
        let again = numbers()
            .cancel_token(&token)
            .run(&runtime, [2, 4])
            .unwrap();
        assert_eq!(again.report.passed, 0);
    }
}

#[test]
fn a_runtime_that_shuts_down_rejects_the_run() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    runtime.shutdown();
    let error = numbers().run(&handle, [1]).unwrap_err();
    assert!(matches!(error, CollectiveError::Rejected(_)), "{error}");
}

#[test]
fn the_time_of_all_stages_adds_up_to_the_wall_time() {
    fn spin(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }
    let runtime = runtime(2);
    let ms = Duration::from_millis;
    let pipeline = Pipeline::new("timed")
        .then(Filter::new("filter", move |n: &u64| {
            spin(ms(1));
            !n.is_multiple_of(5)
        }))
        .then(Transform::new("transform", move |n: u64| {
            spin(ms(n % 3));
            Ok::<u64, String>(n)
        }))
        .then(Dedupe::new("dedupe", |n: &u64| n % 17))
        .then(Validate::computing("compute", LONG, move |n: u64, _| {
            spin(ms(2));
            Ok::<u64, String>(n)
        }))
        .then(Validate::futures(
            "wait",
            LONG,
            |n: u64, item: ItemContext| async move {
                item.sleep(Duration::from_millis(10)).await;
                Ok::<u64, String>(n)
            },
        ));
    let start = Instant::now();
    let run = pipeline.run(&runtime, 0..60).unwrap();
    let outside = start.elapsed();
    assert_adds_up(&run);
    assert!(run.report.wall <= outside);
    let filter = run.report.stage("filter").unwrap();
    assert!(filter.times.running >= ms(60) && filter.times.cpu > Duration::ZERO);
    assert!(filter.times.queued > Duration::ZERO);
    let compute = run.report.stage("compute").unwrap();
    assert_eq!(compute.items, 17);
    assert!(compute.times.running >= ms(34));
    let wait = run.report.stage("wait").unwrap();
    assert!(wait.waiting >= ms(170) && wait.times.cpu < ms(50));
    assert!(wait.times.idle > wait.times.running);
}

/// Stages may borrow, and a run may be repeated and used from several threads.
#[test]
fn a_pipeline_can_borrow_and_be_shared() {
    let log = Mutex::new(Vec::new());
    let pipeline = Pipeline::new("log").then(Transform::new("note", |n: u32| {
        log.lock().unwrap().push(n);
        Ok::<u32, String>(n)
    }));
    let runtime = runtime(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(pipeline.run(&runtime, 0..50).unwrap().report.passed, 50));
        }
    });
    drop(pipeline);
    assert_eq!(log.into_inner().unwrap().len(), 100);
}
