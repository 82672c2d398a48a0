//! Starts suites as child processes and keeps what they wrote, however they end.

use super::HarnessError;
use super::executables::Executables;
use super::resources::Sampler;
use super::results::{Execution, FORMAT, Outcome, Results, SpecSummary};
use super::spec::{Plan, Sampling, Spec, Tier};
use crate::calls::{self, CALLS_FILE};
use crate::environment::{self, Environment};
use crate::heap::{self, HEAP_VARIABLE};
use crate::instructions;
use crate::journal::{self, OUTPUT_VARIABLE, ROWS_FILE, SHORT_VARIABLE};
use crate::lifeline::PARENT_VARIABLE;
use crate::profile::{self, FLAMEGRAPH_FILE, PROFILE_VARIABLE};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a failed suite's last words that are kept.
const LAST_WORDS_BYTES: u64 = 2000;
/// How often it is looked whether a suite has ended.
const POLL: Duration = Duration::from_millis(20);

/// What a run does.
#[derive(Debug)]
pub struct Run<'a> {
    /// The specs.
    pub specs: &'a [Spec],
    /// Their executions.
    pub plans: &'a [Plan],
    /// Runs of each execution, where the plan's own number does not hold; they take turns, so that a
    /// slow quarter of an hour meets all.
    pub rounds: Option<u32>,
    /// Time for all runs: none is begun that would end later, going by the run of the same execution
    /// before, or else by what its spec expects.
    pub budget: Option<Duration>,
    /// What holds of an earlier run: its executions are not run again, and its circumstances stay.
    pub kept: Option<Results>,
    /// The suites.
    pub executables: &'a Executables,
    /// The workspace: working folder of the suites, and what `{workspace}` stands for.
    pub workspace: &'a Path,
    /// The file of results.
    pub results_file: &'a Path,
}

/// Told what a run does.
pub trait Progress {
    /// An execution begins: which of how many, and its label.
    fn begins(&mut self, at: usize, of: usize, label: &str);
    /// It runs.
    fn tick(&mut self);
    /// It has ended.
    fn ended(&mut self, execution: &Execution);
    /// A run is left out, since the time for all runs is used up.
    fn left_out(&mut self, label: &str, round: u32);
}

/// Runs everything and returns the results, which are also in the file.
///
/// The file is written after each execution, so that it holds all finished ones if the machine
/// stops. A suite that fails, panics, hangs or cannot be started is an [`Outcome`] of its
/// execution, with the rows that it wrote before.
///
/// # Errors
/// The file of results, or the folder of a suite beside it, cannot be written; the file then holds
/// the executions before.
pub fn run(run: &Run<'_>, progress: &mut dyn Progress) -> Result<Results, HarnessError> {
    let mut results = Results {
        format: FORMAT,
        name: None,
        environment: Environment::read(),
        load_1m_at_end: None,
        specs: run.specs.iter().map(summary).collect(),
        executions: Vec::new(),
    };
    if let Some(kept) = &run.kept {
        results.environment = kept.environment.clone();
        results.load_1m_at_end = kept.load_1m_at_end;
        results.executions = kept.executions.clone();
    }
    results.write(run.results_file)?;
    let runs_of = |plan: &Plan| run.rounds.unwrap_or(plan.runs);
    let of = run.plans.iter().map(|plan| runs_of(plan) as usize).sum();
    let start = Instant::now();
    let mut at = 0;
    for round in 1..=run.plans.iter().map(runs_of).max().unwrap_or(0) {
        for plan in run.plans.iter().filter(|plan| round <= runs_of(plan)) {
            at += 1;
            if is_kept(run, plan, round) {
                continue;
            }
            if !fits(run.budget, start.elapsed(), plan, &results) {
                progress.left_out(&plan.label, round);
                continue;
            }
            progress.begins(at, of, &plan.label);
            let execution = execute(run, plan, round, progress)?;
            progress.ended(&execution);
            results.executions.push(execution);
            results.load_1m_at_end = environment::load_1m();
            results.write(run.results_file)?;
        }
    }
    Ok(results)
}

fn is_kept(run: &Run<'_>, plan: &Plan, round: u32) -> bool {
    let kept = run.kept.iter().flat_map(|kept| &kept.executions);
    kept.into_iter()
        .any(|kept| kept.label == plan.label && kept.round == round)
}

