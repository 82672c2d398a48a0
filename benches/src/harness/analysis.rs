//! What a run says about where time goes and what to do next.

use super::compare::cost;
use super::resources::{Bottleneck, Resources};
use super::results::{Outcome, Results, Series, direction};
use super::spec::{Better, Figure, Target};
use super::stats::{Slope, median};
use super::waits::Waits;
use serde::Serialize;

/// What one execution spent its time on, median over its runs.
#[derive(Debug, Clone, Serialize)]
pub struct Spent {
    /// Suite, filter and environment.
    pub label: String,
    /// The class of each run, equal ones once.
    pub classes: Vec<Bottleneck>,
    /// Wall time in seconds.
    pub wall_s: f64,
    /// CPU time by wall time.
    pub cores: f64,
    /// Part of the CPU time that was spent in the kernel.
    pub kernel_share: f64,
    /// Greatest resident memory in MiB.
    pub resident_mib_max: f64,
    /// Bytes to and from devices per second, in MB/s.
    pub disk_mb_per_s: f64,
    /// Times per second that threads gave their core away to wait.
    pub switches_per_s: f64,
    /// Seconds that threads waited for a core, by wall time.
    pub waiting_for_core: f64,
    /// Growth of memory over the second half of the first run that has enough samples.
    pub memory_slope: Option<Slope>,
}

/// What each execution spent its time on.
#[must_use]
pub fn spent(results: &Results) -> Vec<Spent> {
    let mut labels: Vec<&str> = Vec::new();
    for execution in &results.executions {
        if !labels.contains(&execution.label.as_str()) {
            labels.push(&execution.label);
        }
    }
    labels
        .into_iter()
        .filter_map(|label| {
            let runs: Vec<(f64, &Resources)> = results
                .executions
                .iter()
                .filter(|run| run.label == label)
                .filter_map(|run| Some((run.wall_s.max(1e-3), run.resources.as_ref()?)))
                .collect();
            spent_by(label, &runs)
        })
        .collect()
}

/// What the threads of each execution did, over all its runs.
#[must_use]
pub fn waits(results: &Results) -> Vec<(String, Waits)> {
    let mut all: Vec<(String, Waits)> = Vec::new();
    for run in &results.executions {
        let Some(used) = &run.resources else {
            continue;
        };
        match all.iter_mut().find(|(label, _)| *label == run.label) {
            Some((_, waits)) => *waits = waits.plus(used.waits),
            None => all.push((run.label.clone(), used.waits)),
        }
    }
    all
}

