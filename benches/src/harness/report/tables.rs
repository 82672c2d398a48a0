//! The tables, which the page and its Markdown twin share.

use super::Report;
use super::html::number;
use super::svg::figure;
use crate::harness::analysis::{self, Met};
use crate::harness::compare::{Compared, Verdict};
use crate::harness::results::Outcome;
use crate::harness::spec::{Analysis, Figure};
use crate::harness::stats::median;

/// The order of the roadmap.
const ORDER: &str = "The largest gain first: how many times a figure is from its target or peer, or how many times faster \
                     an execution would be if the function were twice as fast.";
/// Steps of the roadmap that are shown.
const STEPS_MAX: usize = 40;

/// Texts in rows and columns.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) words: String,
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
    /// Whether it stands above the plots.
    pub(super) is_first: bool,
}

/// All tables that have rows.
pub(super) fn tables(report: &Report<'_>) -> Vec<Table> {
    let mut all = vec![days(report), specs(report), targets(report)];
    if let Some((name, compared)) = &report.compared {
        all.push(changes(name, compared));
    }
    all.extend([
        failures(report),
        bottlenecks(report),
        waits(report),
        hotspots(report),
        heap(report),
        impact(report),
        roadmap(report),
        rows(report),
    ]);
    all.retain(|table| !table.rows.is_empty());
    all
}

fn days(report: &Report<'_>) -> Table {
    let rows = report.days.iter().map(|day| {
        let (good, all) = day.completed();
        let results = day.results.as_ref();
        let executions = || results.iter().flat_map(|results| &results.executions);
        let wall_s: f64 = executions().map(|run| run.wall_s).sum();
        let rows: usize = executions().map(|run| run.rows.len()).sum();
        let load = results.and_then(|results| {
            let before = results.environment.load_1m?;
            Some(format!("{before} to {}", results.load_1m_at_end?))
        });
        let begun = results.map_or("-", |results| &results.environment.date);
        vec![
            day.number.to_string(),
            day.name.clone(),
            day.specs.join(", "),
            if all > 0 {
                format!("{good} of {all}")
            } else {
                "-".to_owned()
            },
            rows.to_string(),
            figure(wall_s),
            begun.to_owned(),
            load.unwrap_or_else(|| "-".to_owned()),
            day.error.clone().unwrap_or_else(|| day.description.clone()),
        ]
    });
    Table {
        title: "Days".to_owned(),
        words: "Load is the number of runnable processes over a minute, before and after."
            .to_owned(),
        heads: vec![
            "day",
            "name",
            "benchmarks",
            "executions completed",
            "rows",
            "seconds",
            "begun",
            "load",
            "what",
        ],
        rows: rows.collect(),
        is_first: true,
    }
}

fn specs(report: &Report<'_>) -> Table {
    let results = report.results;
    let series = results.series();
    let held = analysis::targets(results);
    let rows = results.specs.iter().map(|spec| {
        let runs: Vec<_> = results
            .executions
            .iter()
            .filter(|run| run.specs.contains(&spec.name))
            .collect();
        let completed = runs
            .iter()
            .filter(|run| run.outcome == Outcome::Completed)
            .count();
        let measured = series
            .values()
            .filter(|rows| rows.specs.contains(&spec.name.as_str()))
            .count();
        let mine: Vec<_> = held.iter().filter(|held| held.spec == spec.name).collect();
        let good = mine
            .iter()
            .filter(|held| matches!(held.met, Met::Met | Met::Acceptable))
            .count();
        let (runs, measured, targets) = match spec.analysis {
            Some(analysis) => ("-".to_owned(), analysed(report, analysis), "-".to_owned()),
            None => (
                format!("{completed} of {}", runs.len()),
                measured.to_string(),
                format!("{good} of {}", mine.len()),
            ),
        };
        vec![
            spec.name.clone(),
            spec.tier.clone(),
            runs,
            measured,
            targets,
            spec.description.clone(),
        ]
    });
    Table {
        title: "Benchmarks".to_owned(),
        words: String::new(),
        heads: vec![
            "benchmark",
            "tier",
            "runs completed",
            "rows",
            "targets held",
            "what",
        ],
        rows: rows.collect(),
        is_first: true,
    }
}

/// Rows of an analysis.
fn analysed(report: &Report<'_>, analysis: Analysis) -> String {
    let count = match analysis {
        Analysis::Bottlenecks => analysis::spent(report.results).len(),
        Analysis::Impact => analysis::behind(report.results).len(),
        Analysis::Roadmap => analysis::roadmap(report.results).len(),
    };
    count.to_string()
}

