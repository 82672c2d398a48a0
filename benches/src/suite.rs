//! One suite: criterion around it, rows out of it.

use crate::environment::Environment;
use crate::estimates;
use crate::heap::{self, Heap};
use crate::instructions::{self, COUNT_VARIABLE};
use crate::journal::{
    Journal, OUTPUT_VARIABLE, ROWS_FILE, Recorded, SHORT_VARIABLE, Samples, WorkDone,
};
use crate::profile::{self, Profiler};
use crate::row::{Goal, Row, table};
use criterion::Criterion;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// What stops a suite.
pub type BenchError = Box<dyn std::error::Error>;

/// Two criterion benchmarks of one group that make one row.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// What is measured.
    pub measure: &'a str,
    /// Criterion group that holds both benchmarks.
    pub group: &'a str,
    /// Our benchmark's name in the group.
    pub ours: &'a str,
    /// The peer's name in the group, which is also its name in the row.
    pub peer: &'a str,
    /// What one iteration did.
    pub work: Work,
    /// Goal of the design, if it sets one.
    pub goal: Option<Goal>,
}

/// What one iteration of a benchmark did: decides the unit of its row.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// That many operations: the row is in nanoseconds per operation.
    Operations(u64),
    /// That many uncompressed bytes: the row is in MB/s (10^6 bytes).
    Bytes(u64),
    /// That many items whose rate matters: the row is in the named unit per second.
    Rate(u64, &'static str),
}

