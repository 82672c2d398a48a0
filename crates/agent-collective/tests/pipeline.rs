//! Pipelines: verdicts in order, endless and crashing items that cost themselves only, times that
//! add up.
#![cfg(not(neurectomy_loom))]

use agent_collective::pipeline::{
    Change, Dedupe, Diff, FileContent, Filter, ItemContext, Pipeline, PipelineRun, ReadFiles, Stop,
    Transform, Validate, WriteFiles, Written,
};
use agent_collective::{CancelToken, CollectiveError, Interruption, Runtime};
use proptest::prelude::*;
use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// Verdicts as text, for comparing runs.
fn texts<O: std::fmt::Debug>(run: &PipelineRun<O>) -> Vec<String> {
    run.verdicts
        .iter()
        .map(|verdict| match verdict.stopped() {
            Some((stage, stop)) => format!("{stage}: {stop}"),
            None => format!("{:?}", verdict.passed()),
        })
        .collect()
}

fn assert_adds_up<O>(run: &PipelineRun<O>) {
    let report = &run.report;
    let accounted = report.accounted_fraction();
    assert!(
        (accounted - 1.0).abs() <= 0.01,
        "accounted {accounted}\n{report}"
    );
    // The other way: stages and what lies between them, from the stages' own clock readings.
    let stages: Duration = report.stages.iter().map(|stage| stage.wall).sum();
    let sum = (stages + report.between).as_secs_f64() / report.wall.as_secs_f64();
    assert!((sum - 1.0).abs() <= 0.01, "stages come to {sum}\n{report}");
    for stage in &report.stages {
        let booked = stage.times.accounted_fraction();
        assert!(
            (booked - 1.0).abs() <= 0.01,
            "{}: {booked}\n{report}",
            stage.name
        );
    }
}

fn numbers() -> Pipeline<'static, i64, String> {
    Pipeline::new("numbers")
        .then(Filter::new("positive", |n: &i64| *n > 0))
        .then(Transform::new("small", |n: i64| {
            assert!(n != 13, "unlucky");
            if n < 1_000 {
                Ok(n)
            } else {
                Err(format!("{n} is large"))
            }
        }))
        .then(Dedupe::new("last digit", |n: &i64| n % 10))
        .then(Validate::computing("even", LONG, |n: i64, _| {
            if n % 2 == 0 {
                Ok(n.to_string())
            } else {
                Err("odd")
            }
        }))
}

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

/// What a candidate does.
#[derive(Clone, Copy, Debug)]
enum Candidate {
    Good,
    Wrong,
    Crashing,
    /// Never ends, and looks at its deadline.
    Endless,
    /// Never ends, and asks instead of unwinding.
    Polite,
    /// Waits for ever in the context's wait.
    Waiting,
}

fn run_candidate(candidate: Candidate, item: &ItemContext) -> Result<u32, String> {
    match candidate {
        Candidate::Good => Ok(1),
        Candidate::Wrong => Err("wrong".to_owned()),
        Candidate::Crashing => panic!("crash"),
        Candidate::Endless => loop {
            item.checkpoint();
            std::hint::spin_loop();
        },
        Candidate::Polite => {
            while !item.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(item.deadline_left(), Duration::ZERO);
            Err("told to stop".to_owned())
        }
        Candidate::Waiting => {
            let cut = item.wait(LONG).unwrap_err();
            assert!(matches!(cut, Interruption::DeadlineExceeded { .. }));
            Ok(2)
        }
    }
}

const CANDIDATES: [Candidate; 6] = [
    Candidate::Endless,
    Candidate::Good,
    Candidate::Crashing,
    Candidate::Waiting,
    Candidate::Wrong,
    Candidate::Polite,
];

fn wanted(candidate: Candidate) -> &'static str {
    match candidate {
        Candidate::Good => "Some(1)",
        Candidate::Wrong => "check: wrong",
        Candidate::Crashing => "check: panicked: crash",
        _ => "check: cut at its deadline of 20ms",
    }
}

