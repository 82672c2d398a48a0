//! The plots of the page. Each shows figures of the results and nothing else.

use super::svg::{Drawing, LogScale, WIDTH, figure};
use crate::harness::compare::cost;
use crate::harness::results::{Results, RowKey, Series, direction};
use crate::harness::stats::{geometric_mean, median, quantile};
use std::collections::BTreeMap;

/// Rows of one drawing; a component with more gets several drawings.
const ROWS_MAX: usize = 30;
const LEFT: f64 = 8.0;
const RIGHT: f64 = WIDTH - 12.0;

/// A plot of a suite.
pub(super) struct Plot {
    pub(super) suite: String,
    pub(super) markup: String,
}

fn by_suite<T>(items: Vec<(String, T)>) -> BTreeMap<String, Vec<T>> {
    let mut all: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (suite, item) in items {
        all.entry(suite).or_default().push(item);
    }
    all
}

fn part(title: &str, at: usize, rows: usize) -> String {
    if rows > ROWS_MAX {
        format!("{title}, part {}", at + 1)
    } else {
        title.to_owned()
    }
}

/// Times the grid of a logarithmic axis along x, with its figures below.
fn grid(drawing: &mut Drawing, scale: &LogScale, bottom: f64) {
    for tick in scale.ticks() {
        let x = scale.place(tick);
        drawing.line("grid", (x, 4.0), (x, bottom));
        drawing.text(x, bottom + 12.0, "middle", &figure(tick), 9);
    }
}

/// How many times better than the peer each row is, by component: a dot per row.
pub(super) fn ratios(series: &BTreeMap<RowKey, Series<'_>>) -> Vec<Plot> {
    let mut items = Vec::new();
    for (key, rows) in series {
        let known = rows
            .rows
            .first()
            .is_some_and(|row| direction(row).is_some());
        let costs: Option<Vec<f64>> = rows.rows.iter().map(|row| cost(row)).collect();
        if let (true, false, Some(costs)) = (known, key.peer.is_empty(), costs)
            && let Some(cost) = median(&costs)
        {
            let name = format!("{} / {}", key.measure, key.peer);
            items.push((key.suite.clone(), (name, 1.0 / cost)));
        }
    }
    let mut plots = Vec::new();
    for (suite, mut rows) in by_suite(items) {
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (at, some) in rows.chunks(ROWS_MAX).enumerate() {
            let title = format!("{suite}: times better than the peer (1 is equal)");
            let title = part(&title, at, rows.len());
            plots.push(Plot {
                suite: suite.clone(),
                markup: ratio_drawing(&title, some),
            });
        }
    }
    plots
}

fn ratio_drawing(title: &str, rows: &[(String, f64)]) -> String {
    let mut drawing = Drawing::new();
    let bottom = 6.0 + 20.0 * crate::harness::stats::as_f64(rows.len());
    let values = rows.iter().map(|row| row.1).chain([1.0]);
    let scale = LogScale::covering(values, LEFT, RIGHT);
    grid(&mut drawing, &scale, bottom);
    let one = scale.place(1.0);
    drawing.line("one", (one, 4.0), (one, bottom));
    let mut y = 14.0;
    for (name, better) in rows {
        drawing.text(LEFT, y, "start", name, 70);
        let class = if *better >= 1.0 { "good" } else { "bad" };
        let x = scale.place(*better);
        drawing.line(class, (one, y + 5.0), (x, y + 5.0));
        drawing.dot(class, (x, y + 5.0), &format!("{name}: {}", figure(*better)));
        y += 20.0;
    }
    drawing.finish("ratios", title, rows.len(), bottom + 18.0)
}

/// Name, times of ours and times of the peer.
type Spread = (String, Vec<f64>, Vec<f64>);

/// Distribution of the time of an iteration, ours and the peer's: samples of criterion, all runs.
pub(super) fn distributions(series: &BTreeMap<RowKey, Series<'_>>) -> Vec<Plot> {
    let mut items: Vec<(String, Spread)> = Vec::new();
    for (key, rows) in series {
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for samples in rows.rows.iter().filter_map(|row| row.samples.as_ref()) {
            ours.extend(&samples.ours_ns);
            peer.extend(&samples.peer_ns);
        }
        if !ours.is_empty() && !peer.is_empty() {
            let name = format!("{} / {}", key.measure, key.peer);
            items.push((key.suite.clone(), (name, ours, peer)));
        }
    }
    let mut plots = Vec::new();
    for (suite, rows) in by_suite(items) {
        for (at, some) in rows.chunks(ROWS_MAX).enumerate() {
            let title = format!(
                "{suite}: ns per iteration, ours above the peer: 1 %, 25 %, 50 %, 75 %, 99 % of samples"
            );
            plots.push(Plot {
                suite: suite.clone(),
                markup: distribution_drawing(&part(&title, at, rows.len()), some),
            });
        }
    }
    plots
}