fn targets(report: &Report<'_>) -> Table {
    let rows = analysis::targets(report.results).into_iter().map(|held| {
        let unit = match held.target.of {
            Figure::Ours => held.target.unit.clone().unwrap_or_default(),
            Figure::Ratio => "of the peer".to_owned(),
        };
        let (low, high) = held.target.acceptable;
        vec![
            held.spec,
            held.target.name,
            held.measure.unwrap_or(held.target.measure),
            number(held.figure),
            figure(held.target.target),
            format!("{} to {}", figure(low), figure(high)),
            unit,
            held.met.words().to_owned(),
        ]
    });
    Table {
        title: "Targets".to_owned(),
        words: "Medians over the runs.".to_owned(),
        heads: vec![
            "benchmark",
            "target",
            "measure",
            "figure",
            "target",
            "acceptable",
            "unit",
            "held",
        ],
        rows: rows.collect(),
        is_first: true,
    }
}

fn changes(name: &str, compared: &Compared) -> Table {
    let mut rows = Vec::new();
    for tails in [false, true] {
        for verdict in [
            Verdict::Worse,
            Verdict::Unclear,
            Verdict::Moved,
            Verdict::Better,
        ] {
            rows.extend(compared.with(verdict, tails).map(|row| {
                vec![
                    row.key.label.clone(),
                    row.key.measure.clone(),
                    row.key.peer.clone(),
                    if tails { "p99 or higher" } else { "typical" }.to_owned(),
                    format!("{:+.1}", row.change_percent),
                    format!("{:.1}", row.at_least_percent),
                    format!("{:.4}", row.p),
                    verdict.words().to_owned(),
                ]
            }));
        }
    }
    let same = compared
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Same)
        .count();
    Table {
        title: format!("Changes against baseline {name}"),
        words: format!(
            "{} rows compared, {same} the same within their threshold. Changes of cost in per cent, above 0 is worse.",
            compared.rows.len()
        ),
        heads: vec![
            "execution",
            "measure",
            "peer",
            "kind",
            "change %",
            "at least %",
            "p",
            "verdict",
        ],
        rows,
        is_first: true,
    }
}

fn failures(report: &Report<'_>) -> Table {
    let rows = report
        .results
        .executions
        .iter()
        .filter(|run| run.outcome != Outcome::Completed)
        .map(|run| {
            vec![
                run.label.clone(),
                run.round.to_string(),
                run.rows.len().to_string(),
                run.outcome.words(),
            ]
        });
    Table {
        title: "Executions that did not complete".to_owned(),
        words: "The rows that they wrote before are kept.".to_owned(),
        heads: vec!["execution", "run", "rows kept", "how it ended"],
        rows: rows.collect(),
        is_first: true,
    }
}

fn bottlenecks(report: &Report<'_>) -> Table {
    let rows = analysis::spent(report.results).into_iter().map(|spent| {
        let classes: Vec<&str> = spent.classes.iter().map(|class| class.words()).collect();
        let slope = spent.memory_slope.map_or_else(
            || "-".to_owned(),
            |slope| {
                format!(
                    "{} ({} to {})",
                    figure(slope.estimate),
                    figure(slope.low),
                    figure(slope.high)
                )
            },
        );
        vec![
            spent.label,
            classes.join("; "),
            figure(spent.wall_s),
            figure(spent.cores),
            figure(spent.waiting_for_core),
            figure(100.0 * spent.kernel_share),
            figure(spent.resident_mib_max),
            figure(spent.disk_mb_per_s),
            figure(spent.switches_per_s),
            slope,
        ]
    });
    Table {
        title: "Where the time goes".to_owned(),
        words: "By the system's counters, peers included, medians over the runs. CPU and memory cannot be told apart \
                without hardware counters. The slope of memory is over the second half of a run, with the interval of \
                95 % of Theil and Sen, which takes samples for independent."
            .to_owned(),
        heads: vec![
            "execution",
            "limited by",
            "wall s",
            "cores busy",
            "waiting for a core",
            "kernel %",
            "MiB",
            "disk MB/s",
            "waits/s",
            "MiB/min",
        ],
        rows: rows.collect(),
        is_first: false,
    }
}

/// Off-CPU time by cause.
fn waits(report: &Report<'_>) -> Table {
    let rows = analysis::waits(report.results)
        .into_iter()
        .filter_map(|(label, waits)| {
            let percent = waits.percent()?;
            let mut row = vec![label, waits.samples().to_string()];
            row.extend(percent.map(figure));
            Some(row)
        });
    Table {
        title: "What threads do".to_owned(),
        words: "Parts of all samples of all threads of all runs, by state and kernel function. A thread of a pool \
                without work counts under locks like one that waits for a lock."
            .to_owned(),
        heads: vec![
            "execution",
            "samples",
            "running %",
            "locks and parked %",
            "disk %",
            "events %",
            "timers %",
            "other %",
        ],
        rows: rows.collect(),
        is_first: false,
    }
}