fn spent_by(label: &str, runs: &[(f64, &Resources)]) -> Option<Spent> {
    let of = |figure: &dyn Fn(f64, &Resources) -> f64| {
        let figures: Vec<f64> = runs
            .iter()
            .map(|(wall, used)| figure(*wall, used))
            .collect();
        median(&figures)
    };
    let mut classes = Vec::new();
    for (wall_s, used) in runs {
        let class = Bottleneck::of(used, *wall_s);
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let cpu = |used: &Resources| used.user_s + used.system_s;
    Some(Spent {
        label: label.to_owned(),
        classes,
        wall_s: of(&|wall, _| wall)?,
        cores: of(&|wall, used| cpu(used) / wall)?,
        kernel_share: of(&|_, used| used.system_s / cpu(used).max(1e-3))?,
        resident_mib_max: of(&|_, used| used.resident_mib_max)?,
        disk_mb_per_s: of(&|wall, used| float(used.read_bytes + used.written_bytes) / 1e6 / wall)?,
        switches_per_s: of(&|wall, used| float(used.voluntary_switches) / wall)?,
        waiting_for_core: of(&|wall, used| used.waited_for_core_s / wall)?,
        memory_slope: runs
            .iter()
            .find_map(|(_, used)| used.memory_slope_mib_per_min()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A row that costs more than the peer's.
#[derive(Debug, Clone, Serialize)]
pub struct Behind {
    /// The suite.
    pub suite: String,
    /// What is measured.
    pub measure: String,
    /// The peer.
    pub peer: String,
    /// Cost by the peer's, median over the runs: above 1.
    pub times: f64,
    /// Part of the row's cost that equals the lead of the peer, in per cent.
    pub saving_percent: f64,
}

/// Rows behind their peer, the farthest first.
///
/// How often a program does what a row measures is not known here, so the order is by the gain in
/// the row itself; a profile of the program gives the share to multiply it by.
#[must_use]
pub fn behind(results: &Results) -> Vec<Behind> {
    let mut all = Vec::new();
    for (key, series) in results.series() {
        let known = series
            .rows
            .first()
            .is_some_and(|row| direction(row).is_some());
        let costs: Option<Vec<f64>> = series.rows.iter().map(|row| cost(row)).collect();
        if let (true, false, Some(costs)) = (known, key.peer.is_empty(), costs)
            && let Some(times) = median(&costs).filter(|times| *times > 1.0)
        {
            all.push(Behind {
                suite: key.suite,
                measure: key.measure,
                peer: key.peer,
                times,
                saving_percent: 100.0 * (1.0 - 1.0 / times),
            });
        }
    }
    all.sort_by(|a, b| b.times.total_cmp(&a.times));
    all
}

/// How a target was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Met {
    /// As good as the target, or better.
    Met,
    /// Not as good, but within the range.
    Acceptable,
    /// Out of the range on the bad side.
    Missed,
    /// Out of the range on the good side: better than it can be, so look at the measurement.
    Implausible,
    /// No row of the run has that measure and unit.
    NotMeasured,
}

impl Met {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Acceptable => "acceptable",
            Self::Missed => "missed",
            Self::Implausible => "better than plausible",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A target and what was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// The spec.
    pub spec: String,
    /// The target.
    pub target: Target,
    /// The row; none where nothing was measured.
    pub measure: Option<String>,
    /// Its figure, median over the runs.
    pub figure: Option<f64>,
    /// How it was met.
    pub met: Met,
    /// How many times the figure is from the target, above 1 where it is worse.
    pub times: Option<f64>,
}

/// Every target of every spec, once for each row that it is about.
#[must_use]
pub fn targets(results: &Results) -> Vec<Held> {
    let series = results.series();
    let mut all = Vec::new();
    for spec in &results.specs {
        for target in &spec.targets {
            let before = all.len();
            let mut seen: Vec<(&str, &str)> = Vec::new();
            for (key, rows) in &series {
                let mine = rows.specs.contains(&spec.name.as_str());
                // Ours is the same beside every peer.
                let once = target.of == Figure::Ratio
                    || !seen.contains(&(key.label.as_str(), key.measure.as_str()));
                if mine && once && is_about(target, &key.measure, &key.unit) {
                    seen.push((&key.label, &key.measure));
                    all.extend(judge(&spec.name, target, &key.measure, rows));
                }
            }
            if all.len() == before {
                all.push(Held {
                    spec: spec.name.clone(),
                    target: target.clone(),
                    measure: None,
                    figure: None,
                    met: Met::NotMeasured,
                    times: None,
                });
            }
        }
    }
    all
}

fn is_about(target: &Target, measure: &str, unit: &str) -> bool {
    super::spec::matches(&target.measure, measure)
        && target.unit.as_deref().is_none_or(|wanted| wanted == unit)
}

fn judge(spec: &str, target: &Target, measure: &str, rows: &Series<'_>) -> Option<Held> {
    let figures: Option<Vec<f64>> = rows
        .rows
        .iter()
        .map(|recorded| match target.of {
            Figure::Ours => Some(recorded.row.ours),
            Figure::Ratio => recorded.row.ratio,
        })
        .collect();
    let figure = median(&figures?)?;
    let (low, high) = target.acceptable;
    let (is_met, is_missed, is_implausible, times) = match target.better {
        Better::Lower => (
            figure <= target.target,
            figure > high,
            figure < low,
            figure / target.target,
        ),
        Better::Higher => (
            figure >= target.target,
            figure < low,
            figure > high,
            target.target / figure,
        ),
    };
    let met = if is_implausible {
        Met::Implausible
    } else if is_met {
        Met::Met
    } else if is_missed {
        Met::Missed
    } else {
        Met::Acceptable
    };
    Some(Held {
        spec: spec.to_owned(),
        target: target.clone(),
        measure: Some(measure.to_owned()),
        figure: Some(figure),
        met,
        times: Some(times).filter(|times| times.is_finite()),
    })
}

/// A thing to do.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// How many times worse than it should be: the order of the list.
    pub times: f64,
    /// The suite or spec.
    pub of: String,
    /// What to do, in a sentence.
    pub what: String,
}

/// Crates whose functions are ours to change; profiles hold the peers' as well.
const OURS: [&str; 12] = [
    "sketches::",
    "(sketches/",
    "sigma_lang::",
    "(sigma-lang/",
    "sigma_vault::",
    "(sigma-vault/",
    "agent_collective::",
    "(agent-collective/",
    "ryot_inference::",
    "(ryot-inference/",
    "neurectomy::",
    "(neurectomy/",
];
/// Own part of a profile from which a function is worth a look, in per cent.
const HOT_PERCENT: f64 = 5.0;

/// Functions of ours with a large part of a profile. Their step is what the whole execution would gain
/// if the function were twice as fast: share times possible speed-up.
fn hot(results: &Results) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for run in results
        .executions
        .iter()
        .filter(|run| !run.hotspots.is_empty())
    {
        if seen.contains(&run.label.as_str()) {
            continue;
        }
        seen.push(&run.label);
        let is_ours = |name: &str| OURS.iter().any(|ours| name.contains(ours));
        let hot = run
            .hotspots
            .iter()
            .filter(|spot| spot.self_percent >= HOT_PERCENT && is_ours(&spot.function));
        steps.extend(hot.map(|spot| Step {
            times: 1.0 / (1.0 - spot.self_percent / 200.0),
            of: run.label.clone(),
            what: format!(
                "{} takes {:.0} % of the profile",
                spot.function, spot.self_percent
            ),
        }));
    }
    steps
}

/// What to do next: executions that did not complete (the first run of each) first, then missed targets, rows behind
/// their peer and functions with a large part of a profile, the largest gain first.
#[must_use]
pub fn roadmap(results: &Results) -> Vec<Step> {
    let mut steps = Vec::new();
    for execution in &results.executions {
        let is_new = |step: &Step| step.of != execution.label;
        if execution.outcome != Outcome::Completed && steps.iter().all(is_new) {
            let outcome = execution.outcome.words();
            let first = outcome.lines().next().unwrap_or_default().to_owned();
            steps.push(Step {
                times: f64::MAX,
                of: execution.label.clone(),
                what: format!("run {} {first}", execution.round),
            });
        }
    }
    for held in targets(results) {
        if let (Met::Missed | Met::Acceptable, Some(times), Some(measure)) =
            (held.met, held.times, &held.measure)
        {
            steps.push(Step {
                times,
                of: held.spec,
                what: format!("target {}: {measure}", held.target.name),
            });
        }
    }
    for row in behind(results) {
        steps.push(Step {
            times: row.times,
            of: row.suite,
            what: format!("{} behind {}", row.measure, row.peer),
        });
    }
    steps.extend(hot(results));
    steps.sort_by(|a, b| b.times.total_cmp(&a.times));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::harness::results::{Execution, FORMAT};
    use crate::profile::Hotspot;

    #[test]
    fn hot_functions_of_ours_are_steps_by_what_they_could_gain() {
        let spot = |function: &str, self_percent: f64| Hotspot {
            function: function.to_owned(),
            self_percent,
            total_percent: 100.0,
            samples: 1000,
            calls: None,
        };
        let run = |round| Execution {
            label: "storage".to_owned(),
            suite: "storage".to_owned(),
            specs: Vec::new(),
            round,
            outcome: Outcome::Completed,
            wall_s: 1.0,
            resources: None,
            hotspots: vec![
                spot("<sigma_vault::Index as Find>::find", 10.0),
                spot("ZSTD_compress", 50.0),
                spot("sigma_lang::pack", 20.0),
                spot("sketches::hash", 4.0),
            ],
            heap: Vec::new(),
            rows: Vec::new(),
        };
        let results = Results {
            format: FORMAT,
            name: None,
            environment: Environment::read(),
            load_1m_at_end: None,
            specs: Vec::new(),
            executions: vec![run(1), run(2)],
        };
        let steps: Vec<(String, f64)> = roadmap(&results)
            .into_iter()
            .map(|step| (step.what, (step.times * 1000.0).round()))
            .collect();
        let step = |what: &str, times| (what.to_owned(), times);
        assert_eq!(
            steps,
            [
                step("sigma_lang::pack takes 20 % of the profile", 1111.0),
                step(
                    "<sigma_vault::Index as Find>::find takes 10 % of the profile",
                    1053.0
                ),
            ]
        );
    }
}
