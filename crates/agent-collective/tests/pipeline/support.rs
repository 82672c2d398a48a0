//! What the tests of all stages share.

use agent_collective::Runtime;
use agent_collective::pipeline::{Dedupe, Filter, Pipeline, PipelineRun, Transform, Validate};
use std::time::Duration;

pub(crate) fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// Verdicts as text, for comparing runs.
pub(crate) fn texts<O: std::fmt::Debug>(run: &PipelineRun<O>) -> Vec<String> {
    run.verdicts
        .iter()
        .map(|verdict| match verdict.stopped() {
            Some((stage, stop)) => format!("{stage}: {stop}"),
            None => format!("{:?}", verdict.passed()),
        })
        .collect()
}

pub(crate) fn assert_adds_up<O>(run: &PipelineRun<O>) {
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

pub(crate) fn numbers() -> Pipeline<'static, i64, String> {
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
