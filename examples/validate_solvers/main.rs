//! Validates candidate programs of a small grid language: one by one, and through a pipeline that
//! parses, drops duplicates, and runs them side by side, each with a deadline.
//!
//! ```text
//! cargo run --release -p neurectomy-examples --no-default-features --features agent-collective \
//!     --example validate_solvers
//! ```
//!
//! Some candidates are right, some wrong, some never end, some crash. You see the verdicts, the
//! time of each stage in per cent of the wall time, and how long both ways took: for validation
//! that computes (running the programs) and for validation that waits (each program is sent to a
//! judge, here a timer, that answers after a while). The judge takes 50 ms for each of 32 candidates,
//! so that a moment in which the machine does something else is small beside the one wait that is
//! left, and 10 ms for each of 1,000, so that one by one ends. `--json` prints one object instead.

mod candidates;
mod language;

use agent_collective::pipeline::{
    Change, Dedupe, Diff, Diffed, FileContent, Filter, ItemContext, Pipeline, PipelineReport,
    PipelineRun, StageReport, Stop, Transform, Validate, Verdict, WriteFiles, Written,
};
use agent_collective::{CollectiveError, Runtime};
use candidates::{candidates, examples};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use language::{Grid, Machine, Step, parse};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Candidate programs, one by one and side by side.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Numbers of candidates to validate.
    #[arg(long, value_delimiter = ',', default_values_t = [32, 1000])]
    candidates: Vec<usize>,
    /// Time that a candidate may take, in milliseconds.
    #[arg(long, default_value_t = 30)]
    deadline_ms: u64,
    /// Time after which the judge answers, in milliseconds, for each number of candidates; the last
    /// one counts for further numbers.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 10])]
    judge_ms: Vec<u64>,
    /// Worker threads; by default one per hardware thread.
    #[arg(long)]
    workers: Option<usize>,
    /// Prints one JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

/// A candidate that could be parsed.
#[derive(Clone)]
struct Solver {
    text: String,
    steps: Vec<Step>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A crashing candidate is a verdict, not something to print.
    std::panic::set_hook(Box::new(|_| {}));
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BoxError> {
    let mut builder = Runtime::builder();
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers);
    }
    let runtime = builder.build()?;
    let scratch = std::env::temp_dir().join(format!("validate-solvers-{}", std::process::id()));
    let mut rows = Vec::new();
    let (mut judges, mut judge) = (arguments.judge_ms.iter(), Duration::ZERO);
    for &count in &arguments.candidates {
        judge = judges.next().map_or(judge, |&ms| Duration::from_millis(ms));
        for wait in [None, Some(judge)] {
            let row = measure(arguments, &runtime, count, wait, &scratch);
            let _ = std::fs::remove_dir_all(&scratch);
            rows.push(row?);
        }
    }
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "runs": rows }))?
        );
    }
    Ok(())
}

