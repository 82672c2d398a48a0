//! The rows of a suite as JSON lines, written while the suite runs.
//!
//! A suite started by `neurectomy-bench run` finds a folder in `NEURECTOMY_BENCH_OUTPUT` and appends
//! one line per row to `rows.jsonl` in it, at the moment when the row is made. So the rows before a
//! panic, a kill or a full disk are kept. The lines are `{"kind":"start",...}` (the suite and its
//! [`Environment`]), `{"kind":"row",...}` (a [`Recorded`]) and, where the suite came to its end,
//! `{"kind":"end"}`.

use crate::environment::Environment;
use crate::row::Row;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Names the folder that a suite writes to instead of the target folder.
pub const OUTPUT_VARIABLE: &str = "NEURECTOMY_BENCH_OUTPUT";
/// Set where a suite is run several times over, so that it need not repeat things itself.
pub const SHORT_VARIABLE: &str = "NEURECTOMY_BENCH_SHORT";
/// The file of rows in that folder.
pub const ROWS_FILE: &str = "rows.jsonl";
/// Longest file of rows that is read, in bytes.
const ROWS_BYTES_MAX: u64 = 256 << 20;

/// A row and what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// Criterion group of the two benchmarks, for rows made by [`Suite::compare`](crate::Suite::compare).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What one iteration did, for the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkDone>,
    /// Time of the fastest sample, ours by the peer's, for the same rows: other work on the machine
    /// only ever adds time, so this ratio moves least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fastest_ratio: Option<f64>,
    /// Single samples, for the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
}

/// What one iteration of a benchmark did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkDone {
    /// `operations`, `bytes` or `items`.
    pub of: String,
    /// How many.
    pub amount: u64,
}

/// Criterion's samples: nanoseconds per iteration, in the order in which they were taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Of our benchmark.
    pub ours_ns: Vec<f64>,
    /// Of the peer.
    pub peer_ns: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Start {
        suite: String,
        #[serde(flatten)]
        environment: Environment,
    },
    Row(Box<Recorded>),
    End,
}

/// Appends to the file of rows of one suite.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Samples {
    /// Fastest of ours by the fastest of the peer; none where a side has none.
    #[must_use]
    pub fn fastest_ratio(&self) -> Option<f64> {
        let least = |samples: &[f64]| samples.iter().copied().fold(f64::INFINITY, f64::min);
        let ratio = least(&self.ours_ns) / least(&self.peer_ns);
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }
}

impl Journal {
    /// Opens the file and writes the first line.
    ///
    /// # Errors
    /// The file cannot be opened or written; the message names it.
    pub fn start(path: &Path, suite: &str) -> Result<Self, String> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| failed(path, &error))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
        };
        journal.write(&Line::Start {
            suite: suite.to_owned(),
            environment: Environment::read(),
        })?;
        Ok(journal)
    }

    /// Appends a row; it is in the file when the call returns.
    ///
    /// # Errors
    /// The file cannot be written (the message names it), or the row's figures are no numbers.
    pub fn row(&mut self, recorded: Recorded) -> Result<(), String> {
        let Row { ours, peer, .. } = recorded.row;
        if !ours.is_finite() || peer.is_some_and(|peer| !peer.is_finite()) {
            return Err(format!(
                "row \"{}\": {ours} and {peer:?} have to be finite numbers",
                recorded.row.measure
            ));
        }
        self.write(&Line::Row(Box::new(recorded)))
    }

    /// Says that the suite came to its end.
    ///
    /// # Errors
    /// The file cannot be written; the message names it.
    pub fn end(mut self) -> Result<(), String> {
        self.write(&Line::End)
    }

    fn write(&mut self, line: &Line) -> Result<(), String> {
        let mut text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write the rows to {}: {error}", path.display())
}

/// What a file of rows holds.
#[derive(Debug, Default)]
pub struct Journalled {
    /// The suite, where the first line is there.
    pub suite: Option<String>,
    /// Circumstances of the suite's process.
    pub environment: Option<Environment>,
    /// The rows in their order.
    pub rows: Vec<Recorded>,
    /// Whether the suite came to its end.
    pub ended: bool,
}

