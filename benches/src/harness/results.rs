//! Files of results: what a `run` measured, and what a baseline keeps.

use super::HarnessError;
use super::resources::Resources;
use super::spec::{Analysis, Better, Regression, Target};
use crate::environment::Environment;
use crate::heap::Site;
use crate::journal::Recorded;
use crate::profile::Hotspot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Version of the file; files of another version are refused.
pub const FORMAT: u32 = 1;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// All that a run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the baseline; none for the results of `run`.
    pub name: Option<String>,
    /// Circumstances when the run started.
    pub environment: Environment,
    /// Runnable processes over the last minute when the run ended or was saved last.
    pub load_1m_at_end: Option<f64>,
    /// The specs that were run.
    pub specs: Vec<SpecSummary>,
    /// Executions in the order in which they ran.
    pub executions: Vec<Execution>,
}

/// What of a spec its rows are read with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecSummary {
    /// Name of the spec.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its category.
    pub category: String,
    /// Name of its tier.
    pub tier: String,
    /// What it analyses; none for a measurement.
    pub analysis: Option<Analysis>,
    /// Patterns of its rows.
    pub rows: Vec<String>,
    /// Its targets.
    pub targets: Vec<Target>,
    /// When a change counts.
    pub regression: Regression,
}

/// One start of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// Suite, filter and environment in one line.
    pub label: String,
    /// The suite.
    pub suite: String,
    /// Names of the specs that asked for it.
    pub specs: Vec<String>,
    /// Which of the runs, from 1.
    pub round: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Wall time in seconds.
    pub wall_s: f64,
    /// Use of the machine; none where the system does not tell.
    pub resources: Option<Resources>,
    /// Functions by their part of the samples, where the spec asked for samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hotspots: Vec<Hotspot>,
    /// Functions by what they allocated, where the spec asked for the heap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heap: Vec<Site>,
    /// The rows, all that were written before it ended.
    pub rows: Vec<Recorded>,
}

/// How a suite ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its end.
    Completed,
    /// It returned a failure, panicked, or could not write.
    Failed {
        /// How it ended and what it printed last.
        detail: String,
    },
    /// It was killed at its time limit.
    TimedOut {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// It could not be built or started.
    NotStarted {
        /// Why.
        detail: String,
    },
}

impl Outcome {
    /// The outcome in a line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Completed => "completed".to_owned(),
            Self::Failed { detail } => format!("failed: {detail}"),
            Self::TimedOut { limit_s } => format!("stopped after its limit of {limit_s} s"),
            Self::NotStarted { detail } => format!("not started: {detail}"),
        }
    }
}

/// What makes rows of different runs the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The suite.
    pub suite: String,
    /// Label of the execution.
    pub label: String,
    /// What is measured.
    pub measure: String,
    /// Its unit.
    pub unit: String,
    /// The peer, or nothing.
    pub peer: String,
}

/// A row over all runs of a file.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// The row of each run, first to last.
    pub rows: Vec<&'a Recorded>,
    /// Names of the specs that the row belongs to.
    pub specs: Vec<&'a str>,
}

