//! The shape of a spec file, before its values are checked.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) benchmark: Raw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) category: String,
    pub(super) tier: String,
    #[serde(default)]
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default = "default_limit_s")]
    pub(super) limit_s: u64,
    #[serde(default)]
    pub(super) measurement_s: Option<f64>,
    #[serde(default)]
    pub(super) samples: Option<u32>,
    #[serde(default)]
    pub(super) expected_s: Option<f64>,
    #[serde(default)]
    pub(super) analysis: Option<String>,
    #[serde(default = "default_rows")]
    pub(super) rows: Vec<String>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Vec<Scalar>>,
    #[serde(default)]
    pub(super) targets: BTreeMap<String, RawTarget>,
    #[serde(default)]
    pub(super) profiling: RawProfiling,
    #[serde(default)]
    pub(super) regression: RawRegression,
    #[serde(default)]
    pub(super) output: RawOutput,
}

fn default_limit_s() -> u64 {
    300
}

fn default_rows() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A value of a parameter: a number stands for its text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(whole) => whole.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) measure: String,
    #[serde(default = "default_of")]
    pub(super) of: String,
    #[serde(default)]
    pub(super) unit: Option<String>,
    pub(super) better: String,
    pub(super) target: f64,
    pub(super) acceptable_range: Vec<f64>,
}

fn default_of() -> String {
    "ours".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawProfiling {
    pub(super) enabled: bool,
    pub(super) sampler: String,
    pub(super) sample_rate: f64,
    pub(super) duration: Option<f64>,
}

impl Default for RawProfiling {
    fn default() -> Self {
        Self {
            enabled: false,
            sampler: "resources".to_owned(),
            sample_rate: 10.0,
            duration: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRegression {
    pub(super) enabled: bool,
    pub(super) threshold_percent: f64,
    pub(super) p99_threshold_percent: f64,
    pub(super) min_iterations: i64,
}

impl Default for RawRegression {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold_percent: 10.0,
            p99_threshold_percent: 10.0,
            min_iterations: 5,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOutput {
    pub(super) format: String,
    pub(super) include_traces: bool,
    pub(super) save_artifacts: bool,
}

impl Default for RawOutput {
    fn default() -> Self {
        Self {
            format: "json".to_owned(),
            include_traces: true,
            save_artifacts: false,
        }
    }
}