fn distribution_drawing(title: &str, rows: &[Spread]) -> String {
    let mut drawing = Drawing::new();
    let bottom = 6.0 + 30.0 * crate::harness::stats::as_f64(rows.len());
    let values = rows
        .iter()
        .flat_map(|row| row.1.iter().chain(&row.2))
        .copied();
    let scale = LogScale::covering(values, LEFT, RIGHT);
    grid(&mut drawing, &scale, bottom);
    let mut y = 14.0;
    for (name, ours, peer) in rows {
        drawing.text(LEFT, y, "start", name, 70);
        whiskers(&mut drawing, &scale, "ours", y + 4.0, ours);
        whiskers(&mut drawing, &scale, "peer", y + 11.0, peer);
        y += 30.0;
    }
    drawing.finish("distributions", title, 2 * rows.len(), bottom + 18.0)
}

fn whiskers(drawing: &mut Drawing, scale: &LogScale, class: &str, y: f64, samples: &[f64]) {
    let places: Option<Vec<f64>> = [0.01, 0.25, 0.5, 0.75, 0.99]
        .iter()
        .map(|q| Some(scale.place(quantile(samples, *q)?)))
        .collect();
    if let Some(&[low, quarter, half, three_quarters, high]) = places.as_deref() {
        drawing.line(class, (low, y + 2.5), (high, y + 2.5));
        drawing.rectangle(class, (quarter, y), (three_quarters - quarter, 5.0));
        drawing.line("median", (half, y - 1.0), (half, y + 6.0));
    }
}

/// One measurement of a rate: work of an iteration, rate of ours and of the peer, name.
struct Rate {
    size: f64,
    ours: f64,
    peer: Option<f64>,
    name: String,
}