/// One number of candidates, one kind of validation, both ways. With `wait` the judge answers after
/// that time; without it the candidates are run.
fn measure(
    arguments: &Arguments,
    runtime: &Runtime,
    count: usize,
    wait: Option<Duration>,
    scratch: &Path,
) -> Result<Value, BoxError> {
    let kind = wait.map_or("computing", |_| "waiting");
    let texts = candidates(count);
    let bar = progress_bar(count, kind);
    let start = Instant::now();
    let alone = one_by_one(arguments, &texts, wait, &bar);
    let alone_time = start.elapsed();
    bar.finish_and_clear();
    let bar = progress_bar(count, kind);
    let folder = scratch.join(format!("{kind}-{count}"));
    let pipeline = match wait {
        Some(judge) => waiting(judge, bar.clone()),
        None => computing(arguments, &folder, bar.clone()),
    };
    let run = pipeline.run(runtime, texts)?;
    bar.finish_and_clear();
    let together: Vec<String> = verdicts(&run);
    if together != alone {
        let differ = together.iter().zip(&alone).position(|(a, b)| a != b);
        return Err(format!("candidate {differ:?}: the verdicts of both ways differ").into());
    }
    let report = &run.report;
    let accounted = report.accounted_fraction();
    if (accounted - 1.0).abs() > 0.01 {
        return Err(format!("{:.2} % of the time accounted for", 100.0 * accounted).into());
    }
    let speedup = alone_time.as_secs_f64() / report.wall.as_secs_f64();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in &together {
        let name = verdict.split_once(':').map_or("solved", |(name, _)| name);
        *counts.entry(name).or_default() += 1;
    }
    if !arguments.json {
        match wait {
            Some(judge) => println!("{count} candidates, validation that waits {judge:?}"),
            None => println!("{count} candidates, computing validation"),
        }
        print!("{report}");
        let lines: Vec<String> = counts
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        println!("verdicts: {}", lines.join(", "));
        println!(
            "one by one {:.1} ms, concurrent {:.1} ms: {speedup:.1} times as fast, {:.2} % of the \
             time accounted for\n",
            alone_time.as_secs_f64() * 1e3,
            report.wall.as_secs_f64() * 1e3,
            100.0 * accounted,
        );
    }
    Ok(json!({
        "candidates": count,
        "validation": kind,
        "judge_ms": wait.map(|judge| judge.as_secs_f64() * 1e3),
        "one_by_one_ms": alone_time.as_secs_f64() * 1e3,
        "concurrent_ms": report.wall.as_secs_f64() * 1e3,
        "speedup": speedup,
        "accounted_percent": 100.0 * accounted,
        "verdicts": counts,
        "stages": stages(report),
    }))
}

fn stages(report: &PipelineReport) -> Vec<Value> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let stage = |stage: &StageReport| {
        json!({
            "stage": &*stage.name,
            "items": stage.items,
            "passed": stage.passed,
            "timed_out": stage.timed_out,
            "panicked": stage.panicked,
            "abandoned": stage.abandoned,
            "wall_ms": ms(stage.wall),
            "cpu_ms": ms(stage.times.cpu),
            "queued_ms": ms(stage.times.queued),
            "overhead_ms": ms(stage.times.overhead),
            "idle_ms": ms(stage.times.idle),
            "waiting_ms": ms(stage.waiting),
            "accounted_percent": 100.0 * stage.accounted_fraction(),
        })
    };
    report.stages.iter().map(stage).collect()
}

/// Parse, drop duplicates, run with a deadline, write the solutions, say what changed on disk.
fn computing(
    arguments: &Arguments,
    folder: &Path,
    bar: ProgressBar,
) -> Pipeline<'static, String, String> {
    let deadline = Duration::from_millis(arguments.deadline_ms);
    let tests = Arc::new(examples());
    let validate = Validate::computing("validate", deadline, move |solver: Solver, item| {
        bar.inc(1);
        solve(&solver, &tests, &|| item.is_cancelled()).map(|()| solver)
    });
    let write = WriteFiles::new("write", folder, |solver: &Solver| {
        let name = format!("{:016x}.grid", fingerprint(&solver.text));
        Ok::<_, CollectiveError>(FileContent {
            path: name.into(),
            bytes: format!("{}\n", solver.text).into_bytes(),
        })
    });
    let versions = |written: &Written<Solver>| Ok::<_, CollectiveError>(written.versions());
    Pipeline::new("candidates")
        .then(Filter::new("not empty", |text: &String| {
            !text.trim().is_empty()
        }))
        .then(Transform::new("parse", |text: String| {
            parse(&text).map(|steps| Solver { text, steps })
        }))
        .then(Dedupe::new("distinct", |solver: &Solver| {
            solver.steps.clone()
        }))
        .then(validate)
        .then(write.keep_contents(1 << 20))
        .then(Diff::new("diff", versions))
        .then(Transform::new(
            "new",
            |diffed: Diffed<Written<Solver>>| match diffed.change {
                Change::Added { .. } => Ok(diffed.item.item.text),
                other => Err(format!("there was another solution: {other:?}")),
            },
        ))
}