/// Whether one more run of the plan ends within the budget.
fn fits(budget: Option<Duration>, used: Duration, plan: &Plan, results: &Results) -> bool {
    let last = results
        .executions
        .iter()
        .rfind(|run| run.label == plan.label);
    let expected = last
        .map(|run| run.wall_s)
        .or(plan.settings.expected_s)
        .unwrap_or(0.0);
    budget.is_none_or(|budget| used.as_secs_f64() + expected <= budget.as_secs_f64())
}

fn summary(spec: &Spec) -> SpecSummary {
    SpecSummary {
        name: spec.name.clone(),
        description: spec.description.clone(),
        category: spec.category.clone(),
        tier: spec.tier.name().to_owned(),
        analysis: spec.analysis,
        rows: spec.rows.clone(),
        targets: spec.targets.clone(),
        regression: spec.regression,
    }
}

fn execute(
    run: &Run<'_>,
    plan: &Plan,
    round: u32,
    progress: &mut dyn Progress,
) -> Result<Execution, HarnessError> {
    let mut execution = Execution {
        label: plan.label.clone(),
        suite: plan.settings.suite.clone(),
        specs: plan.specs.clone(),
        round,
        outcome: Outcome::Completed,
        wall_s: 0.0,
        resources: None,
        hotspots: Vec::new(),
        heap: Vec::new(),
        rows: Vec::new(),
    };
    let executable = match run.executables.get(&plan.settings.suite) {
        Some(Ok(executable)) => executable,
        Some(Err(detail)) => {
            let detail = detail.clone();
            execution.outcome = Outcome::NotStarted { detail };
            return Ok(execution);
        }
        None => {
            let detail = "it was not built".to_owned();
            execution.outcome = Outcome::NotStarted { detail };
            return Ok(execution);
        }
    };
    let folder = folder_of(run.results_file, plan, round);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(HarnessError::io("empty", &folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(HarnessError::io("create", &folder))?;
    let start = Instant::now();
    match start_child(run, plan, executable, &folder) {
        Ok(child) => {
            let (outcome, sampler) = wait(child, plan, start, &folder, progress);
            execution.outcome = outcome;
            execution.resources = sampler.finish();
        }
        Err(error) => {
            let detail = format!("{}: {error}", executable.display());
            execution.outcome = Outcome::NotStarted { detail };
        }
    }
    execution.wall_s = start.elapsed().as_secs_f64();
    collect(&mut execution, plan, &folder);
    keep_flamegraph(&folder)?;
    // What a suite printed before it failed is worth its room.
    if !plan.save_artifacts && execution.outcome == Outcome::Completed {
        std::fs::remove_dir_all(&folder).map_err(HarnessError::io("remove", &folder))?;
    }
    Ok(execution)
}

/// Takes the rows over; a file of rows that cannot be read makes the execution a failed one.
fn collect(execution: &mut Execution, plan: &Plan, folder: &Path) {
    match journal::read(&folder.join(ROWS_FILE)) {
        Ok(journalled) => {
            execution.rows = journalled.rows;
            // A smoke run, which is what callgrind follows, writes no rows.
            let has_rows = plan.settings.sampling != Some(Sampling::Calls);
            if execution.outcome == Outcome::Completed && has_rows && !journalled.ended {
                let detail = "it ended well, but wrote no last line into its rows".to_owned();
                execution.outcome = Outcome::Failed { detail };
            }
        }
        Err(detail) => execution.outcome = Outcome::Failed { detail },
    }
    if execution.outcome == Outcome::Completed
        && let Err(detail) = profiles(execution, plan, folder)
    {
        execution.outcome = Outcome::Failed { detail };
    }
    if !plan.include_traces {
        for recorded in &mut execution.rows {
            recorded.samples = None;
        }
    }
}

/// What was seen inside the suite.
fn profiles(execution: &mut Execution, plan: &Plan, folder: &Path) -> Result<(), String> {
    execution.hotspots = match plan.settings.sampling {
        Some(Sampling::Calls) => calls::read(folder)?,
        _ => profile::read(folder)?,
    };
    execution.heap = heap::read(folder)?;
    Ok(())
}

/// The flame graph goes beside the folder, which may not stay.
fn keep_flamegraph(folder: &Path) -> Result<(), HarnessError> {
    let drawn = folder.join(FLAMEGRAPH_FILE);
    if drawn.exists() {
        let kept = folder.with_extension("svg");
        std::fs::rename(&drawn, &kept).map_err(HarnessError::io("move", &drawn))?;
    }
    Ok(())
}

fn folder_of(results_file: &Path, plan: &Plan, round: u32) -> PathBuf {
    let mut name: String = plan
        .label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    name.truncate(80);
    let beside = results_file.with_extension("d");
    beside.join(format!("{name}-{:08x}-{round}", short_hash(&plan.label)))
}

/// FNV-1a: tells labels apart whose first letters are the same.
fn short_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn start_child(
    run: &Run<'_>,
    plan: &Plan,
    executable: &Path,
    folder: &Path,
) -> std::io::Result<Child> {
    let workspace = run.workspace.to_string_lossy();
    let mut command = followed(plan, executable, folder)?;
    command
        .args(plan.arguments())
        .current_dir(run.workspace)
        .env(OUTPUT_VARIABLE, folder)
        .env(PARENT_VARIABLE, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("stdout.txt"))?)
        .stderr(File::create(folder.join("stderr.txt"))?);
    match plan.settings.sampling {
        Some(Sampling::Stacks(hertz)) => command.env(PROFILE_VARIABLE, format!("{hertz:.0}")),
        Some(Sampling::Heap) => command.env(HEAP_VARIABLE, "1"),
        Some(Sampling::Calls) | None => &mut command,
    };
    if plan.tier == Tier::Micro {
        command.env(SHORT_VARIABLE, "1");
    }
    for (name, value) in &plan.settings.environment {
        command.env(name, value.replace("{workspace}", &workspace));
    }
    lead_a_group(&mut command);
    command.spawn()
}

/// The command without its arguments; under callgrind where calls are to be counted.
fn followed(plan: &Plan, executable: &Path, folder: &Path) -> std::io::Result<Command> {
    if plan.settings.sampling != Some(Sampling::Calls) {
        return Ok(Command::new(executable));
    }
    let valgrind = instructions::valgrind()
        .ok_or_else(|| std::io::Error::other("callgrind needs valgrind, which is not installed"))?;
    let mut counts = std::ffi::OsString::from("--callgrind-out-file=");
    counts.push(folder.join(CALLS_FILE));
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(counts).arg(executable);
    Ok(command)
}

/// The suite and all that it starts form a group, which can be ended as one.
#[cfg(unix)]
fn lead_a_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn lead_a_group(_: &mut Command) {}

/// Ends a suite and what it started; fails only where it has just ended.
fn end(child: &mut Child) {
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    );
    let _ = child.kill();
    let _ = child.wait();
}