/// Rate against the work of one iteration, by component and unit.
pub(super) fn throughput(series: &BTreeMap<RowKey, Series<'_>>) -> Vec<Plot> {
    let mut items = Vec::new();
    for (key, rows) in series {
        let Some(work) = rows.rows.first().and_then(|row| row.work.as_ref()) else {
            continue;
        };
        // Nanoseconds per operation are a rate, too: its inverse.
        let rate = |figure: f64| match work.of.as_str() {
            "operations" => 1e3 / figure,
            _ => figure,
        };
        let unit = match work.of.as_str() {
            "operations" => "million operations/s".to_owned(),
            _ => key.unit.clone(),
        };
        let ours: Vec<f64> = rows.rows.iter().map(|row| row.row.ours).collect();
        let peer: Option<Vec<f64>> = rows.rows.iter().map(|row| row.row.peer).collect();
        let Some(ours) = median(&ours).filter(|ours| *ours > 0.0) else {
            continue;
        };
        let what = if work.of == "bytes" { "bytes" } else { "items" };
        items.push((
            format!("{}\n{unit}\n{what}", key.suite),
            Rate {
                size: float(work.amount),
                ours: rate(ours),
                peer: peer.and_then(|peer| median(&peer)).map(rate),
                name: format!("{} / {}", key.measure, key.peer),
            },
        ));
    }
    by_suite(items)
        .into_iter()
        .map(|(group, rates)| {
            let mut parts = group.split('\n');
            let mut next = || parts.next().unwrap_or_default();
            let (suite, unit, what) = (next(), next(), next());
            Plot {
                suite: suite.to_owned(),
                markup: throughput_drawing(suite, unit, what, &rates),
            }
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of work below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

fn throughput_drawing(suite: &str, unit: &str, what: &str, rates: &[Rate]) -> String {
    let (top, bottom) = (8.0, 220.0);
    let mut drawing = Drawing::new();
    let across = LogScale::covering(rates.iter().map(|rate| rate.size), 48.0, RIGHT);
    let values = rates.iter().flat_map(|rate| [Some(rate.ours), rate.peer]);
    let up = LogScale::covering(values.flatten(), bottom, top);
    grid(&mut drawing, &across, bottom);
    for tick in up.ticks() {
        let y = up.place(tick);
        drawing.line("grid", (48.0, y), (RIGHT, y));
        drawing.text(44.0, y + 3.0, "end", &figure(tick), 9);
    }
    let mut marks = 0;
    for rate in rates {
        let x = across.place(rate.size);
        if let Some(peer) = rate.peer {
            drawing.dot(
                "peer",
                (x, up.place(peer)),
                &format!("{}, the peer: {}", rate.name, figure(peer)),
            );
            marks += 1;
        }
        drawing.dot(
            "ours",
            (x, up.place(rate.ours)),
            &format!("{}, ours: {}", rate.name, figure(rate.ours)),
        );
        marks += 1;
    }
    drawing.text(
        RIGHT,
        bottom + 26.0,
        "end",
        &format!("{what} per iteration"),
        60,
    );
    let title = format!("{suite}: {unit} against {what} per iteration, ours and the peers");
    drawing.finish("throughput", &title, marks, bottom + 32.0)
}

/// Geometric mean over a component's rows of how many times better than the peers it is, for each
/// baseline and these results; only rows that all of them have.
pub(super) fn history(past: &[(String, Results)], now: &Results) -> Vec<Plot> {
    let mut points: Vec<(String, BTreeMap<RowKey, f64>)> = past
        .iter()
        .map(|(name, results)| (name.clone(), better(results)))
        .collect();
    points.push(("now".to_owned(), better(now)));
    let mut suites: Vec<&String> = Vec::new();
    for key in points.iter().flat_map(|(_, rows)| rows.keys()) {
        if !suites.contains(&&key.suite) {
            suites.push(&key.suite);
        }
    }
    suites.sort();
    suites
        .into_iter()
        .filter_map(|suite| {
            let having: Vec<(&str, &BTreeMap<RowKey, f64>)> = points
                .iter()
                .filter(|(_, rows)| rows.keys().any(|key| key.suite == *suite))
                .map(|(name, rows)| (name.as_str(), rows))
                .collect();
            let shared: Vec<&RowKey> = having
                .first()?
                .1
                .keys()
                .filter(|key| key.suite == *suite)
                .filter(|key| having.iter().all(|(_, rows)| rows.contains_key(key)))
                .collect();
            let line: Option<Vec<(&str, f64)>> = having
                .iter()
                .map(|(name, rows)| {
                    let values: Vec<f64> = shared.iter().map(|key| rows[*key]).collect();
                    Some((*name, geometric_mean(&values)?))
                })
                .collect();
            Some(Plot {
                suite: suite.clone(),
                markup: history_drawing(suite, shared.len(), &line?),
            })
        })
        .collect()
}

/// How many times better than its peer each row with a known direction is.
fn better(results: &Results) -> BTreeMap<RowKey, f64> {
    let mut all = BTreeMap::new();
    for (key, rows) in results.series() {
        let known = rows
            .rows
            .first()
            .is_some_and(|row| direction(row).is_some());
        let costs: Option<Vec<f64>> = rows.rows.iter().map(|row| cost(row)).collect();
        if let (true, false, Some(cost)) = (
            known,
            key.peer.is_empty(),
            costs.and_then(|costs| median(&costs)),
        ) {
            all.insert(key, 1.0 / cost);
        }
    }
    all
}

fn history_drawing(suite: &str, shared: usize, line: &[(&str, f64)]) -> String {
    let (top, bottom) = (10.0, 110.0);
    let mut drawing = Drawing::new();
    let up = LogScale::covering(line.iter().map(|point| point.1).chain([1.0]), bottom, top);
    for tick in up.ticks() {
        let y = up.place(tick);
        drawing.line("grid", (48.0, y), (RIGHT, y));
        drawing.text(44.0, y + 3.0, "end", &figure(tick), 9);
    }
    let one = up.place(1.0);
    drawing.line("one", (48.0, one), (RIGHT, one));
    let step = (RIGHT - 88.0) / crate::harness::stats::as_f64(line.len().max(2) - 1);
    let mut places = Vec::new();
    let mut x = 68.0;
    for (name, value) in line {
        places.push((x, up.place(*value)));
        drawing.dot(
            "ours",
            (x, up.place(*value)),
            &format!("{name}: {}", figure(*value)),
        );
        drawing.text(x, bottom + 14.0, "middle", name, 12);
        x += step;
    }
    drawing.path("line", &places);
    let title = format!(
        "{suite}: times better than the peers, geometric mean of {shared} rows, baselines and now"
    );
    drawing.finish("history", &title, line.len(), bottom + 22.0)
}

/// Resident memory over the life of each execution's first run that has a series.
pub(super) fn memory(results: &Results) -> Vec<Plot> {
    let mut seen: Vec<&str> = Vec::new();
    let mut plots = Vec::new();
    for execution in &results.executions {
        let Some(resources) = &execution.resources else {
            continue;
        };
        if seen.contains(&execution.label.as_str()) || resources.memory.len() < 10 {
            continue;
        }
        seen.push(&execution.label);
        plots.push(Plot {
            suite: execution.suite.clone(),
            markup: memory_drawing(&execution.label, &resources.memory),
        });
    }
    plots
}

fn memory_drawing(label: &str, points: &[(f64, f64)]) -> String {
    let (top, bottom) = (10.0, 90.0);
    let last = points.last().map_or(1.0, |point| point.0).max(1e-3);
    let most = points.iter().map(|point| point.1).fold(1e-3, f64::max);
    let places: Vec<(f64, f64)> = points
        .iter()
        .map(|(seconds, mib)| {
            let x = 48.0 + (RIGHT - 48.0) * seconds / last;
            (x, bottom - (bottom - top) * mib / most)
        })
        .collect();
    let mut drawing = Drawing::new();
    drawing.line("grid", (48.0, bottom), (RIGHT, bottom));
    drawing.line("grid", (48.0, top), (RIGHT, top));
    drawing.text(44.0, top + 3.0, "end", &figure(most), 9);
    drawing.text(44.0, bottom + 3.0, "end", "0", 9);
    drawing.text(
        RIGHT,
        bottom + 14.0,
        "end",
        &format!("{} s", figure(last)),
        12,
    );
    drawing.path("line", &places);
    let title = format!("{label}: resident MiB over its run");
    drawing.finish("memory", &title, points.len(), bottom + 20.0)
}
