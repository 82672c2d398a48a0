//! The report as an aligned text table.

use super::report::{Stage, WorkflowReport};
use std::fmt::Write as _;

const HEADER: [&str; 10] = [
    "stage", "items", "wall s", "wall %", "CPU s", "queued s", "p50 ms", "p99 ms", "in", "out",
];

pub(super) fn render(report: &WorkflowReport) -> String {
    let mut rows: Vec<[String; 10]> = vec![HEADER.map(str::to_owned)];
    rows.extend(report.stages.iter().map(|stage| row(stage, report.wall_s)));
    rows.push(total(report));
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right. Writing to a String cannot fail.
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn row(stage: &Stage, wall_s: f64) -> [String; 10] {
    let count = |n: u64| {
        if n == 0 {
            "-".to_owned()
        } else {
            n.to_string()
        }
    };
    let millis = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
    [
        stage.name.clone(),
        count(stage.items),
        format!("{:.3}", stage.wall_s),
        format!("{:.1}", percent(stage.wall_s, wall_s)),
        format!("{:.3}", stage.cpu_s),
        format!("{:.3}", stage.queued_s),
        millis(stage.p50_ms),
        millis(stage.p99_ms),
        bytes(stage.bytes_in),
        bytes(stage.bytes_out),
    ]
}

fn total(report: &WorkflowReport) -> [String; 10] {
    let sum = |of: fn(&Stage) -> f64| report.stages.iter().map(of).sum::<f64>();
    let accounted_s = sum(|stage| stage.wall_s);
    [
        "sum".to_owned(),
        String::new(),
        format!("{accounted_s:.3}"),
        format!("{:.1}", percent(accounted_s, report.wall_s)),
        format!("{:.3}", sum(|stage| stage.cpu_s)),
        format!("{:.3}", sum(|stage| stage.queued_s)),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ]
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        100.0 * part / whole
    } else {
        0.0
    }
}

/// Bytes with a decimal unit: `12 B`, `3.4 kB`, `5.6 MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        1..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::report::StageKind;

    fn report() -> WorkflowReport {
        let team = Stage {
            name: "analysis".to_owned(),
            kind: StageKind::Team,
            items: 3,
            wall_s: 1.5,
            cpu_s: 2.5,
            queued_s: 0.25,
            p50_ms: Some(1.0),
            p99_ms: Some(12.0),
            bytes_in: 2_500_000,
            bytes_out: 999,
        };
        WorkflowReport {
            wall_s: 2.0,
            accounted_fraction: 1.0,
            process_cpu_s: 2.6,
            workers: 2,
            documents: 3,
            documents_stored: 3,
            documents_verified: 3,
            documents_resumed: 0,
            documents_repaired: 0,
            bytes: 2_500_000,
            bytes_packed: 999,
            tokens_generated: 0,
            model: "toy".to_owned(),
            model_trained: false,
            vault: "vault".into(),
            skipped: 0,
            failures: Vec::new(),
            stages: vec![team, Stage::phase("idle", 0.5, 0.0)],
            synthesis: String::new(),
        }
    }

    #[test]
    fn every_row_has_the_same_columns_and_the_sum_closes() {
        let text = report().table();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].contains("2.5 MB") && lines[1].contains("75.0"),
            "{}",
            lines[1]
        );
        assert!(
            lines[3].starts_with("sum") && lines[3].contains("100.0"),
            "{}",
            lines[3]
        );
        let end = |line: &str, cell: &str| line.find(cell).unwrap() + cell.len();
        assert_eq!(end(lines[0], "p99 ms"), end(lines[1], "12.00"));
    }

    #[test]
    fn json_has_the_documented_keys_and_no_synthesis_text() {
        let json = serde_json::to_value(report()).unwrap();
        for key in [
            "wall_s",
            "accounted_fraction",
            "documents",
            "stages",
            "failures",
        ] {
            assert!(!json[key].is_null(), "{key}");
        }
        assert!(json["synthesis"].is_null());
        assert_eq!(json["stages"][1]["kind"], "phase");
    }
}
