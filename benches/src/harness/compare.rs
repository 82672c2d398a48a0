//! Whether results are worse than a baseline.
//!
//! What is compared is never a time, which moves with the machine: it is the *cost*, the ratio of
//! ours to the peer's figure of the same run (its inverse for rates), or a size. Where criterion took
//! samples it is the ratio of the fastest samples, since noise only adds time (Chen and Revels,
//! "Robust benchmarking in noisy environments", 2016). A row is a regression if all of these hold, over at least three runs on each side:
//!
//! 1. The median shift of the logarithms of the cost (Hodges and Lehmann) is at least the threshold.
//! 2. The rank sum of the new runs is that high with a probability of at most 5 % if nothing
//!    changed (exact test of Wilcoxon, Mann and Whitney). With three runs against three that is
//!    only so where every new run is above every old one.
//! 3. With 95 % confidence the shift is at least half of the threshold (bound of Moses).
//! 4. Neither side's own runs spread wider (greatest by least) than the threshold (one and a half
//!    thresholds with five runs and more), or than half of the shift where that is more: runs that
//!    differ that much among themselves say nothing.
//!
//! A row that moved by the threshold without passing 2 to 4 is `Unclear`: measure it again with
//! more runs. Hundreds of rows are judged at once, so the second rule alone would raise false
//! alarms on noisy rows; the third and fourth are what keeps them out, and five runs (the default of
//! a spec) more than three.

use super::HarnessError;
use super::results::{Results, RowKey, Series, direction, is_size, is_tail, is_time};
use super::spec::{Better, Regression};
use super::stats;
use crate::journal::Recorded;

/// Error of the test and of the bound.
const ALPHA: f64 = 0.05;
/// Fewest runs of each side.
const RUNS_MIN: usize = 3;
/// Runs of each side from which on they may spread wider.
const RUNS_MANY: usize = 5;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Moved by less than the threshold.
    Same,
    /// Better by the threshold, and clearly so.
    Better,
    /// Worse by the threshold, and clearly so.
    Worse,
    /// Moved by the threshold, but the runs differ too much to say so.
    Unclear,
    /// Moved clearly, but neither goal nor unit says which direction is good.
    Moved,
    /// One side has fewer than three runs.
    FewRuns,
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Unclear => "unclear",
            Self::Moved => "moved",
            Self::FewRuns => "too few runs",
        }
    }
}

/// One row of both sides.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The row.
    pub key: RowKey,
    /// Whether it is a 99th or higher percentile.
    pub is_tail: bool,
    /// Cost of each run of the baseline.
    pub base: Vec<f64>,
    /// Cost of each new run.
    pub new: Vec<f64>,
    /// Estimated change of the cost in per cent; above zero is worse.
    pub change_percent: f64,
    /// With 95 % confidence the change, in its own direction, is at least this.
    pub at_least_percent: f64,
    /// Probability of ranks this extreme if nothing changed, one-sided.
    pub p: f64,
    /// Greatest by least cost, the worse side's, less one, in per cent.
    pub spread_percent: f64,
    /// Threshold of the row in per cent.
    pub threshold_percent: f64,
    /// What became of it.
    pub verdict: Verdict,
}

/// All rows of both sides.
#[derive(Debug)]
pub struct Compared {
    /// Rows that both sides have, the worst change first.
    pub rows: Vec<Judged>,
    /// Rows of the baseline that are missing although their execution was run again.
    pub missing: Vec<RowKey>,
    /// Rows of both sides that have no peer and are no size: they cannot be compared.
    pub without_peer: usize,
    /// Rows whose specs switched comparison off.
    pub switched_off: usize,
    /// The two machines, where they differ.
    pub machines: Option<(String, String)>,
}

impl Compared {
    /// Rows with a verdict; `tails` chooses between percentiles and all other rows.
    pub fn with(&self, verdict: Verdict, tails: bool) -> impl Iterator<Item = &Judged> {
        self.rows
            .iter()
            .filter(move |row| row.verdict == verdict && row.is_tail == tails)
    }

    /// Whether nothing got worse and nothing is missing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.missing.is_empty() && self.rows.iter().all(|row| row.verdict != Verdict::Worse)
    }
}

