//! Runs days one after the other and puts their results together.

use super::plan::Day;
use crate::environment::Environment;
use crate::harness::HarnessError;
use crate::harness::executables::Executables;
use crate::harness::results::{Execution, FORMAT, Outcome, Results};
use crate::harness::runner::{self, Progress, Run};
use crate::harness::spec::{Plan, plans};
use std::path::{Path, PathBuf};

/// What a campaign does.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// The days.
    pub days: &'a [Day],
    /// The workspace.
    pub workspace: &'a Path,
    /// Folder of the days' results, `day-1.json` and so on.
    pub folder: &'a Path,
    /// Runs of each execution, where the days' own numbers do not hold.
    pub rounds: Option<u32>,
    /// Whether what is there of the same commit is measured again.
    pub again: bool,
}

/// A day and what came of it.
#[derive(Debug, Clone)]
pub struct DayRun {
    /// From 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What it shows.
    pub description: String,
    /// Names of its specs.
    pub specs: Vec<String>,
    /// Its results, also those of a day that failed; none where nothing was run.
    pub results: Option<Results>,
    /// Executions that are kept of an earlier start of the campaign.
    pub kept: usize,
    /// What stopped the day.
    pub error: Option<String>,
}

impl DayRun {
    /// Executions that completed, and all.
    #[must_use]
    pub fn completed(&self) -> (usize, usize) {
        let executions = || self.results.iter().flat_map(|results| &results.executions);
        let good = executions().filter(|run| run.outcome == Outcome::Completed);
        (good.count(), executions().count())
    }

    /// Whether the day came to its end and all its executions completed.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let (good, all) = self.completed();
        self.error.is_none() && good == all
    }
}

/// Runs the days. `executables` gives the suites of a day, built where they have to be.
///
/// What stops a day, a full disk for example, is its error, and the next day begins.
pub fn run(
    campaign: &Campaign<'_>,
    executables: &mut dyn FnMut(&[Plan]) -> Result<Executables, HarnessError>,
    progress: &mut dyn Progress,
) -> Vec<DayRun> {
    let commit = Environment::read().commit;
    let days = campaign.days.iter();
    days.map(|day| run_day(campaign, day, &commit, executables, progress))
        .collect()
}

fn run_day(
    campaign: &Campaign<'_>,
    day: &Day,
    commit: &str,
    executables: &mut dyn FnMut(&[Plan]) -> Result<Executables, HarnessError>,
    progress: &mut dyn Progress,
) -> DayRun {
    let file = file_of(campaign.folder, day.number);
    let plans = plans(&day.specs);
    let rounds = campaign.rounds.unwrap_or(day.runs);
    let kept = if campaign.again && !day.skipped {
        None
    } else {
        kept(&file, commit, &plans, rounds)
    };
    let mut ran = DayRun {
        number: day.number,
        name: day.name.clone(),
        description: day.description.clone(),
        specs: day.specs.iter().map(|spec| spec.name.clone()).collect(),
        results: None,
        kept: kept.as_ref().map_or(0, |kept| kept.executions.len()),
        error: None,
    };
    if day.skipped {
        ran.results = earlier(&file, commit);
        ran.kept = ran.completed().0;
        return ran;
    }
    let outcome = left(&plans, kept.as_ref(), rounds, executables).and_then(|executables| {
        let run = Run {
            specs: &day.specs,
            plans: &plans,
            rounds: Some(rounds),
            budget: None,
            kept,
            executables: &executables,
            workspace: campaign.workspace,
            results_file: &file,
        };
        runner::run(&run, progress)
    });
    match outcome {
        Ok(results) => ran.results = Some(results),
        Err(error) => {
            ran.error = Some(error.to_string());
            // What was written before is the day's partial result.
            ran.results = earlier(&file, commit);
        }
    }
    ran
}

/// The suites, where something is left to run.
fn left(
    plans: &[Plan],
    kept: Option<&Results>,
    rounds: u32,
    executables: &mut dyn FnMut(&[Plan]) -> Result<Executables, HarnessError>,
) -> Result<Executables, HarnessError> {
    let is_left = |plan: &&Plan| {
        let executions = kept.iter().flat_map(|kept| &kept.executions);
        let done = executions.filter(|run| run.label == plan.label);
        done.count() < rounds as usize
    };
    let left: Vec<Plan> = plans.iter().filter(is_left).cloned().collect();
    if left.is_empty() {
        return Ok(Executables::new());
    }
    executables(&left)
}

fn file_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("day-{number}.json"))
}

/// Results of the day that are there, of the same commit.
fn earlier(file: &Path, commit: &str) -> Option<Results> {
    let results = Results::read(file).ok();
    results.filter(|results| results.environment.commit == commit)
}

/// Executions of an earlier start that completed and are asked for again, of the same commit.
fn kept(file: &Path, commit: &str, plans: &[Plan], rounds: u32) -> Option<Results> {
    let mut earlier = earlier(file, commit)?;
    let is_asked =
        |run: &Execution| run.round <= rounds && plans.iter().any(|plan| plan.label == run.label);
    earlier
        .executions
        .retain(|run| run.outcome == Outcome::Completed && is_asked(run));
    Some(earlier).filter(|kept| !kept.executions.is_empty())
}

/// All days' results as those of one run; the circumstances are those of the first day.
#[must_use]
pub fn merged(days: &[DayRun]) -> Results {
    let results = || days.iter().filter_map(|day| day.results.as_ref());
    Results {
        format: FORMAT,
        name: None,
        environment: results()
            .next()
            .map_or_else(Environment::read, |first| first.environment.clone()),
        load_1m_at_end: results().filter_map(|day| day.load_1m_at_end).next_back(),
        specs: results().flat_map(|day| day.specs.clone()).collect(),
        executions: results().flat_map(|day| day.executions.clone()).collect(),
    }
}