fn wait(
    mut child: Child,
    plan: &Plan,
    start: Instant,
    folder: &Path,
    progress: &mut dyn Progress,
) -> (Outcome, Sampler) {
    let mut sampler = Sampler::new(child.id());
    let limit = Duration::from_secs(plan.settings.limit_s);
    let every = Duration::from_secs_f64(1.0 / plan.settings.sample_rate.clamp(1.0, 50.0));
    let mut next_sample = Duration::ZERO;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= next_sample {
            sampler.sample(elapsed);
            next_sample = elapsed + every;
        }
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return (Outcome::Completed, sampler),
            Ok(Some(status)) => {
                let detail = last_words(status, &folder.join("stderr.txt"));
                return (Outcome::Failed { detail }, sampler);
            }
            Ok(None) if elapsed > limit => {
                end(&mut child);
                let limit_s = plan.settings.limit_s;
                return (Outcome::TimedOut { limit_s }, sampler);
            }
            Ok(None) => {
                progress.tick();
                std::thread::sleep(POLL);
            }
            Err(error) => {
                end(&mut child);
                let detail = format!("cannot wait for it: {error}");
                return (Outcome::Failed { detail }, sampler);
            }
        }
    }
}

/// How it ended, and the end of what it printed to standard error.
fn last_words(status: ExitStatus, stderr: &Path) -> String {
    let printed = File::open(stderr).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    });
    match printed {
        Ok(printed) if !printed.is_empty() => format!("{status}: {printed}"),
        Ok(_) => status.to_string(),
        Err(error) => format!("{status}; {}: {error}", stderr.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_the_same_beginning_have_folders_of_their_own() {
        assert_ne!(short_hash("agents ask"), short_hash("agents bulk"));
        // Published test vectors of FNV-1a, 32 bits.
        assert_eq!(short_hash(""), 0x811c_9dc5);
        assert_eq!(short_hash("foobar"), 0xbf9c_f968);
    }
}