/// Compares results with a baseline.
///
/// # Errors
/// No row can be compared, or none has three runs on both sides.
pub fn compare(base: &Results, new: &Results) -> Result<Compared, HarnessError> {
    let (old, fresh) = (base.series(), new.series());
    let mut compared = Compared {
        rows: Vec::new(),
        missing: Vec::new(),
        without_peer: 0,
        switched_off: 0,
        machines: (base.environment.cpu != new.environment.cpu)
            .then(|| (base.environment.cpu.clone(), new.environment.cpu.clone())),
    };
    for (key, before) in &old {
        let Some(after) = fresh.get(key) else {
            if new.executions.iter().any(|run| run.label == key.label) {
                compared.missing.push(key.clone());
            }
            continue;
        };
        let Some(regression) = regression_of(new, after) else {
            compared.switched_off += 1;
            continue;
        };
        match judge(key, before, after, regression) {
            Some(judged) => compared.rows.push(judged),
            None => compared.without_peer += 1,
        }
    }
    if compared.rows.is_empty() && compared.missing.is_empty() {
        return Err(HarnessError::NothingToCompare);
    }
    enough_runs(&compared)?;
    compared
        .rows
        .sort_by(|a, b| b.change_percent.total_cmp(&a.change_percent));
    Ok(compared)
}

/// The strictest of the row's specs; the defaults where no spec claims it; none where all specs
/// that do are switched off.
fn regression_of(new: &Results, series: &Series<'_>) -> Option<Regression> {
    if series.specs.is_empty() {
        return Some(Regression::default());
    }
    let mut found: Option<Regression> = None;
    for spec in &new.specs {
        if series.specs.contains(&spec.name.as_str()) && spec.regression.enabled {
            let this = spec.regression;
            found = Some(found.map_or(this, |found| Regression {
                threshold_percent: found.threshold_percent.min(this.threshold_percent),
                p99_threshold_percent: found.p99_threshold_percent.min(this.p99_threshold_percent),
                min_iterations: found.min_iterations.max(this.min_iterations),
                enabled: true,
            }));
        }
    }
    found
}

fn enough_runs(compared: &Compared) -> Result<(), HarnessError> {
    let few = |row: &Judged| row.verdict == Verdict::FewRuns;
    match compared.rows.first() {
        Some(row) if compared.rows.iter().all(few) => Err(HarnessError::TooFewRuns {
            side: if row.base.len() < RUNS_MIN {
                "the baseline"
            } else {
                "the new file"
            },
            execution: row.key.label.clone(),
            runs: row.base.len().min(row.new.len()),
            needed: RUNS_MIN,
        }),
        _ => Ok(()),
    }
}

/// What a row costs: lower is better wherever the direction is known.
#[must_use]
pub fn cost(recorded: &Recorded) -> Option<f64> {
    let row = &recorded.row;
    let figure = match row.ratio {
        Some(ratio) => ratio,
        None if is_size(&row.unit) && !is_time(&row.unit) => row.ours,
        None => return None,
    };
    if !(figure.is_finite() && figure > 0.0) {
        return None;
    }
    match direction(recorded) {
        Some(Better::Higher) => Some(1.0 / figure),
        Some(Better::Lower) | None => Some(figure),
    }
}

/// The cost that moves least: by the fastest samples where the row has them.
fn steady_cost(recorded: &Recorded) -> Option<f64> {
    recorded.fastest_ratio.or_else(|| cost(recorded))
}

fn judge(
    key: &RowKey,
    before: &Series<'_>,
    after: &Series<'_>,
    regression: Regression,
) -> Option<Judged> {
    let costs = |series: &Series<'_>| -> Option<Vec<f64>> {
        series
            .rows
            .iter()
            .map(|recorded| steady_cost(recorded))
            .collect()
    };
    let (base, new) = (costs(before)?, costs(after)?);
    let is_tail = is_tail(&key.measure);
    let threshold_percent = if is_tail {
        regression.p99_threshold_percent
    } else {
        regression.threshold_percent
    };
    let mut judged = Judged {
        key: key.clone(),
        is_tail,
        change_percent: 0.0,
        at_least_percent: 0.0,
        p: 1.0,
        spread_percent: percent(spread(&base).max(spread(&new))),
        threshold_percent,
        verdict: Verdict::FewRuns,
        base,
        new,
    };
    let has_direction = after
        .rows
        .first()
        .is_some_and(|recorded| direction(recorded).is_some());
    if judged.base.len() >= RUNS_MIN && judged.new.len() >= RUNS_MIN {
        decide(&mut judged, has_direction)?;
    }
    Some(judged)
}