impl Results {
    /// Reads a file of results.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 512 MiB, or is of another format or version.
    pub fn read(path: &Path) -> Result<Self, HarnessError> {
        let bad = |message: String| HarnessError::BadResults {
            path: path.to_owned(),
            message,
        };
        let bytes = std::fs::metadata(path)
            .map_err(HarnessError::io("read", path))?
            .len();
        if bytes > FILE_BYTES_MAX {
            return Err(bad(format!("{bytes} bytes, allowed are {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read(path).map_err(HarnessError::io("read", path))?;
        let results: Self =
            serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if results.format != FORMAT {
            return Err(bad(format!(
                "format {}, this program reads {FORMAT}",
                results.format
            )));
        }
        Ok(results)
    }

    /// Writes the file whole or not at all: under another name first, synced, then renamed.
    ///
    /// # Errors
    /// The folder or the file cannot be written; what was there before is still there.
    pub fn write(&self, path: &Path) -> Result<(), HarnessError> {
        let mut text = serde_json::to_string(self).map_err(|error| HarnessError::BadResults {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        text.push('\n');
        write_whole(path, text.as_bytes())
    }

    /// The rows of all completed and partial executions by what they measure.
    #[must_use]
    pub fn series(&self) -> BTreeMap<RowKey, Series<'_>> {
        let mut all: BTreeMap<RowKey, Series<'_>> = BTreeMap::new();
        for execution in &self.executions {
            let mut seen: Vec<RowKey> = Vec::new();
            for recorded in &execution.rows {
                let row = &recorded.row;
                let key = RowKey {
                    suite: execution.suite.clone(),
                    label: execution.label.clone(),
                    measure: row.measure.clone(),
                    unit: row.unit.clone(),
                    peer: row.peer_name.clone().unwrap_or_default(),
                };
                // A suite may state one measurement once per goal: it counts once per run.
                if seen.contains(&key) {
                    continue;
                }
                let specs = self.specs_of(execution, &row.measure);
                let series = all.entry(key.clone()).or_insert(Series {
                    rows: Vec::new(),
                    specs,
                });
                series.rows.push(recorded);
                seen.push(key);
            }
        }
        all
    }

    fn specs_of(&self, execution: &Execution, measure: &str) -> Vec<&str> {
        self.specs
            .iter()
            .filter(|spec| execution.specs.contains(&spec.name))
            .filter(|spec| {
                let mut patterns = spec.rows.iter();
                patterns.any(|pattern| super::spec::matches(pattern, measure))
            })
            .map(|spec| spec.name.as_str())
            .collect()
    }
}

/// Which direction of a row is good, as far as its goal or unit says.
#[must_use]
pub fn direction(recorded: &Recorded) -> Option<Better> {
    let row = &recorded.row;
    if let Some(goal) = &row.goal {
        if goal.contains("<=") {
            return Some(Better::Lower);
        }
        if goal.contains(">=") {
            return Some(Better::Higher);
        }
    }
    if row.unit.ends_with("/s") {
        return Some(Better::Higher);
    }
    (is_time(&row.unit) || is_size(&row.unit)).then_some(Better::Lower)
}

/// Whether a unit is of time.
#[must_use]
pub fn is_time(unit: &str) -> bool {
    ["ns", "us", "ms", "s"].contains(&unit)
}

/// Whether a unit is of size, or of instructions: other work on the machine does not move either.
#[must_use]
pub fn is_size(unit: &str) -> bool {
    [
        "byte",
        "bytes",
        "B",
        "KB",
        "KiB",
        "MB",
        "MiB",
        "bit",
        "bits",
        "instructions",
    ]
    .contains(&unit)
}

/// Whether a measure is a 99th or higher percentile.
#[must_use]
pub fn is_tail(measure: &str) -> bool {
    measure
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| ["p99", "p999", "p9999"].contains(&word))
}

pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), HarnessError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(HarnessError::io("create", folder))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = Path::new(&draft);
    let written = std::fs::File::create(draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // A draft that could not be finished would only take the room that is missing.
        let _ = std::fs::remove_file(draft);
        return Err(HarnessError::io("write", path)(error));
    }
    std::fs::rename(draft, path).map_err(HarnessError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn directions_come_from_goals_and_units() {
        let of = |row| direction(&recorded(row));
        assert_eq!(of(Row::new("m", "ns", 1.0)), Some(Better::Lower));
        assert_eq!(of(Row::new("m", "MB/s", 1.0)), Some(Better::Higher));
        assert_eq!(of(Row::new("m", "KiB", 1.0)), Some(Better::Lower));
        assert_eq!(of(Row::new("m", "x", 1.0)), None);
        let goal = Row::new("m", "x", 1.0).goal(Goal::OursAtLeast(3.0));
        assert_eq!(of(goal), Some(Better::Higher));
    }

    #[test]
    fn tails_are_words_of_their_own() {
        assert!(is_tail("put 1 KB, p99") && is_tail("p999") && is_tail("x, p99 over ideal"));
        assert!(!is_tail("p95") && !is_tail("hll p14") && !is_tail("p990"));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        write_whole(&path, b"old").unwrap();
        std::fs::create_dir(dir.path().join("results.json.draft")).unwrap();
        let message = write_whole(&path, b"new").unwrap_err().to_string();
        assert!(message.contains("results.json"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        for (text, needle) in [("{", "EOF"), ("{}", "missing field")] {
            std::fs::write(&path, text).unwrap();
            let message = Results::read(&path).unwrap_err().to_string();
            assert!(
                message.contains(needle) && message.contains("results.json"),
                "{message}"
            );
        }
        let results = Results {
            format: 7,
            name: None,
            environment: Environment::read(),
            load_1m_at_end: None,
            specs: Vec::new(),
            executions: Vec::new(),
        };
        results.write(&path).unwrap();
        let message = Results::read(&path).unwrap_err().to_string();
        assert!(message.contains("format 7"), "{message}");
    }
}