/// Reads the rows of a suite; a last line that was cut while it was written is left out.
///
/// # Errors
/// The file cannot be read, is longer than 256 MiB, or a line other than the last is none of ours.
/// A file that does not exist has no rows.
pub fn read(path: &Path) -> Result<Journalled, String> {
    let mut journalled = Journalled::default();
    let of_file = |error: &dyn std::fmt::Display| format!("rows file {}: {error}", path.display());
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > ROWS_BYTES_MAX => {
            let message = format!("{} bytes, allowed are {ROWS_BYTES_MAX}", meta.len());
            return Err(of_file(&message));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(journalled),
        Err(error) => return Err(of_file(&error)),
    }
    let text = std::fs::read_to_string(path).map_err(|error| of_file(&error))?;
    for (number, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(Line::Start { suite, environment }) => {
                journalled.suite = Some(suite);
                journalled.environment = Some(environment);
            }
            Ok(Line::Row(recorded)) => journalled.rows.push(*recorded),
            Ok(Line::End) => journalled.ended = true,
            Err(_) if number + 1 == text.lines().count() && !text.ends_with('\n') => {}
            Err(error) => return Err(of_file(&format!("line {}: {error}", number + 1))),
        }
    }
    Ok(journalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Recorded {
        Recorded {
            row: Row::new("m", "ns", 1.0).against("p", 2.0),
            group: Some("g".to_owned()),
            work: Some(WorkDone {
                of: "bytes".to_owned(),
                amount: 7,
            }),
            fastest_ratio: Some(0.5),
            samples: Some(Samples {
                ours_ns: vec![1.0, 2.0],
                peer_ns: vec![3.0],
            }),
        }
    }

    #[test]
    fn rows_come_back_and_a_cut_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ROWS_FILE);
        let mut journal = Journal::start(&path, "s").unwrap();
        journal.row(recorded()).unwrap();
        journal.row(recorded()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let cut = read(&path).unwrap();
        assert_eq!(cut.suite.as_deref(), Some("s"));
        assert_eq!(cut.rows, vec![recorded()]);
        assert!(!cut.ended && cut.environment.is_some());
        std::fs::write(&path, &whole).unwrap();
        journal.end().unwrap();
        assert_eq!(read(&path).unwrap().rows.len(), 2);
    }

    #[test]
    fn the_fastest_samples_make_a_ratio() {
        let samples = |ours: &[f64], peer: &[f64]| Samples {
            ours_ns: ours.to_vec(),
            peer_ns: peer.to_vec(),
        };
        assert_eq!(
            samples(&[4.0, 2.0], &[8.0, 9.0]).fastest_ratio(),
            Some(0.25)
        );
        assert_eq!(samples(&[], &[8.0]).fastest_ratio(), None);
        assert_eq!(samples(&[8.0], &[]).fastest_ratio(), None);
    }

    #[test]
    fn a_foreign_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ROWS_FILE);
        std::fs::write(&path, "{\"kind\":\"end\"}\nnothing\n{\"kind\":\"end\"}\n").unwrap();
        let message = read(&path).unwrap_err();
        assert!(message.contains("line 2"), "{message}");
        assert!(read(&dir.path().join("none")).unwrap().rows.is_empty());
    }

    #[test]
    fn a_figure_that_is_no_number_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::start(&dir.path().join(ROWS_FILE), "s").unwrap();
        let mut wrong = recorded();
        wrong.row.ours = f64::NAN;
        let message = journal.row(wrong).unwrap_err();
        assert!(message.contains("row \"m\": NaN"), "{message}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_names_the_file() {
        let message = Journal::start(Path::new("/dev/full"), "s").unwrap_err();
        assert!(message.contains("/dev/full"), "{message}");
        assert!(message.contains("No space left"), "{message}");
    }
}