/// The first ten functions of each execution's first run with samples.
fn hotspots(report: &Report<'_>) -> Table {
    let mut seen: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for run in &report.results.executions {
        if run.hotspots.is_empty() || seen.contains(&run.label.as_str()) {
            continue;
        }
        seen.push(&run.label);
        rows.extend(run.hotspots.iter().take(10).map(|spot| {
            vec![
                run.label.clone(),
                spot.function.clone(),
                figure(spot.self_percent),
                figure(spot.total_percent),
                spot.calls
                    .map_or_else(|| "-".to_owned(), |calls| calls.to_string()),
                figure(spot.self_percent / 2.0),
                spot.samples.to_string(),
            ]
        }));
    }
    Table {
        title: "Hotspots".to_owned(),
        words: "Parts of the samples of CPU time (pprof; a flame graph lies beside the results) or of the instructions \
                of a smoke run (callgrind), peers and criterion included. Samples do not count calls. The gain is what \
                the execution would save if the function itself were twice as fast."
            .to_owned(),
        heads: vec![
            "execution",
            "function",
            "self %",
            "with callees %",
            "calls",
            "gain if twice as fast %",
            "samples or instructions",
        ],
        rows,
        is_first: false,
    }
}

/// The ten functions of each execution's first profile of the heap that hold most at its peak.
fn heap(report: &Report<'_>) -> Table {
    let mut seen: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for run in &report.results.executions {
        if run.heap.is_empty() || seen.contains(&run.label.as_str()) {
            continue;
        }
        seen.push(&run.label);
        rows.extend(run.heap.iter().take(10).map(|site| {
            vec![
                run.label.clone(),
                site.function.clone(),
                mib(site.peak_bytes),
                mib(site.total_bytes),
                site.blocks.to_string(),
            ]
        }));
    }
    Table {
        title: "Heap".to_owned(),
        words: "By dhat: the function that asked, what of it was alive when the heap was largest, and all that it asked \
                for. Times of these executions mean nothing."
            .to_owned(),
        heads: vec![
            "execution",
            "function",
            "MiB at the peak",
            "MiB in all",
            "allocations",
        ],
        rows,
        is_first: false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes below 2^52")]
fn mib(bytes: u64) -> String {
    figure(bytes as f64 / f64::from(1 << 20))
}

fn impact(report: &Report<'_>) -> Table {
    let rows = analysis::behind(report.results).into_iter().map(|row| {
        vec![
            row.suite,
            row.measure,
            row.peer,
            figure(row.times),
            figure(row.saving_percent),
        ]
    });
    Table {
        title: "Behind the peer".to_owned(),
        words: "What a row would save if it were as fast as the peer. How large the row's share of a program is stands \
                in no suite: multiply by the share that a profile of the program shows."
            .to_owned(),
        heads: vec!["component", "measure", "peer", "times the peer", "saving %"],
        rows: rows.collect(),
        is_first: false,
    }
}

fn roadmap(report: &Report<'_>) -> Table {
    let steps = analysis::roadmap(report.results);
    let left = steps.len().saturating_sub(STEPS_MAX);
    let rows = steps
        .into_iter()
        .take(STEPS_MAX)
        .enumerate()
        .map(|(at, step)| {
            let times = if step.times < f64::MAX {
                figure(step.times)
            } else {
                "-".to_owned()
            };
            vec![(at + 1).to_string(), step.of, step.what, times]
        });
    Table {
        title: "What to do next".to_owned(),
        words: if left > 0 {
            format!("{ORDER} {left} more are left out.")
        } else {
            ORDER.to_owned()
        },
        heads: vec!["", "of", "what", "times worse"],
        rows: rows.collect(),
        is_first: false,
    }
}

fn rows(report: &Report<'_>) -> Table {
    let rows = report.results.series().into_iter().map(|(key, series)| {
        let over = |figure: &dyn Fn(&crate::Row) -> Option<f64>| {
            let figures: Option<Vec<f64>> = series
                .rows
                .iter()
                .map(|recorded| figure(&recorded.row))
                .collect();
            number(figures.and_then(|figures| median(&figures)))
        };
        let goals: Vec<&str> = series
            .rows
            .iter()
            .filter_map(|recorded| recorded.row.goal.as_deref())
            .take(1)
            .collect();
        let held = series
            .rows
            .iter()
            .filter(|recorded| recorded.row.held == Some(true))
            .count();
        let judged = series
            .rows
            .iter()
            .filter(|recorded| recorded.row.held.is_some())
            .count();
        vec![
            key.label,
            key.measure,
            key.unit,
            over(&|row| Some(row.ours)),
            over(&|row| row.peer),
            if key.peer.is_empty() {
                "-".to_owned()
            } else {
                key.peer
            },
            over(&|row| row.ratio),
            goals.first().map_or("-", |goal| goal).to_owned(),
            if judged > 0 {
                format!("{held} of {judged}")
            } else {
                "-".to_owned()
            },
        ]
    });
    Table {
        title: "All rows".to_owned(),
        words: "Medians over the runs; ratios are ours / peer of the same run.".to_owned(),
        heads: vec![
            "execution",
            "measure",
            "unit",
            "ours",
            "peer",
            "peer name",
            "ratio",
            "goal",
            "runs that hold it",
        ],
        rows: rows.collect(),
        is_first: false,
    }
}