fn decide(judged: &mut Judged, has_direction: bool) -> Option<()> {
    let logarithms = |costs: &[f64]| -> Vec<f64> { costs.iter().map(|cost| cost.ln()).collect() };
    let (base, new) = (logarithms(&judged.base), logarithms(&judged.new));
    let up = stats::shift(&base, &new, ALPHA)?;
    let is_up = up.estimate >= 0.0;
    // A fall is a rise with the sides exchanged.
    let (rise, p) = if is_up {
        (up, stats::rank_sum_p(&base, &new))
    } else {
        let down = stats::shift(&new, &base, ALPHA)?;
        (down, stats::rank_sum_p(&new, &base))
    };
    judged.change_percent = percent(up.estimate);
    judged.at_least_percent = percent(rise.at_least);
    judged.p = p;
    let threshold = (judged.threshold_percent / 100.0).ln_1p();
    let spread = spread(&judged.base).max(spread(&judged.new));
    // The range of more runs is wider by itself.
    let are_many = judged.base.len().min(judged.new.len()) >= RUNS_MANY;
    let allowed = if are_many { 1.5 } else { 1.0 } * threshold;
    let is_clear = p <= ALPHA + 1e-12
        && rise.at_least >= threshold / 2.0
        && spread <= allowed.max(rise.estimate / 2.0);
    judged.verdict = if rise.estimate < threshold {
        Verdict::Same
    } else if !is_clear {
        Verdict::Unclear
    } else if !has_direction {
        Verdict::Moved
    } else if is_up {
        Verdict::Worse
    } else {
        Verdict::Better
    };
    Some(())
}

/// Logarithm of the greatest by the least.
fn spread(costs: &[f64]) -> f64 {
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = costs.iter().copied().fold(0.0, f64::max);
    if costs.is_empty() {
        0.0
    } else {
        (most / least).ln()
    }
}

