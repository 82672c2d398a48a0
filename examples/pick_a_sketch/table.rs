//! Rows as aligned text.

use crate::questions::{Frequent, Row};
use std::time::Duration;

pub(crate) fn comparison(rows: &[Row]) -> String {
    let mut lines = vec![
        [
            "question",
            "structure",
            "exact",
            "sketched",
            "off by",
            "exact",
            "sketch",
            "exact",
            "sketch",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for row in rows {
        lines.push(vec![
            row.question.clone(),
            row.structure.to_owned(),
            row.exact.answer.clone(),
            row.sketched.answer.clone(),
            row.off.clone(),
            bytes(row.exact.bytes),
            bytes(row.sketched.bytes),
            time(row.exact.time),
            time(row.sketched.time),
        ]);
    }
    aligned(&lines, 2)
}

pub(crate) fn frequent(words: &[Frequent]) -> String {
    let mut lines = vec![
        ["word", "count", "by SpaceSaving", "by CountMin"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for word in words {
        lines.push(vec![
            word.word.clone(),
            word.count.to_string(),
            word.kept.map_or_else(
                || "not kept".into(),
                |(least, most)| format!("{least} to {most}"),
            ),
            word.count_min.to_string(),
        ]);
    }
    aligned(&lines, 1)
}

pub(crate) fn bytes(count: usize) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

fn time(time: Duration) -> String {
    format!("{:.2} ms", 1e3 * time.as_secs_f64())
}

/// Columns as wide as their widest cell; the first `texts` are aligned to the left.
fn aligned(lines: &[Vec<String>], texts: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let cells = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column < texts {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
        if at == 0 {
            out.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            out.push('\n');
        }
    }
    out
}
