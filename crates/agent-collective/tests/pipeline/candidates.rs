//! Validation of items that are wrong, crash, never end or cannot be stopped.

use crate::support::{LONG, SHORT, assert_adds_up, runtime, texts};
use agent_collective::Interruption;
use agent_collective::pipeline::{ItemContext, Pipeline, Validate};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
