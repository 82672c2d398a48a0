//! Documents through the teams for as long as `NEURECTOMY_ENDURANCE_S` says, and whether memory or
//! latency move while that lasts.
//!
//! A fixed set of documents goes round: each is analysed, compressed, stored durably, read back and
//! continued by the model, and every continuation has to be the one that the document got the first
//! time. So nothing that is kept has a reason to grow; the vault rewrites what is replaced. Slopes are
//! those of Theil and Sen over windows of time, without the first fifth, in which caches fill.

use super::write_documents;
use neurectomy::{Collective, CollectiveConfig, ContentId, Document};
use neurectomy_bench::stats::{Slope, median, quantile, slope};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Threads that send documents through.
const CLIENTS: usize = 4;
/// Windows of time that a run is cut into, at most; none is shorter than half a second.
const WINDOWS: f64 = 240.0;
/// Shortest window in seconds.
const WINDOW_S: f64 = 0.5;

/// A document that came to its end: seconds since the start, and milliseconds that it took.
type Journey = (f64, f64);

/// The duration that the environment asks for.
pub(crate) fn asked() -> Result<Option<Duration>, BenchError> {
    let Some(text) = std::env::var_os("NEURECTOMY_ENDURANCE_S") else {
        return Ok(None);
    };
    let seconds: Option<f64> = text.to_str().and_then(|text| text.parse().ok());
    match seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds)) {
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
        None => Err(format!(
            "NEURECTOMY_ENDURANCE_S is {}; allowed: 0.1 to 86400 seconds",
            text.display()
        )
        .into()),
    }
}

/// Runs for the duration and records what moved.
pub(crate) fn measure(suite: &mut Suite, duration: Duration) -> Result<(), BenchError> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("documents");
    write_documents(&folder, suite.size(12, 256))?;
    let documents = read(&folder)?;
    let collective = Collective::open(CollectiveConfig::new(dir.path().join("vault")))?;
    let expected = documents
        .iter()
        .map(|document| Ok(collective.generate(document)?.wait()?.tokens))
        .collect::<Result<Vec<_>, BenchError>>()?;
    let next = AtomicUsize::new(0);
    let memory = Mutex::new(Vec::new());
    let start = Instant::now();
    let journeys = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut journeys: Vec<Journey> = Vec::new();
                    while start.elapsed() < duration {
                        let at = next.fetch_add(1, Ordering::Relaxed) % documents.len();
                        let begun = Instant::now();
                        let written = one(&collective, &documents[at])
                            .map_err(|error| format!("document {at}: {error}"))?;
                        if written != expected[at] {
                            return Err(format!("document {at} was continued in another way"));
                        }
                        let took_ms = begun.elapsed().as_secs_f64() * 1e3;
                        journeys.push((start.elapsed().as_secs_f64(), took_ms));
                    }
                    Ok(journeys)
                })
            })
            .collect();
        while start.elapsed() < duration {
            if let Some(mib) = resident_mib()
                && let Ok(mut memory) = memory.lock()
            {
                memory.push((start.elapsed().as_secs_f64(), mib));
            }
            std::thread::sleep(Duration::from_millis(100).min(duration / 10));
        }
        let mut all = Vec::new();
        for client in clients {
            all.extend(
                client
                    .join()
                    .map_err(|_| "a client panicked".to_owned())??,
            );
        }
        Ok::<_, String>(all)
    })?;
    let lasted_s = start.elapsed().as_secs_f64();
    collective.close()?;
    let memory = memory.into_inner().map_err(|_| "a client panicked")?;
    record(suite, duration, lasted_s, &journeys, &memory);
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<Arc<Document>>, BenchError> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        documents.push(Arc::new(Document {
            path,
            id: ContentId::of(&bytes),
            bytes,
        }));
    }
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(documents)
}

/// One document through the teams; the tokens that the model wrote.
fn one(collective: &Collective, document: &Arc<Document>) -> Result<Vec<u32>, BenchError> {
    let analysis = Arc::new(collective.analyse(document)?.wait()?);
    let packed = collective.compress(document)?.wait()?;
    let stored = collective.store(document, &analysis, packed)?.wait()?;
    if stored.bytes != document.bytes.len() as u64 {
        return Err(format!("{} bytes came back", stored.bytes).into());
    }
    Ok(collective.generate(document)?.wait()?.tokens)
}

/// Resident memory of this process that no file stands behind, since the mapped pages of the vault's
/// log come and go with compaction; none where the system does not tell.
fn resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of documents")]
fn record(
    suite: &mut Suite,
    duration: Duration,
    lasted_s: f64,
    journeys: &[Journey],
    memory: &[(f64, f64)],
) {
    let asked_s = duration.as_secs_f64();
    suite.record(Row::new("endurance, time", "s", lasted_s).goal(Goal::OursAtLeast(asked_s)));
    let rate = journeys.len() as f64 / lasted_s;
    suite.record(Row::new("endurance, documents", "document/s", rate));
    let took: Vec<f64> = journeys.iter().map(|journey| journey.1).collect();
    for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
        if let Some(ms) = quantile(&took, q) {
            suite.record(Row::new(&format!("endurance, document, {name}"), "ms", ms));
        }
    }
    let settled_s = lasted_s / 5.0;
    let in_minutes = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        let settled = points.into_iter().filter(|point| point.0 >= settled_s);
        settled.map(|(seconds, y)| (seconds / 60.0, y)).collect()
    };
    let window_s = (lasted_s / WINDOWS).max(WINDOW_S);
    let growth = slope(&in_minutes(medians(memory, window_s)));
    slopes(suite, "memory", "MiB/min", 1.0, growth);
    if let Some(typical) = median(&took) {
        let drift = slope(&in_minutes(medians(journeys, window_s)));
        slopes(suite, "latency", "%/min", 100.0 / typical, drift);
    }
}

/// The median of each window of time that has points.
fn medians(points: &[(f64, f64)], window_s: f64) -> Vec<(f64, f64)> {
    let mut windows: std::collections::BTreeMap<u64, Vec<f64>> = std::collections::BTreeMap::new();
    for (seconds, y) in points {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of windows, not negative"
        )]
        let window = (seconds / window_s) as u64;
        windows.entry(window).or_default().push(*y);
    }
    let middle = |(window, values): (u64, Vec<f64>)| {
        #[expect(clippy::cast_precision_loss, reason = "a number of windows")]
        let at = (window as f64 + 0.5) * window_s;
        Some((at, median(&values)?))
    };
    windows.into_iter().filter_map(middle).collect()
}

/// A slope and the ends of its interval of 95 %.
fn slopes(suite: &mut Suite, what: &str, unit: &str, factor: f64, slope: Option<Slope>) {
    let Some(Slope {
        estimate,
        low,
        high,
    }) = slope
    else {
        return;
    };
    for (name, value) in [
        ("slope", estimate),
        ("slope, low end", low),
        ("slope, high end", high),
    ] {
        let measure = format!("endurance, {what} {name}");
        suite.record(Row::new(&measure, unit, value * factor));
    }
}