/// Send each candidate to a judge and wait for the answer. What the judge does with it does not
/// take our time, so nothing is parsed or dropped here.
fn waiting(judge: Duration, bar: ProgressBar) -> Pipeline<'static, String, String> {
    let validate = Validate::futures(
        "validate",
        judge + Duration::from_secs(60),
        move |text: String, item: ItemContext| {
            let bar = bar.clone();
            async move {
                item.sleep(judge).await;
                bar.inc(1);
                answer_of_judge(&text).map(|()| text)
            }
        },
    );
    Pipeline::new("candidates")
        .then(Filter::new("not empty", |text: &String| {
            !text.trim().is_empty()
        }))
        .then(validate)
}

/// FNV-1a, for names of files.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether a solver turns every example's input into its output.
fn solve(
    solver: &Solver,
    tests: &[(Grid, Grid)],
    stopped: &dyn Fn() -> bool,
) -> Result<(), BoxError> {
    for (number, (input, output)) in tests.iter().enumerate() {
        let mut machine = Machine {
            fuel: None,
            stopped,
        };
        if machine.run(&solver.steps, input.clone())? != *output {
            return Err(format!("wrong in example {}", number + 1).into());
        }
    }
    Ok(())
}

/// A judge that reads the program only: it takes those that recolour.
fn answer_of_judge(text: &str) -> Result<(), BoxError> {
    if text.contains("recolor 2 3") {
        Ok(())
    } else {
        Err("rejected by the judge".into())
    }
}

/// The plain way, with the same rules: the verdicts of both ways must be the same.
fn one_by_one(
    arguments: &Arguments,
    texts: &[String],
    wait: Option<Duration>,
    bar: &ProgressBar,
) -> Vec<String> {
    let mut seen = Seen::new();
    let verdict = |(index, text): (usize, &String)| {
        bar.inc(1);
        if let Some(judge) = wait {
            std::thread::sleep(judge);
            return match answer_of_judge(text) {
                Ok(()) => text.clone(),
                Err(error) => format!("validate: {error}"),
            };
        }
        compute_alone(arguments, &mut seen, index, text)
    };
    texts.iter().enumerate().map(verdict).collect()
}

/// Programs so far, with the index of the first candidate that is this program.
type Seen = HashMap<Vec<Step>, usize>;

fn compute_alone(arguments: &Arguments, seen: &mut Seen, index: usize, text: &str) -> String {
    let solver = match parse(text) {
        Ok(steps) => Solver {
            text: text.to_owned(),
            steps,
        },
        Err(error) => return format!("parse: {error}"),
    };
    let first = *seen.entry(solver.steps.clone()).or_insert(index);
    if first != index {
        return format!("distinct: duplicate of item {first}");
    }
    let deadline = Duration::from_millis(arguments.deadline_ms);
    let start = Instant::now();
    let check = || solve(&solver, &examples(), &|| start.elapsed() > deadline);
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        Err(_) => "validate panicked:".to_owned(),
        Ok(_) if start.elapsed() > deadline => "validate timed out:".to_owned(),
        Ok(Err(error)) => format!("validate: {error}"),
        Ok(Ok(())) => solver.text,
    }
}

/// Verdicts of the pipeline in the words of the plain way.
fn verdicts(run: &PipelineRun<String>) -> Vec<String> {
    let text = |verdict: &Verdict<String>| match verdict.stopped() {
        None => verdict.passed().cloned().unwrap_or_default(),
        Some((stage, Stop::Panicked { .. })) => format!("{stage} panicked:"),
        Some((stage, Stop::TimedOut { .. })) => format!("{stage} timed out:"),
        Some((stage, stop)) => format!("{stage}: {stop}"),
    };
    run.verdicts.iter().map(text).collect()
}

/// Draws to a terminal only.
fn progress_bar(count: usize, kind: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<12} {bar:40} {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count as u64)
        .with_style(style)
        .with_prefix(kind.to_owned())
}
