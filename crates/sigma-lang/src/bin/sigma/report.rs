//! Results as a table or as JSON, and progress.

use std::io::{self, Read};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Where results go.
pub(crate) struct Report {
    json: bool,
    quiet: bool,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Report { json, quiet }
    }

    /// Prints a result: on standard error where standard output carries data.
    pub(crate) fn print(&self, data_on_stdout: bool, table: &Table, json: &Value) {
        if self.quiet && !self.json {
            return;
        }
        let text = if self.json {
            format!("{json}\n")
        } else {
            table.render()
        };
        if data_on_stdout {
            eprint!("{text}");
        } else {
            print!("{text}");
        }
    }

    /// A progress bar on standard error; none where that is no terminal.
    pub(crate) fn bar(&self, bytes: Option<u64>) -> ProgressBar {
        if self.quiet || self.json {
            return ProgressBar::hidden();
        }
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "[{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ),
            None => (
                ProgressBar::no_length(),
                "{spinner} {bytes} {bytes_per_sec}",
            ),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }
}

/// A reader that moves a progress bar.
pub(crate) struct Watched<R> {
    pub(crate) inner: R,
    pub(crate) bar: ProgressBar,
    pub(crate) bytes: u64,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.bytes += read as u64;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

/// Rows of cells; numbers are aligned to the right.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = Table::default();
        table.row(head.iter().map(|cell| (*cell).to_string()).collect());
        table
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: usize, column: usize| -> &str {
            let row = self.rows.get(row).map(Vec::as_slice).unwrap_or_default();
            row.get(column).map(String::as_str).unwrap_or_default()
        };
        let width = |column| {
            let lengths = (0..self.rows.len()).map(|row| cell(row, column).chars().count());
            lengths.max().unwrap_or(0)
        };
        let is_number = |column| {
            (1..self.rows.len()).all(|row| {
                let first = cell(row, column).chars().next();
                first.is_none_or(|c| c.is_ascii_digit() || c == '-')
            })
        };
        let layout: Vec<(usize, bool)> = (0..columns)
            .map(|column| (width(column), is_number(column)))
            .collect();
        let mut out = String::new();
        for row in 0..self.rows.len() {
            let mut line = String::new();
            for (column, (width, right)) in layout.iter().enumerate() {
                let text = cell(row, column);
                if column > 0 {
                    line.push_str("  ");
                }
                if *right {
                    line.push_str(&format!("{text:>width$}"));
                } else {
                    line.push_str(&format!("{text:<width$}"));
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
pub(crate) fn ratio(content_bytes: u64, packed_bytes: u64) -> f64 {
    content_bytes as f64 / packed_bytes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["name", "bytes"]);
        table.row(vec!["a".into(), "5".into()]);
        table.row(vec!["long name".into(), "12345".into()]);
        let expected = "name       bytes\na              5\nlong name  12345\n";
        assert_eq!(table.render(), expected);
    }
}
