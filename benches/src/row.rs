//! What one comparison states.

use serde::{Deserialize, Serialize};

/// A target that a row is held to. Goals come from the workspace's design, not from the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// `ours / peer` is at most this.
    RatioAtMost(f64),
    /// `ours / peer` is at least this.
    RatioAtLeast(f64),
    /// `ours` itself, in the row's unit, is at most this.
    OursAtMost(f64),
    /// `ours` itself, in the row's unit, is at least this.
    OursAtLeast(f64),
}

impl Goal {
    fn held(self, ours: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtMost(limit) => ratio.map(|r| r <= limit),
            Self::RatioAtLeast(limit) => ratio.map(|r| r >= limit),
            Self::OursAtMost(limit) => Some(ours <= limit),
            Self::OursAtLeast(limit) => Some(ours >= limit),
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::RatioAtMost(limit) => format!("ratio <= {limit}"),
            Self::RatioAtLeast(limit) => format!("ratio >= {limit}"),
            Self::OursAtMost(limit) => format!("<= {limit} {unit}"),
            Self::OursAtLeast(limit) => format!(">= {limit} {unit}"),
        }
    }
}

/// One measured row. Every number in it was measured in the run that wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, for example `hll p14 insert u64`.
    pub measure: String,
    /// Unit of `ours` and `peer`.
    pub unit: String,
    /// Our figure.
    pub ours: f64,
    /// The peer's figure in the same run, or none where no peer does this.
    pub peer: Option<f64>,
    /// The peer.
    pub peer_name: Option<String>,
    /// `ours / peer`: below 1 is better for times and sizes, above 1 for rates.
    pub ratio: Option<f64>,
    /// The goal as text, or none where the design sets none.
    pub goal: Option<String>,
    /// Whether the goal was held in this run.
    pub held: Option<bool>,
}

impl Row {
    /// Builds a row and judges it against its goal.
    ///
    /// ```
    /// use neurectomy_bench::{Goal, Row};
    /// let row = Row::new("filter bits per key", "bit", 9.0)
    ///     .against("peer", 9.6)
    ///     .goal(Goal::RatioAtMost(1.0));
    /// assert_eq!(row.held, Some(true));
    /// ```
    #[must_use]
    pub fn new(measure: &str, unit: &str, ours: f64) -> Self {
        Self {
            measure: measure.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: None,
            peer_name: None,
            ratio: None,
            goal: None,
            held: None,
        }
    }

    /// Adds the peer's figure.
    #[must_use]
    pub fn against(mut self, peer_name: &str, peer: f64) -> Self {
        self.peer = Some(peer);
        self.peer_name = Some(peer_name.to_owned());
        self.ratio = (peer != 0.0).then(|| self.ours / peer);
        self
    }

    /// Adds the goal; call it after [`Row::against`] when the goal is a ratio.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal.text(&self.unit));
        self.held = goal.held(self.ours, self.ratio);
        self
    }
}

/// Renders rows as one aligned text table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    let mut lines = vec![
        [
            "measure",
            "unit",
            "ours",
            "peer",
            "peer name",
            "ratio",
            "goal",
            "held",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for row in rows {
        lines.push(vec![
            row.measure.clone(),
            row.unit.clone(),
            figure(row.ours),
            number(row.peer),
            row.peer_name.clone().unwrap_or_else(|| "-".to_owned()),
            number(row.ratio),
            row.goal.clone().unwrap_or_else(|| "-".to_owned()),
            row.held
                .map_or("-", |held| if held { "yes" } else { "no" })
                .to_owned(),
        ]);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.1 {
        format!("{value:.3}")
    } else {
        format!("{value:.5}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_goal_needs_a_peer() {
        let alone = Row::new("m", "ns", 2.0).goal(Goal::RatioAtMost(1.0));
        assert_eq!(alone.held, None);
        let lost = Row::new("m", "ns", 2.0)
            .against("p", 1.0)
            .goal(Goal::RatioAtMost(1.0));
        assert_eq!((lost.ratio, lost.held), (Some(2.0), Some(false)));
        let rate = Row::new("m", "op/s", 2.0)
            .against("p", 1.0)
            .goal(Goal::RatioAtLeast(2.0));
        assert_eq!(rate.held, Some(true));
    }

    #[test]
    fn an_absolute_goal_names_its_unit() {
        let row = Row::new("m", "ns", 2.0).goal(Goal::OursAtMost(1.5));
        assert_eq!(
            (row.goal.as_deref(), row.held),
            (Some("<= 1.5 ns"), Some(false))
        );
    }

    #[test]
    fn table_columns_are_aligned() {
        let rows = [
            Row::new("long measure", "ns", 1.0),
            Row::new("m", "MB/s", 20_000.0),
        ];
        let text = table(&rows);
        let column = |needle: &str, line: usize| text.lines().nth(line).unwrap().find(needle);
        assert_eq!(column("ns", 1), column("MB/s", 2));
    }
}
