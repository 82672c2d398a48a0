//! A spec's parameters multiplied out to single executions.

use super::{Sampling, Spec, Tier};
use std::collections::BTreeMap;

/// How a spec's suite is started; texts may hold `{parameter}` and `{workspace}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The suite, a bench target of this package.
    pub suite: String,
    /// Handed to the suite as its only filter.
    pub filter: Option<String>,
    /// Added to the suite's environment.
    pub environment: BTreeMap<String, String>,
    /// The suite is killed after this many seconds.
    pub limit_s: u64,
    /// Seconds that criterion measures each benchmark; else the tier decides.
    pub measurement_s: Option<f64>,
    /// Samples that criterion takes of each benchmark; else the tier decides.
    pub samples: Option<u32>,
    /// Seconds that one run takes on two cores, for the plan that `run --dry-run` prints.
    pub expected_s: Option<f64>,
    /// Samples of memory and CPU per second.
    pub sample_rate: f64,
    /// What is looked at inside the suite; none looks at nothing.
    pub sampling: Option<Sampling>,
}

/// One execution of a suite, shared by all specs that ask for the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names of the specs.
    pub specs: Vec<String>,
    /// Suite, filter and environment in one line: what makes two executions the same.
    pub label: String,
    /// How it is started, without placeholders but `{workspace}`.
    pub settings: Settings,
    /// Tier of the specs.
    pub tier: Tier,
    /// Runs, where the command line does not say: the most that a spec asks for.
    pub runs: u32,
    /// Whether single samples are kept.
    pub include_traces: bool,
    /// Whether the suite's folder is kept.
    pub save_artifacts: bool,
}

impl Plan {
    /// Arguments of the suite. Values are joined by `=`, since suites take the first argument
    /// without a dash for their filter.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        // Many short samples: some of them meet no other work on the machine.
        let (warm_up, measurement, samples) = match self.tier {
            Tier::Micro => (0.1, 0.3, 60),
            Tier::Macro | Tier::Profile => (0.5_f64, 2.0, 20),
        };
        let measurement = self.settings.measurement_s.unwrap_or(measurement);
        let samples = self.settings.samples.unwrap_or(samples);
        let warm_up = warm_up.min(measurement / 3.0);
        let mut arguments: Vec<String> = self.settings.filter.iter().cloned().collect();
        if self.settings.sampling == Some(Sampling::Calls) {
            // The smoke run.
            arguments.push("--test".to_owned());
            return arguments;
        }
        arguments.extend([
            "--bench".to_owned(),
            "--noplot".to_owned(),
            format!("--warm-up-time={warm_up:.3}"),
            format!("--measurement-time={measurement}"),
            format!("--sample-size={samples}"),
            // Only medians and samples are read, for which criterion's resampling is idle.
            "--nresamples=2000".to_owned(),
        ]);
        arguments
    }
}

/// The executions of some specs, equal ones merged, in the order of the specs.
#[must_use]
pub fn plans(specs: &[Spec]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for spec in specs {
        let Some(settings) = &spec.execution else {
            continue;
        };
        for choice in choices(&spec.parameters) {
            let settings = fill(settings, &choice);
            let plan = Plan {
                specs: vec![spec.name.clone()],
                label: label(&settings, spec.tier),
                settings,
                tier: spec.tier,
                runs: spec.regression.min_iterations,
                include_traces: spec.output.include_traces,
                save_artifacts: spec.output.save_artifacts,
            };
            match plans.iter_mut().find(|known| known.label == plan.label) {
                Some(known) => merge(known, plan),
                None => plans.push(plan),
            }
        }
    }
    plans
}

fn merge(known: &mut Plan, plan: Plan) {
    for name in plan.specs {
        if !known.specs.contains(&name) {
            known.specs.push(name);
        }
    }
    known.runs = known.runs.max(plan.runs);
    known.include_traces |= plan.include_traces;
    known.save_artifacts |= plan.save_artifacts;
    known.settings.limit_s = known.settings.limit_s.max(plan.settings.limit_s);
    known.settings.expected_s = known.settings.expected_s.or(plan.settings.expected_s);
    known.settings.sample_rate = known.settings.sample_rate.max(plan.settings.sample_rate);
}

fn label(settings: &Settings, tier: Tier) -> String {
    let mut label = settings.suite.clone();
    if let Some(filter) = &settings.filter {
        label.push(' ');
        label.push_str(filter);
    }
    for (name, value) in &settings.environment {
        label.push_str(&format!(" {name}={value}"));
    }
    if let Some(seconds) = settings.measurement_s {
        label.push_str(&format!(" {seconds} s"));
    }
    if let Some(samples) = settings.samples {
        label.push_str(&format!(" {samples} samples"));
    }
    if let Some(sampling) = settings.sampling {
        label.push(' ');
        label.push_str(sampling.name());
    }
    format!("{label} ({})", tier.name())
}

/// Every combination of parameter values; one empty combination where there are no parameters.
fn choices(parameters: &BTreeMap<String, Vec<String>>) -> Vec<BTreeMap<&str, &str>> {
    let mut all = vec![BTreeMap::new()];
    for (name, values) in parameters {
        all = all
            .into_iter()
            .flat_map(|choice: BTreeMap<&str, &str>| {
                values.iter().map(move |value| {
                    let mut choice = choice.clone();
                    choice.insert(name.as_str(), value.as_str());
                    choice
                })
            })
            .collect();
    }
    all
}

fn fill(settings: &Settings, choice: &BTreeMap<&str, &str>) -> Settings {
    let fill = |text: &String| {
        choice.iter().fold(text.clone(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    };
    let mut filled = settings.clone();
    filled.filter = settings.filter.as_ref().map(fill);
    for value in filled.environment.values_mut() {
        *value = fill(value);
    }
    filled
}
