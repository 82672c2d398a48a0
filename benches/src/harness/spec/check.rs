//! Reads spec files and checks every value.

use super::schema::{File, Raw, RawTarget};
use super::{
    Analysis, Better, CATEGORIES, Figure, Output, Regression, Sampling, Settings, Spec, Target,
    Tier,
};
use crate::harness::HarnessError;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Longest spec file, in bytes: far more than any needs, far less than harms.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most files in a folder of specs.
const FILES_MAX: usize = 256;
/// Most executions that the parameters of one spec may multiply out to.
const COMBINATIONS_MAX: usize = 64;

/// Reads all `*.yaml` files directly in a folder, in the order of their names.
///
/// # Errors
/// The folder cannot be read, holds no spec or too many, a spec is wrong, or two have one name.
pub fn read_all(folder: &Path) -> Result<Vec<Spec>, HarnessError> {
    let entries = std::fs::read_dir(folder).map_err(HarnessError::io("read", folder))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(HarnessError::io("read", folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(HarnessError::SpecValue {
            file: folder.to_owned(),
            field: "number of *.yaml files".to_owned(),
            value: files.len().to_string(),
            allowed: format!("1 to {FILES_MAX}"),
        });
    }
    let mut names = BTreeSet::new();
    let mut specs = Vec::new();
    for file in files {
        let spec = read_file(&file)?;
        if !names.insert(spec.name.clone()) {
            let check = Check { file: &file };
            return Err(check.wrong("name", &spec.name, "a name that no other spec has"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// Reads one spec file.
///
/// # Errors
/// The file cannot be read, is too long, or a value in it is wrong.
pub fn read_file(file: &Path) -> Result<Spec, HarnessError> {
    let bytes = std::fs::metadata(file)
        .map_err(HarnessError::io("read", file))?
        .len();
    if bytes > FILE_BYTES_MAX {
        let check = Check { file };
        return Err(check.wrong("length", bytes, format!("at most {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(HarnessError::io("read", file))?;
    parse(file, &text)
}

/// Checks the text of a spec; `file` stands in its errors.
///
/// # Errors
/// The text is no YAML of the expected shape, or a value is not allowed.
pub fn parse(file: &Path, text: &str) -> Result<Spec, HarnessError> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let parsed: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        HarnessError::SpecSyntax {
            file: file.to_owned(),
            message: error.to_string(),
        }
    })?;
    Check { file }.spec(parsed.benchmark)
}

struct Check<'a> {
    file: &'a Path,
}

impl Check<'_> {
    fn wrong(
        &self,
        field: impl Display,
        value: impl Display,
        allowed: impl Display,
    ) -> HarnessError {
        HarnessError::SpecValue {
            file: PathBuf::from(self.file),
            field: field.to_string(),
            value: value.to_string(),
            allowed: allowed.to_string(),
        }
    }

    fn spec(&self, raw: Raw) -> Result<Spec, HarnessError> {
        self.names(&raw)?;
        let tier = match raw.tier.as_str() {
            "micro" => Tier::Micro,
            "macro" => Tier::Macro,
            "profile" => Tier::Profile,
            other => return Err(self.wrong("tier", other, Tier::NAMES)),
        };
        let analysis = self.analysis(&raw)?;
        self.profiling(&raw, tier)?;
        let regression = self.regression(&raw)?;
        if raw.output.format != "json" {
            return Err(self.wrong("output.format", &raw.output.format, "json"));
        }
        let mut targets = Vec::new();
        for (name, target) in &raw.targets {
            targets.push(self.target(name, target)?);
        }
        self.parameters(&raw)?;
        if raw.rows.iter().any(String::is_empty) || raw.rows.is_empty() {
            return Err(self.wrong("rows", "empty", "at least one pattern, none of them empty"));
        }
        let sampling = match raw.profiling.sampler.as_str() {
            _ if !raw.profiling.enabled => None,
            "pprof" => Some(Sampling::Stacks(raw.profiling.sample_rate)),
            "dhat" => Some(Sampling::Heap),
            "callgrind" => Some(Sampling::Calls),
            _ => None,
        };
        let execution = analysis.is_none().then(|| Settings {
            suite: raw.category.clone(),
            filter: raw.filter,
            environment: raw.environment,
            limit_s: raw.limit_s,
            measurement_s: raw.measurement_s.or(raw.profiling.duration),
            samples: raw.samples,
            expected_s: raw.expected_s,
            // With pprof the rate is that of the stacks.
            sample_rate: match sampling {
                Some(Sampling::Stacks(_)) => 10.0,
                _ => raw.profiling.sample_rate,
            },
            sampling,
        });
        Ok(Spec {
            name: raw.name,
            description: raw.description,
            category: raw.category,
            tier,
            execution,
            analysis,
            rows: raw.rows,
            targets,
            regression,
            output: Output {
                include_traces: raw.output.include_traces,
                save_artifacts: raw.output.save_artifacts,
            },
            parameters: raw
                .parameters
                .into_iter()
                .map(|(name, values)| {
                    let values = values.into_iter().map(super::schema::Scalar::into_text);
                    (name, values.collect())
                })
                .collect(),
        })
    }

    fn names(&self, raw: &Raw) -> Result<(), HarnessError> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if raw.name.is_empty() || raw.name.len() > 64 || !raw.name.chars().all(legal) {
            let allowed = "1 to 64 small letters, digits and '_'";
            return Err(self.wrong("name", format!("{:?}", raw.name), allowed));
        }
        if raw.description.trim().is_empty() {
            return Err(self.wrong("description", "empty", "a sentence"));
        }
        if !CATEGORIES.contains(&raw.category.as_str()) {
            return Err(self.wrong("category", &raw.category, CATEGORIES.join(", ")));
        }
        if !(1..=3600).contains(&raw.limit_s) {
            return Err(self.wrong("limit_s", raw.limit_s, "1 to 3600 seconds"));
        }
        if let Some(seconds) = raw.measurement_s {
            self.within("measurement_s", seconds, 0.01, 600.0, "seconds")?;
        }
        if let Some(samples) = raw.samples
            && !(10..=1000).contains(&samples)
        {
            return Err(self.wrong("samples", samples, "10 to 1000"));
        }
        if let Some(seconds) = raw.expected_s {
            self.within("expected_s", seconds, 0.1, 3600.0, "seconds")?;
        }
        if raw.filter.as_ref().is_some_and(|filter| {
            filter.is_empty() || filter.starts_with('-') || filter.contains(char::is_whitespace)
        }) {
            let value = format!("{:?}", raw.filter.as_deref().unwrap_or_default());
            return Err(self.wrong("filter", value, "a word without spaces, not first '-'"));
        }
        Ok(())
    }

    fn analysis(&self, raw: &Raw) -> Result<Option<Analysis>, HarnessError> {
        let allowed = "bottlenecks, impact, roadmap";
        match (raw.category.as_str(), raw.analysis.as_deref()) {
            ("analysis", Some("bottlenecks")) => Ok(Some(Analysis::Bottlenecks)),
            ("analysis", Some("impact")) => Ok(Some(Analysis::Impact)),
            ("analysis", Some("roadmap")) => Ok(Some(Analysis::Roadmap)),
            ("analysis", Some(other)) => Err(self.wrong("analysis", other, allowed)),
            ("analysis", None) => Err(self.wrong("analysis", "not there", allowed)),
            (_, Some(other)) => {
                Err(self.wrong("analysis", other, "nothing, unless category is analysis"))
            }
            (_, None) => Ok(None),
        }
    }

    fn profiling(&self, raw: &Raw, tier: Tier) -> Result<(), HarnessError> {
        let profiling = &raw.profiling;
        let most = match profiling.sampler.as_str() {
            "resources" | "dhat" | "callgrind" => 50.0,
            "pprof" => 250.0,
            other => {
                return Err(self.wrong(
                    "profiling.sampler",
                    other,
                    "resources, pprof, dhat, callgrind",
                ));
            }
        };
        if profiling.sampler == "dhat" && raw.category == "agents" {
            let allowed = "another sampler for suite agents, which has an allocator of its own";
            return Err(self.wrong("profiling.sampler", "dhat", allowed));
        }
        self.within(
            "profiling.sample_rate",
            profiling.sample_rate,
            1.0,
            most,
            "Hz",
        )?;
        if let Some(seconds) = profiling.duration {
            self.within("profiling.duration", seconds, 0.01, 300.0, "seconds")?;
            if raw.measurement_s.is_some() {
                let allowed = "nothing where measurement_s is given: they mean the same";
                return Err(self.wrong("profiling.duration", seconds, allowed));
            }
        }
        if tier == Tier::Profile && !profiling.enabled {
            return Err(self.wrong("profiling.enabled", false, "true in tier profile"));
        }
        Ok(())
    }

    fn regression(&self, raw: &Raw) -> Result<Regression, HarnessError> {
        let regression = &raw.regression;
        let (threshold, p99) = (
            regression.threshold_percent,
            regression.p99_threshold_percent,
        );
        self.within(
            "regression.threshold_percent",
            threshold,
            1.0,
            1000.0,
            "per cent",
        )?;
        self.within(
            "regression.p99_threshold_percent",
            p99,
            1.0,
            1000.0,
            "per cent",
        )?;
        let runs = u32::try_from(regression.min_iterations)
            .ok()
            .filter(|runs| (3..=20).contains(runs))
            .ok_or_else(|| {
                let field = "regression.min_iterations";
                self.wrong(field, regression.min_iterations, "3 to 20 runs")
            })?;
        Ok(Regression {
            enabled: regression.enabled,
            threshold_percent: threshold,
            p99_threshold_percent: p99,
            min_iterations: runs,
        })
    }

    fn within(
        &self,
        field: &str,
        value: f64,
        least: f64,
        most: f64,
        unit: &str,
    ) -> Result<(), HarnessError> {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(self.wrong(field, value, format!("{least} to {most} {unit}")))
        }
    }

    fn target(&self, name: &str, raw: &RawTarget) -> Result<Target, HarnessError> {
        let field = |part: &str| format!("targets.{name}.{part}");
        let of = match raw.of.as_str() {
            "ours" => Figure::Ours,
            "ratio" => Figure::Ratio,
            other => return Err(self.wrong(field("of"), other, "ours, ratio")),
        };
        let better = match raw.better.as_str() {
            "lower" => Better::Lower,
            "higher" => Better::Higher,
            other => return Err(self.wrong(field("better"), other, "lower, higher")),
        };
        if (of == Figure::Ours) != raw.unit.is_some() {
            let value = raw.unit.as_deref().unwrap_or("not there");
            let allowed = "the row's unit where `of` is ours, nothing where it is ratio";
            return Err(self.wrong(field("unit"), value, allowed));
        }
        if raw.measure.is_empty() {
            return Err(self.wrong(field("measure"), "empty", "a pattern of measures"));
        }
        let range = &raw.acceptable_range;
        let acceptable = match range[..] {
            [low, high] if low < high && (low..=high).contains(&raw.target) => (low, high),
            _ => {
                let allowed = format!(
                    "[low, high] with low < high and the target {} between them",
                    raw.target
                );
                let value = format!("{range:?}");
                return Err(self.wrong(field("acceptable_range"), value, allowed));
            }
        };
        Ok(Target {
            name: name.to_owned(),
            measure: raw.measure.clone(),
            of,
            unit: raw.unit.clone(),
            better,
            target: raw.target,
            acceptable,
        })
    }

    /// Every parameter is used, and every placeholder is a parameter or `{workspace}`.
    fn parameters(&self, raw: &Raw) -> Result<(), HarnessError> {
        let mut combinations = 1_usize;
        let texts: Vec<&String> = raw.filter.iter().chain(raw.environment.values()).collect();
        for (name, values) in &raw.parameters {
            let field = format!("parameters.{name}");
            if values.is_empty() {
                return Err(self.wrong(field, "empty", "at least one value"));
            }
            let placeholder = format!("{{{name}}}");
            if !texts.iter().any(|text| text.contains(&placeholder)) {
                let allowed =
                    format!("a parameter that filter or environment holds as {placeholder}");
                return Err(self.wrong(field, "not used", allowed));
            }
            combinations = combinations.saturating_mul(values.len());
        }
        if combinations > COMBINATIONS_MAX {
            let allowed = format!("at most {COMBINATIONS_MAX} combinations");
            return Err(self.wrong(
                "parameters",
                format!("{combinations} combinations"),
                allowed,
            ));
        }
        for text in texts {
            for part in text.split('{').skip(1) {
                let name = part.split('}').next().unwrap_or_default();
                if name != "workspace" && !raw.parameters.contains_key(name) {
                    let mut known: Vec<&str> = raw.parameters.keys().map(String::as_str).collect();
                    known.push("workspace");
                    return Err(self.wrong("placeholder", name, known.join(", ")));
                }
            }
        }
        Ok(())
    }
}
