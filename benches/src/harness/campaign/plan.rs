//! The file that says which benchmarks belong to which day.

use crate::harness::HarnessError;
use crate::harness::spec::Spec;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most days.
const DAYS_MAX: usize = 31;

/// A day of the campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// From 1.
    pub number: u32,
    /// In a word or two.
    pub name: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// Runs of each execution.
    pub runs: u32,
    /// Its specs.
    pub specs: Vec<Spec>,
    /// Whether only what was measured before is taken, and nothing run.
    pub skipped: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    days: Vec<RawDay>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDay {
    name: String,
    description: String,
    #[serde(default = "default_runs")]
    runs: u32,
    specs: Vec<String>,
}

fn default_runs() -> u32 {
    1
}

/// Reads the days and gives each its specs.
///
/// # Errors
/// The file cannot be read or is no YAML of the expected shape, a day has no name, description or
/// spec, names a spec that is not there or that an earlier day has, or asks for a number of runs
/// that is not allowed.
pub fn read(file: &Path, specs: &[Spec]) -> Result<Vec<Day>, HarnessError> {
    let wrong = |field: String, value: String, allowed: String| HarnessError::SpecValue {
        file: file.to_owned(),
        field,
        value,
        allowed,
    };
    let failed = HarnessError::io("read", file);
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        let allowed = format!("at most {FILE_BYTES_MAX} bytes");
        return Err(wrong("length".to_owned(), bytes.to_string(), allowed));
    }
    let text = std::fs::read_to_string(file).map_err(HarnessError::io("read", file))?;
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let parsed: File = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        HarnessError::SpecSyntax {
            file: file.to_owned(),
            message: error.to_string(),
        }
    })?;
    if parsed.days.is_empty() || parsed.days.len() > DAYS_MAX {
        let count = parsed.days.len().to_string();
        return Err(wrong("days".to_owned(), count, format!("1 to {DAYS_MAX}")));
    }
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    let mut days = Vec::new();
    for (number, raw) in (1_u32..).zip(parsed.days) {
        let field = |part: &str| format!("days[{number}].{part}");
        for (part, text) in [("name", &raw.name), ("description", &raw.description)] {
            if text.trim().is_empty() || text.len() > 400 {
                let value = format!("{} bytes", text.len());
                return Err(wrong(field(part), value, "1 to 400 bytes".to_owned()));
            }
        }
        if !(1..=20).contains(&raw.runs) {
            let allowed = "1 to 20 runs".to_owned();
            return Err(wrong(field("runs"), raw.runs.to_string(), allowed));
        }
        if raw.specs.is_empty() {
            let allowed = "at least one spec".to_owned();
            return Err(wrong(field("specs"), "empty".to_owned(), allowed));
        }
        let mut own = Vec::new();
        for name in raw.specs {
            let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
                let known: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                return Err(wrong(field("specs"), name, known.join(", ")));
            };
            if let Some(before) = taken.insert(name.clone(), number) {
                let allowed = format!("a spec of one day; day {before} has it");
                return Err(wrong(field("specs"), name, allowed));
            }
            own.push(spec.clone());
        }
        days.push(Day {
            number,
            name: raw.name,
            description: raw.description,
            runs: raw.runs,
            specs: own,
            skipped: false,
        });
    }
    Ok(days)
}
