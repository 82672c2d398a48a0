//! What a workflow run reports: where every second went, and what became of every document.

use serde::Serialize;
use std::path::PathBuf;

/// What kind of time a [`Stage`] row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// A team at work.
    Team,
    /// A part of the run that no team does: start, end, scheduling, workers without work.
    Phase,
}

/// One row of the table.
///
/// Several teams work at once, so a team's `wall_s` is its share of the wall time: the seconds that
/// workers spent in its tasks, divided by the number of workers. All rows together give the wall
/// time of the run, up to what [`WorkflowReport::accounted_fraction`] leaves open.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Team or phase.
    pub name: String,
    /// Team or phase.
    pub kind: StageKind,
    /// Tasks that ended; a document is two storage tasks, one for its content and one for the
    /// continuation.
    pub items: u64,
    /// Share of the run's wall time, in seconds.
    pub wall_s: f64,
    /// CPU time of the worker threads in these tasks, in seconds. Threads that a library starts on
    /// its own are only in [`WorkflowReport::process_cpu_s`].
    pub cpu_s: f64,
    /// Time that tasks waited for a worker, summed over tasks, in seconds.
    pub queued_s: f64,
    /// Median time of one task on a worker, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
    /// Bytes that the stage read.
    pub bytes_in: u64,
    /// Bytes that the stage produced.
    pub bytes_out: u64,
}

impl Stage {
    pub(crate) fn phase(name: &str, wall_s: f64, cpu_s: f64) -> Self {
        Self {
            name: name.to_owned(),
            kind: StageKind::Phase,
            items: 0,
            wall_s,
            cpu_s,
            queued_s: 0.0,
            p50_ms: None,
            p99_ms: None,
            bytes_in: 0,
            bytes_out: 0,
        }
    }
}

/// A document that could not be processed, or a report that could not be stored.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The document; the vault's folder for a report.
    pub path: PathBuf,
    /// What went wrong: one line.
    pub error: String,
}

/// Result of a workflow run.
#[derive(Debug, Clone, Serialize)]
pub struct WorkflowReport {
    /// Wall time from the first scan to the finished report, in seconds.
    pub wall_s: f64,
    /// Sum of all stages' `wall_s` over `wall_s`; each stage is measured by itself.
    pub accounted_fraction: f64,
    /// CPU time of the whole process during the run, in seconds.
    pub process_cpu_s: f64,
    /// Workers of the runtime.
    pub workers: usize,
    /// Documents found.
    pub documents: u64,
    /// Documents whose content is in the vault: written in this run or earlier.
    pub documents_stored: u64,
    /// Stored documents that were read back in this run and equal their file.
    pub documents_verified: u64,
    /// Stored documents that an earlier run had acknowledged.
    pub documents_resumed: u64,
    /// Documents that an earlier run had stored, whose copy could not be read back, and that were
    /// stored again.
    pub documents_repaired: u64,
    /// Bytes of the stored documents.
    pub bytes: u64,
    /// Bytes of the packed documents that are stored.
    pub bytes_packed: u64,
    /// Tokens that the model wrote in this run.
    pub tokens_generated: u64,
    /// Name of the model; the toy model says that it is untrained.
    pub model: String,
    /// Whether the model was trained.
    pub model_trained: bool,
    /// The vault's folder.
    pub vault: PathBuf,
    /// Files in folders that are no documents.
    pub skipped: u64,
    /// Documents that could not be processed.
    pub failures: Vec<Failure>,
    /// The rows of the table.
    pub stages: Vec<Stage>,
    /// The report of the synthesis team, Markdown.
    #[serde(skip)]
    pub synthesis: String,
}

impl WorkflowReport {
    /// The table, aligned, with one row per stage and a last row for the sum.
    #[must_use]
    pub fn table(&self) -> String {
        super::table::render(self)
    }
}