#[test]
fn endless_and_crashing_candidates_cost_themselves_only() {
    let runtime = runtime(2);
    let candidates: Vec<Candidate> = CANDIDATES.iter().copied().cycle().take(36).collect();
    let texts_wanted: Vec<&str> = candidates.iter().map(|c| wanted(*c)).collect();
    let computing = Validate::computing("check", SHORT, run_candidate).grace(LONG);
    for stage in [
        computing.clone().concurrency_max(1),
        computing.clone(),
        computing.concurrency_max(16),
        Validate::blocking("check", SHORT, run_candidate).grace(LONG),
        Validate::futures("check", SHORT, |candidate, item: ItemContext| async move {
            run_candidate(candidate, &item)
        })
        .grace(LONG),
    ] {
        let run = Pipeline::new("candidates")
            .then(stage)
            .run(&runtime, candidates.clone())
            .unwrap();
        assert_eq!(texts(&run), texts_wanted);
        let row = &run.report.stages[0];
        assert_eq!((row.timed_out, row.panicked, row.abandoned), (18, 6, 0));
        assert_adds_up(&run);
    }
}

/// Released when the test is over, so that no thread outlives the test program.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Items that are true never look at their deadline until released.
fn stubborn(release: &Arc<AtomicBool>) -> Validate<bool, &'static str> {
    let release = Arc::clone(release);
    Validate::computing("check", SHORT, move |stubborn: bool, _| {
        while stubborn && !release.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>("ended")
    })
    .grace(Duration::from_millis(10))
}

const ABANDONED: &str = "check: abandoned: still running 10ms after its deadline of 20ms";

#[test]
fn a_candidate_that_cannot_be_cut_is_left_behind_and_its_thread_replaced() {
    let release = Arc::new(AtomicBool::new(false));
    let guard = Release(Arc::clone(&release));
    let runtime = runtime(1);
    let stage = stubborn(&release).concurrency_max(1).abandoned_max(4);
    let pipeline = Pipeline::new("stubborn").then(stage.clone());
    let items = [true, false, true, false, false];
    let run = pipeline.run(&runtime, items).unwrap();
    let good = "Some(\"ended\")";
    assert_eq!(texts(&run), [ABANDONED, good, ABANDONED, good, good]);
    assert_eq!(run.report.stages[0].abandoned, 2);
    assert_eq!(stage.abandoned_threads(), 2);
    assert_adds_up(&run);
    // Threads that end are no longer counted.
    drop(guard);
    while stage.abandoned_threads() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn when_no_more_threads_may_be_left_behind_the_rest_is_not_run_and_the_run_ends() {
    let release = Arc::new(AtomicBool::new(false));
    let guard = Release(Arc::clone(&release));
    let runtime = runtime(1);
    let stage = stubborn(&release).concurrency_max(2).abandoned_max(1);
    let pipeline = Pipeline::new("stubborn").then(stage.clone());
    let run = pipeline
        .run(&runtime, [true, true, true, true, false])
        .unwrap();
    let not_run = "check: not run: 3 threads are abandoned, none is left";
    assert_eq!(
        texts(&run),
        [ABANDONED, ABANDONED, ABANDONED, not_run, not_run]
    );
    assert_adds_up(&run);
    // The threads of the first run count for the second.
    let run = pipeline.run(&runtime, [false]).unwrap();
    assert_eq!(texts(&run), [not_run]);
    drop(guard);
    while stage.abandoned_threads() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let run = pipeline.run(&runtime, [false]).unwrap();
    assert_eq!(texts(&run), ["Some(\"ended\")"]);
}

#[test]
fn a_result_after_the_deadline_does_not_count() {
    let stage = Validate::blocking("check", SHORT, |late: bool, item: &ItemContext| {
        while late && !item.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<bool, String>(late)
    });
    let run = Pipeline::new("late")
        .then(stage.grace(LONG))
        .run(&runtime(1), [true, false])
        .unwrap();
    assert_eq!(texts(&run), [wanted(Candidate::Endless), "Some(false)"]);
}

/// What overlaps is counted, not timed: all items are under way before the first one ends.
#[test]
fn waiting_candidates_overlap_beyond_the_number_of_workers() {
    let runtime = runtime(1);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let enter = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
    };
    let (blocking_enter, blocking_now, blocking_most) =
        (enter.clone(), Arc::clone(&now), Arc::clone(&most));
    let blocking = Validate::blocking("wait", LONG, move |_: u32, item: &ItemContext| {
        blocking_enter();
        while blocking_most.load(Ordering::SeqCst) < 32 && !item.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        blocking_now.fetch_sub(1, Ordering::SeqCst);
        Ok::<(), String>(())
    });
    let run = Pipeline::new("waits")
        .then(blocking)
        .run(&runtime, 0..32)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (32, 32));
    assert_adds_up(&run);

    most.store(0, Ordering::SeqCst);
    let future_most = Arc::clone(&most);
    let futures = Validate::futures("wait", LONG, move |_: u32, item: ItemContext| {
        let (enter, now, most) = (enter.clone(), Arc::clone(&now), Arc::clone(&future_most));
        async move {
            enter();
            while most.load(Ordering::SeqCst) < 500 {
                item.sleep(Duration::from_millis(1)).await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    });
    let run = Pipeline::new("waits")
        .then(futures)
        .run(&runtime, 0..500)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (500, 500));
    assert!(run.report.stages[0].times.lanes <= 64);
    assert_adds_up(&run);
}

