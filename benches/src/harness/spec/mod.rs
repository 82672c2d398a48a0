//! Spec files: which suite a benchmark runs, which rows are its own, and what it is held to.
//!
//! A spec is one YAML file. Every field, its default and what is allowed stand in
//! `docs/benchmarks/harness.md`; a field that is not known, has another type or a value that is not
//! allowed is an error that names file, field, value and what is allowed.

mod check;
mod matrix;
mod schema;

pub use check::{parse, read_all, read_file};
pub use matrix::{Plan, Settings, plans};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Categories: the suites, and the analysis of their results.
pub const CATEGORIES: [&str; 7] = [
    "sketches",
    "compression",
    "storage",
    "agents",
    "inference",
    "workflow",
    "analysis",
];

/// How long a benchmark takes and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Under a second for each criterion benchmark.
    Micro,
    /// One to ten seconds.
    Macro,
    /// One to five minutes, with the use of CPU, memory and disk over time.
    Profile,
}

impl Tier {
    pub(crate) const NAMES: &'static str = "micro, macro, profile";

    /// The tier's name in files and arguments.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Macro => "macro",
            Self::Profile => "profile",
        }
    }
}

/// What the analysis of a run does; see [`crate::harness::analysis`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Analysis {
    /// What each execution waited for or spent its time on.
    Bottlenecks,
    /// What it would save to be as fast as the peer, row by row.
    Impact,
    /// Missed targets and goals, and rows behind their peer, the greatest gain first.
    Roadmap,
}

/// What is looked at inside a suite, besides its use of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// Samples of stacks, so many per second of CPU time, by pprof.
    Stacks(f64),
    /// Allocations, by dhat.
    Heap,
    /// Instructions and calls of the smoke run, by callgrind.
    Calls,
}

impl Sampling {
    /// The feature that the suite is built with.
    #[must_use]
    pub fn feature(self) -> Option<&'static str> {
        match self {
            Self::Stacks(_) => Some("pprof"),
            Self::Heap => Some("dhat"),
            Self::Calls => None,
        }
    }

    /// The name of the sampler in specs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stacks(_) => "pprof",
            Self::Heap => "dhat",
            Self::Calls => "callgrind",
        }
    }
}

/// Which direction of a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Times, sizes, errors.
    Lower,
    /// Rates.
    Higher,
}

/// Which figure of a row a target is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Figure {
    /// Our own, in the row's unit.
    Ours,
    /// Ours by the peer's.
    Ratio,
}

/// A figure that rows of a spec are held to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The target's name in the spec.
    pub name: String,
    /// Measures that it is about; `*` stands for any text.
    pub measure: String,
    /// Which figure.
    pub of: Figure,
    /// Unit of the row, where the figure is ours.
    pub unit: Option<String>,
    /// Which direction is good.
    pub better: Better,
    /// The figure to reach.
    pub target: f64,
    /// Figures that are tolerated.
    pub acceptable: (f64, f64),
}

/// When a change counts as a regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// Whether the spec's rows are compared.
    pub enabled: bool,
    /// Change of the ratio to the peer that counts, in per cent.
    pub threshold_percent: f64,
    /// The same for rows of a 99th or higher percentile.
    pub p99_threshold_percent: f64,
    /// Runs that `run` makes, and that a comparison needs.
    pub min_iterations: u32,
}

impl Default for Regression {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold_percent: 10.0,
            p99_threshold_percent: 10.0,
            min_iterations: 5,
        }
    }
}

/// What is kept of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Whether rows keep criterion's single samples, of which the distributions are drawn.
    pub include_traces: bool,
    /// Whether criterion's folder and the printed lines of the suite stay beside the results.
    pub save_artifacts: bool,
}

/// A checked spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Unique name.
    pub name: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// One of [`CATEGORIES`].
    pub category: String,
    /// Its tier.
    pub tier: Tier,
    /// Suite, filter, environment and parameters; none for an analysis.
    pub execution: Option<Settings>,
    /// The analysis, for category `analysis`.
    pub analysis: Option<Analysis>,
    /// Measures that belong to the spec; `*` stands for any text.
    pub rows: Vec<String>,
    /// What the rows are held to.
    pub targets: Vec<Target>,
    /// When a change counts.
    pub regression: Regression,
    /// What is kept.
    pub output: Output,
    /// Values of each parameter.
    pub parameters: BTreeMap<String, Vec<String>>,
}

impl Spec {
    /// Whether a row of one of the spec's executions belongs to it.
    #[must_use]
    pub fn selects(&self, measure: &str) -> bool {
        self.rows.iter().any(|pattern| matches(pattern, measure))
    }
}

/// Whether a text has the form of a pattern, in which `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "anything", true),
            ("*p99", "put, p99", true),
            ("*p99", "put, p999", false),
            ("put*p99", "put, p99", true),
            ("*1 KB*", "put 1 KB, durable", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