fn percent(logarithm: f64) -> f64 {
    100.0 * logarithm.exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::harness::results::{Execution, FORMAT, Outcome};
    use crate::row::{Goal, Row};

    fn recorded(row: Row) -> Recorded {
        Recorded {
            row,
            group: None,
            work: None,
            fastest_ratio: None,
            samples: None,
        }
    }

    fn environment() -> Environment {
        Environment {
            commit: String::new(),
            cpu: String::new(),
            threads: 1,
            cpu_flags: Vec::new(),
            load_1m: None,
            memory_mib: None,
            compiler: String::new(),
            date: String::new(),
        }
    }

    /// One run per ratio.
    fn results(row: impl Fn(f64) -> Row, ratios: &[f64]) -> Results {
        Results {
            format: FORMAT,
            name: None,
            environment: environment(),
            load_1m_at_end: None,
            specs: Vec::new(),
            executions: (1..)
                .zip(ratios)
                .map(|(round, ratio)| Execution {
                    label: "s".to_owned(),
                    suite: "s".to_owned(),
                    specs: Vec::new(),
                    round,
                    outcome: Outcome::Completed,
                    wall_s: 1.0,
                    resources: None,
                    hotspots: Vec::new(),
                    heap: Vec::new(),
                    rows: vec![recorded(row(*ratio))],
                })
                .collect(),
        }
    }

    fn time(ratio: f64) -> Row {
        Row::new("m", "ns", 100.0 * ratio).against("p", 100.0)
    }

    fn verdict(row: impl Fn(f64) -> Row, base: &[f64], new: &[f64]) -> Verdict {
        let compared = compare(&results(&row, base), &results(&row, new)).unwrap();
        compared.rows[0].verdict
    }

    #[test]
    fn the_threshold_decides_over_quiet_runs() {
        let base = [1.00, 1.01, 0.99];
        assert_eq!(verdict(time, &base, &[1.15, 1.16, 1.14]), Verdict::Worse);
        assert_eq!(verdict(time, &base, &[1.03, 1.04, 1.02]), Verdict::Same);
        assert_eq!(verdict(time, &base, &[0.80, 0.81, 0.79]), Verdict::Better);
        assert_eq!(verdict(time, &base, &[1.00, 0.99, 1.01]), Verdict::Same);
    }

    #[test]
    fn rates_are_worse_when_they_fall() {
        let rate = |ratio: f64| Row::new("m", "op/s", ratio).against("p", 1.0);
        let base = [2.00, 2.02, 1.98];
        assert_eq!(verdict(rate, &base, &[1.6, 1.62, 1.58]), Verdict::Worse);
        assert_eq!(verdict(rate, &base, &[2.4, 2.42, 2.38]), Verdict::Better);
        let goal = |ratio: f64| {
            let row = Row::new("m", "x", ratio).against("p", 1.0);
            row.goal(Goal::RatioAtLeast(1.0))
        };
        assert_eq!(verdict(goal, &base, &[1.6, 1.62, 1.58]), Verdict::Worse);
    }

    #[test]
    fn noise_is_unclear_and_not_an_alarm() {
        // Overlapping runs: the ranks do not say it.
        assert_eq!(
            verdict(time, &[1.0, 1.2, 0.9], &[1.15, 1.25, 1.18]),
            Verdict::Unclear
        );
        // Ranks say it, but a side differs more in itself.
        assert_eq!(
            verdict(time, &[1.0, 1.01, 1.02], &[1.08, 1.30, 1.16]),
            Verdict::Unclear
        );
        // So large a change stands out of the same noise.
        assert_eq!(
            verdict(time, &[1.0, 1.01, 1.02], &[1.9, 2.2, 2.0]),
            Verdict::Worse
        );
    }

    #[test]
    fn a_row_without_direction_only_moves() {
        let row = |ratio: f64| Row::new("m", "x", ratio).against("p", 1.0);
        assert_eq!(
            verdict(row, &[1.0, 1.01, 0.99], &[2.0, 2.0, 2.0]),
            Verdict::Moved
        );
    }

    #[test]
    fn sizes_are_compared_without_a_peer_and_times_are_not() {
        let size = |bytes: f64| Row::new("m", "byte", bytes);
        assert_eq!(verdict(size, &[100.0; 3], &[120.0; 3]), Verdict::Worse);
        let alone = |ns: f64| Row::new("m", "ns", ns);
        let message = compare(&results(alone, &[1.0; 3]), &results(alone, &[2.0; 3]));
        assert!(matches!(message, Err(HarnessError::NothingToCompare)));
    }

    #[test]
    fn too_few_runs_are_an_error_that_names_the_side() {
        let message = compare(&results(time, &[1.0; 3]), &results(time, &[1.0; 2]));
        assert_eq!(
            message.unwrap_err().to_string(),
            "the new file has 2 complete runs of s; a comparison needs at least 3"
        );
    }

    #[test]
    fn percentiles_have_a_list_of_their_own() {
        let tail = |ratio: f64| Row::new("get, p99", "us", ratio).against("p", 1.0);
        let compared = compare(
            &results(tail, &[1.0, 1.01, 0.99]),
            &results(tail, &[1.2, 1.21, 1.22]),
        )
        .unwrap();
        assert_eq!(compared.with(Verdict::Worse, true).count(), 1);
        assert_eq!(compared.with(Verdict::Worse, false).count(), 0);
        assert!(!compared.is_held());
    }

    #[test]
    fn a_lost_row_is_missing() {
        let mut new = results(time, &[1.0; 3]);
        for execution in &mut new.executions {
            execution.rows[0].row.measure = "other".to_owned();
        }
        let compared = compare(&results(time, &[1.0; 3]), &new).unwrap();
        assert_eq!(compared.missing.len(), 1);
        assert!(!compared.is_held());
    }

    /// 2,000 rows of log-normal noise of each width: alarms where nothing changed, and finds where
    /// a slowdown of 15 % or 3 % is there. More runs raise fewer alarms.
    #[test]
    fn simulated_rows_raise_few_alarms_and_show_slowdowns() {
        let mut seeded = crate::corpus::SplitMix64::new(7);
        let mut normal = move || {
            // Twelve uniform numbers make a good normal one.
            (0..12).map(|_| unit(seeded.bits())).sum::<f64>() - 6.0
        };
        let mut worse = |runs: usize, width: f64, slower: f64| {
            let found = (0..2000)
                .filter(|_| {
                    let mut side = |by: f64| -> Vec<f64> {
                        (0..runs).map(|_| by * (width * normal()).exp()).collect()
                    };
                    let (base, new) = (side(1.0), side(slower));
                    verdict(time, &base, &new) == Verdict::Worse
                })
                .count();
            stats::as_f64(found) / 2000.0
        };
        for (runs, width, alarms) in [
            (3, 0.01, 0.0),
            (3, 0.02, 0.0),
            (3, 0.05, 0.006),
            (3, 0.10, 0.008),
            (5, 0.02, 0.0),
            (5, 0.05, 0.002),
            (5, 0.10, 0.003),
            (5, 0.20, 0.001),
        ] {
            let found = worse(runs, width, 1.0);
            assert!(
                found <= alarms,
                "{found} alarms, {runs} runs of width {width}"
            );
        }
        for runs in [3, 5] {
            assert!(worse(runs, 0.01, 1.15) >= 0.99);
            assert!(worse(runs, 0.02, 1.15) >= 0.95);
            assert!(worse(runs, 0.01, 1.03) <= 0.0);
            assert!(worse(runs, 0.02, 1.03) <= 0.001);
        }
        assert!(worse(5, 0.03, 1.15) >= 0.93);
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn unit(bits: u64) -> f64 {
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