#[test]
fn no_more_items_are_under_way_than_allowed() {
    let runtime = runtime(1);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let stage = Validate::futures("wait", LONG, move |_: u32, item: ItemContext| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&counted));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            item.sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    });
    let run = Pipeline::new("waits")
        .then(stage.concurrency_max(7))
        .run(&runtime, 0..70)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (70, 7));
}

/// Never ready; notes that it was dropped.
struct Never(Arc<AtomicUsize>);

impl Future for Never {
    type Output = Result<u32, String>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Never {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn futures_that_never_get_ready_are_dropped_at_their_deadline() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let stage = Validate::futures("check", SHORT, move |_: u32, _| Never(Arc::clone(&count)));
    let run = Pipeline::new("never")
        .then(stage)
        .run(&runtime(1), 0..40)
        .unwrap();
    assert_eq!(run.report.stages[0].timed_out, 40);
    assert_eq!(dropped.load(Ordering::SeqCst), 40);
    assert_adds_up(&run);
}

/// Wakers that are used from other threads, more than once, and after the end.
#[test]
fn futures_can_be_woken_from_anywhere() {
    #[derive(Default)]
    struct Foreign {
        done: Arc<AtomicBool>,
        started: bool,
    }
    impl Future for Foreign {
        type Output = Result<(), String>;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            if self.done.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            if !self.started {
                self.started = true;
                let (waker, done) = (context.waker().clone(), Arc::clone(&self.done));
                std::thread::spawn(move || {
                    waker.wake_by_ref();
                    done.store(true, Ordering::Release);
                    waker.wake_by_ref();
                    std::thread::sleep(Duration::from_millis(5));
                    waker.wake();
                });
            }
            Poll::Pending
        }
    }
    let stage = Validate::futures("wake", LONG, |_: u32, _| Foreign::default());
    let run = Pipeline::new("wakes")
        .then(stage)
        .run(&runtime(1), 0..64)
        .unwrap();
    assert_eq!(run.report.passed, 64);
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

#[test]
fn files_are_written_in_groups_and_diffed_against_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1.txt"), "one\ntwo\n").unwrap();
    std::fs::write(dir.path().join("2.txt"), "same\n").unwrap();
    let runtime = runtime(2);
    for group_files in [1, 2, 100] {
        let folder = dir.path().join(format!("out{group_files}"));
        let write = WriteFiles::new("write", &folder, |(name, text): &(String, String)| {
            if text.is_empty() {
                return Err("nothing to write");
            }
            Ok(FileContent {
                path: PathBuf::from(name),
                bytes: text.clone().into_bytes(),
            })
        })
        .group_files(group_files)
        .durable(group_files == 2)
        .keep_contents(1_000);
        let pipeline = Pipeline::new("files")
            .then(write)
            .then(Diff::new("diff", |written: &Written<(String, String)>| {
                Ok::<_, String>(written.versions())
            }));
        let items = |second: &str| {
            [
                ("a/1.txt", "one\ntwo\n"),
                ("2.txt", second),
                ("../3.txt", "x"),
                ("2.txt", "y"),
                ("4.txt", ""),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
        };
        let run = pipeline.run(&runtime, items("red\nblue\n")).unwrap();
        let changes: Vec<Option<&Change>> = run
            .verdicts
            .iter()
            .map(|verdict| verdict.passed().map(|diffed| &diffed.change))
            .collect();
        assert_eq!(changes[..2], [Some(&Change::Added { lines: 2 }); 2]);
        let texts = texts(&run);
        assert!(
            texts[2].ends_with("its relative path leaves the output folder"),
            "{texts:?}"
        );
        assert!(
            texts[3].ends_with("it is the output of two items"),
            "{texts:?}"
        );
        assert_eq!(texts[4], "write: nothing to write");
        let run = pipeline.run(&runtime, items("red\ngreen\n")).unwrap();
        let changes: Vec<&Change> = run.passed().map(|diffed| &diffed.change).collect();
        assert_eq!(changes[0], &Change::Unchanged);
        let Change::Modified {
            added: 1,
            removed: 1,
            unified,
        } = changes[1]
        else {
            panic!("{changes:?}");
        };
        assert!(unified.contains("-blue\n+green\n"), "{unified}");
        assert_eq!(
            std::fs::read(folder.join("2.txt")).unwrap(),
            b"red\ngreen\n"
        );
        assert!(!dir.path().join("3.txt").exists());
        // No temporary file is left.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        assert_adds_up(&run);
    }
}

#[test]
fn reading_is_bounded_by_file_and_in_all() {
    let dir = tempfile::tempdir().unwrap();
    for (name, length) in [("a", 10), ("b", 20), ("c", 10)] {
        std::fs::write(dir.path().join(name), vec![b'x'; length]).unwrap();
    }
    let folder = dir.path().to_owned();
    let read = ReadFiles::new("read", move |name: &&str| folder.join(name));
    let single = Pipeline::new("read").then(read.clone().file_bytes_max(15));
    let run = single.run(&runtime(2), ["a", "b", "c", "missing"]).unwrap();
    let lengths: Vec<usize> = run.passed().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [10, 10]);
    let texts = texts(&run);
    assert!(
        texts[1].ends_with("longer than 15 bytes, the limit"),
        "{texts:?}"
    );
    assert!(texts[3].ends_with("missing"), "{texts:?}");
    let all = Pipeline::new("read").then(read.total_bytes_max(25));
    let run = all.run(&runtime(1), ["a", "b", "c"]).unwrap();
    assert!(run.passed().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 25);
    assert!((1..3).contains(&run.report.passed));
}

#[test]
fn differences_have_a_limit_and_every_kind() {
    use agent_collective::pipeline::Versions;
    let text = |text: &str| Some(text.to_owned());
    let diff = Diff::new("diff", |versions: &Versions| {
        Ok::<_, String>(versions.clone())
    })
    .lines_max(4);
    let versions = [
        Versions {
            before: None,
            after: None,
        },
        Versions {
            before: text("a\n"),
            after: None,
        },
        Versions {
            before: text("a\nb\nc\n"),
            after: text("a\nb\n"),
        },
        Versions {
            before: text("a"),
            after: text("a"),
        },
    ];
    let run = Pipeline::new("diffs")
        .then(diff)
        .run(&runtime(1), versions)
        .unwrap();
    let changes: Vec<&Change> = run.passed().map(|diffed| &diffed.change).collect();
    let wanted = [
        &Change::Unchanged,
        &Change::Removed { lines: 1 },
        &Change::TooLong {
            lines: 5,
            lines_max: 4,
        },
        &Change::Unchanged,
    ];
    assert_eq!(changes, wanted);
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