impl Work {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of work stay far below 2^52"
    )]
    fn figure(self, iteration_ns: f64) -> f64 {
        match self {
            Self::Operations(operations) => iteration_ns / operations as f64,
            Self::Bytes(bytes) => bytes as f64 * 1e3 / iteration_ns,
            Self::Rate(items, _) => items as f64 * 1e9 / iteration_ns,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Operations(_) => "ns",
            Self::Bytes(_) => "MB/s",
            Self::Rate(_, unit) => unit,
        }
    }

    fn done(self) -> WorkDone {
        let (of, amount) = match self {
            Self::Operations(operations) => ("operations", operations),
            Self::Bytes(bytes) => ("bytes", bytes),
            Self::Rate(items, _) => ("items", items),
        };
        WorkDone {
            of: of.to_owned(),
            amount,
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    suite: &'a str,
    #[serde(flatten)]
    environment: Environment,
    rows: &'a [Row],
}

/// A suite under way.
#[expect(missing_debug_implementations, reason = "Criterion has none")]
pub struct Suite {
    name: &'static str,
    criterion: Criterion,
    target_dir: PathBuf,
    started: SystemTime,
    smoke: bool,
    rows: Vec<Row>,
    journal: Option<Journal>,
    profiler: Option<Profiler>,
    heap: Option<Heap>,
    /// The first row that could not be written down; the suite goes on and fails at its end.
    not_written: Option<String>,
}

/// Runs a suite: the body registers groups and rows; then the rows are written and printed.
///
/// The exit code is a failure where the body returns an error, so a wrong result fails the run.
pub fn run(
    name: &'static str,
    body: impl FnOnce(&mut Suite) -> Result<(), BenchError>,
) -> ExitCode {
    let outcome = Suite::new(name).and_then(|mut suite| {
        body(&mut suite)?;
        suite.finish()
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("suite {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Suite {
    fn new(name: &'static str) -> Result<Self, BenchError> {
        crate::lifeline::end_with_parent()?;
        let output = std::env::var_os(OUTPUT_VARIABLE).map(PathBuf::from);
        let journal = match &output {
            Some(folder) if !is_smoke() => Some(Journal::start(&folder.join(ROWS_FILE), name)?),
            _ => None,
        };
        let profiler = match &output {
            Some(folder) if !is_smoke() => profile::start(folder)?,
            _ => None,
        };
        let heap = match &output {
            Some(folder) if !is_smoke() => heap::start(folder)?,
            _ => None,
        };
        let target_dir = output.map_or_else(target_dir, Ok)?;
        let criterion = Criterion::default()
            .output_directory(&target_dir.join("criterion"))
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .sample_size(20)
            .configure_from_args();
        let started = SystemTime::now();
        Ok(Self {
            name,
            criterion,
            target_dir,
            started,
            smoke: is_smoke(),
            rows: Vec::new(),
            journal,
            profiler,
            heap,
            not_written: None,
        })
    }

    /// Whether this run only proves that the benchmarks work (`cargo test --benches`).
    #[must_use]
    pub fn smoke(&self) -> bool {
        self.smoke
    }

    /// The input size to use: small in a smoke run, real otherwise.
    #[must_use]
    pub fn size(&self, smoke: usize, real: usize) -> usize {
        if self.smoke { smoke } else { real }
    }

    /// Whether the suite itself is run several times over (tier micro of `neurectomy-bench`), each
    /// time in seconds: what takes long for a single row is left out then.
    #[must_use]
    pub fn is_short(&self) -> bool {
        std::env::var_os(SHORT_VARIABLE).is_some()
    }

    /// How often to repeat a measurement that criterion does not make: once in a smoke run, a fifth
    /// as often as asked in a short one.
    #[must_use]
    pub fn repeats(&self, real: usize) -> usize {
        match (self.smoke, self.is_short()) {
            (true, _) => 1,
            (false, true) => real.div_ceil(5),
            (false, false) => real,
        }
    }

    /// The criterion instance, to open groups on.
    pub fn criterion(&mut self) -> &mut Criterion {
        &mut self.criterion
    }

    /// Makes a row of two benchmarks that this run has measured; none where one was filtered out.
    pub fn compare(&mut self, comparison: Comparison<'_>) {
        let Comparison {
            measure,
            group,
            ours,
            peer,
            work,
            goal,
        } = comparison;
        let (Some(own), Some(theirs)) = (self.median_ns(group, ours), self.median_ns(group, peer))
        else {
            return;
        };
        let mut row =
            Row::new(measure, work.unit(), work.figure(own)).against(peer, work.figure(theirs));
        if let Some(goal) = goal {
            row = row.goal(goal);
        }
        let samples = self.samples(group, ours, peer);
        self.keep(Recorded {
            row,
            group: Some(group.to_owned()),
            work: Some(work.done()),
            fastest_ratio: samples.as_ref().and_then(Samples::fastest_ratio),
            samples,
        });
    }

    fn samples(&self, group: &str, ours: &str, peer: &str) -> Option<Samples> {
        self.journal.as_ref()?;
        let criterion = self.target_dir.join("criterion");
        let of = |function: &str| {
            estimates::samples_ns(&criterion, &format!("{group}/{function}"), self.started)
        };
        Some(Samples {
            ours_ns: of(ours)?,
            peer_ns: of(peer)?,
        })
    }

    fn keep(&mut self, recorded: Recorded) {
        self.rows.push(recorded.row.clone());
        if let Some(journal) = &mut self.journal
            && let Err(message) = journal.row(recorded)
        {
            self.not_written.get_or_insert(message);
        }
    }

    /// Median nanoseconds per iteration of a benchmark of this run.
    #[must_use]
    pub fn median_ns(&self, group: &str, function: &str) -> Option<f64> {
        let id = format!("{group}/{function}");
        estimates::median_ns(&self.target_dir.join("criterion"), &id, self.started)
    }

    /// Adds a row that is not a criterion timing: bytes, an error, a quantile.
    ///
    /// Smoke runs drop it, since their input is too small for the figure to mean anything.
    pub fn record(&mut self, row: Row) {
        if !self.smoke {
            self.keep(Recorded {
                row,
                group: None,
                work: None,
                fastest_ratio: None,
                samples: None,
            });
        }
    }

    /// Adds a row of the instructions that the work takes within [`counted`](instructions::counted),
    /// where the suite is run by `neurectomy-bench` on a machine that has valgrind.
    ///
    /// The count is made by another process of this suite, which comes as far as this call: so it
    /// belongs before all that is timed. That process is some fifty times slower; a second of work is
    /// far too much.
    ///
    /// # Errors
    /// The work's own; or valgrind fails, takes over two minutes, or counts nothing.
    pub fn count_instructions(
        &mut self,
        measure: &str,
        work: &mut dyn FnMut() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        if let Some(asked) = std::env::var_os(COUNT_VARIABLE) {
            if asked == measure {
                work()?;
                std::process::exit(0);
            }
            return Ok(());
        }
        if self.smoke {
            return work();
        }
        if self.journal.is_some()
            && let Some(count) = instructions::count(measure)?
        {
            let measure = format!("{measure}, instructions");
            self.record(Row::new(&measure, "instructions", count));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), BenchError> {
        self.criterion.final_summary();
        if let Some(profiler) = self.profiler {
            profiler.finish()?;
        }
        if let Some(heap) = self.heap {
            heap.finish();
        }
        if let Some(message) = self.not_written {
            return Err(message.into());
        }
        if let Some(journal) = self.journal {
            journal.end()?;
        }
        if self.smoke || self.rows.is_empty() {
            return Ok(());
        }
        let file = self
            .target_dir
            .join("neurectomy")
            .join(format!("{}.json", self.name));
        let report = Report {
            suite: self.name,
            environment: Environment::read(),
            rows: &self.rows,
        };
        write_report(&file, &report)?;
        println!("\n{}\nwritten to {}", table(&self.rows), file.display());
        Ok(())
    }
}

fn write_report(file: &Path, report: &Report<'_>) -> Result<(), BenchError> {
    let failed =
        |error: std::io::Error| format!("cannot write the rows to {}: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    std::fs::write(file, text).map_err(failed)?;
    Ok(())
}

/// `cargo bench` passes `--bench`; `cargo test --benches` does not.
fn is_smoke() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    !arguments.iter().any(|argument| argument == "--bench")
        || arguments.iter().any(|argument| argument == "--test")
}

/// The target folder, found from this executable: `<target>/<profile>/deps/<suite>-<hash>`.
fn target_dir() -> Result<PathBuf, BenchError> {
    let executable = std::env::current_exe()?;
    executable
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|deps| deps.parent()?.parent())
        .map(Path::to_owned)
        .ok_or_else(|| format!("{} lies in no target folder", executable.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_decides_unit_and_figure() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(Work::Operations(100).figure(250.0), 2.5));
        assert!(close(Work::Bytes(1_000_000).figure(1e6), 1000.0));
        assert!(close(Work::Rate(50, "token/s").figure(1e9), 50.0));
        assert_eq!(Work::Rate(1, "token/s").unit(), "token/s");
    }

    #[test]
    fn a_report_carries_the_documented_columns() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/suite.json");
        let rows = [Row::new("m", "ns", 1.0)
            .against("p", 2.0)
            .goal(Goal::RatioAtMost(1.0))];
        let report = Report {
            suite: "s",
            environment: Environment::read(),
            rows: &rows,
        };
        write_report(&file, &report).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for key in ["suite", "commit", "cpu", "date", "rows"] {
            assert!(!json[key].is_null(), "{key}");
        }
        for key in [
            "measure",
            "unit",
            "ours",
            "peer",
            "peer_name",
            "ratio",
            "goal",
            "held",
        ] {
            assert!(!json["rows"][0][key].is_null(), "{key}");
        }
    }

    #[test]
    fn an_unwritable_report_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let file = dir.path().join("file/suite.json");
        let report = Report {
            suite: "s",
            environment: Environment::read(),
            rows: &[],
        };
        let message = write_report(&file, &report).unwrap_err().to_string();
        assert!(message.contains("suite.json"), "{message}");
    }
}
