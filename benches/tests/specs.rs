//! The specs of this package, and errors of wrong ones.
#![cfg(feature = "harness")]

use neurectomy_bench::harness::spec::{Analysis, Tier, parse, plans, read_all, read_file};
use std::path::{Path, PathBuf};

/// The benchmarks of the campaign that the project was begun with, by the tier of each.
const CAMPAIGN: [(&str, Tier); 17] = [
    ("first_token_latency", Tier::Micro),
    ("token_generation", Tier::Micro),
    ("compression_ratio", Tier::Micro),
    ("compression_throughput", Tier::Micro),
    ("rsu_read", Tier::Micro),
    ("rsu_write", Tier::Micro),
    ("agent_task_latency", Tier::Micro),
    ("full_llm_inference", Tier::Macro),
    ("scaling", Tier::Macro),
    ("endurance", Tier::Macro),
    ("collective_workflow", Tier::Macro),
    ("ryot_inference_profile", Tier::Profile),
    ("sigma_vault_memory_profile", Tier::Profile),
    ("agent_communication_profile", Tier::Profile),
    ("bottleneck_analysis", Tier::Profile),
    ("impact_analysis", Tier::Profile),
    ("optimization_roadmap", Tier::Profile),
];

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_benchmark_of_the_campaign_has_a_spec() {
    let specs = read_all(&package().join("specs")).unwrap();
    for (name, tier) in CAMPAIGN {
        let found = specs.iter().find(|spec| spec.name == name);
        assert_eq!(found.map(|spec| spec.tier), Some(tier), "{name}");
    }
    let analyses: Vec<Analysis> = specs.iter().filter_map(|spec| spec.analysis).collect();
    assert_eq!(analyses.len(), 3);
}

#[test]
fn a_spec_file_bears_the_name_of_its_spec() {
    for entry in std::fs::read_dir(package().join("specs")).unwrap() {
        let path = entry.unwrap().path();
        let spec = read_file(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(spec.name.as_str()));
    }
}

/// All sources of a suite.
fn source(suite: &str) -> String {
    let folder = package().join("suites");
    let mut text = String::new();
    let mut folders = vec![folder.join(suite)];
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() && name.starts_with(suite) {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
        for entry in std::fs::read_dir(&folder).unwrap() {
            text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    text
}

#[test]
fn suites_filters_and_variables_of_the_specs_exist() {
    let manifest = std::fs::read_to_string(package().join("Cargo.toml")).unwrap();
    let specs = read_all(&package().join("specs")).unwrap();
    for plan in plans(&specs) {
        let suite = &plan.settings.suite;
        let target = format!("[[bench]]\nname = \"{suite}\"");
        assert!(manifest.contains(&target), "{suite}");
        let source = source(suite);
        for word in plan
            .settings
            .filter
            .iter()
            .flat_map(|filter| filter.split('|'))
        {
            // Filters choose parts of a suite by the beginning of their names.
            assert!(source.contains(&format!("(\"{word}")), "{suite} {word}");
        }
        for (variable, value) in &plan.settings.environment {
            assert!(
                source.contains(&format!("\"{variable}\"")),
                "{suite} {variable}"
            );
            if variable == "NEURECTOMY_SKETCHES" {
                assert!(
                    source.contains(&format!("(\"{value}\",")),
                    "{suite} {value}"
                );
            }
            if let Some(file) = value.strip_prefix("{workspace}/") {
                assert!(package().join("..").join(file).is_file(), "{file}");
            }
        }
    }
}

#[test]
fn parameters_multiply_out_and_equal_executions_are_shared() {
    let specs = read_all(&package().join("specs")).unwrap();
    let plans = plans(&specs);
    let sketches = plans
        .iter()
        .filter(|plan| plan.settings.suite == "sketches");
    assert_eq!(sketches.count(), 6);
    let birth: Vec<_> = plans
        .iter()
        .filter(|plan| plan.settings.filter.as_deref() == Some("birth"))
        .collect();
    // The same at tier profile, with another sampler, is another execution.
    assert_eq!(birth.len(), 2);
    assert_eq!(birth[0].specs, ["rsu_read", "rsu_write"]);
    assert_eq!(birth[1].specs, ["sigma_vault_heap"]);
}

/// What the specs expect is no measurement; the figures of one stand in `docs/benchmarks/harness.md`.
#[test]
fn the_tier_micro_is_planned_for_under_five_minutes() {
    let mut specs = read_all(&package().join("specs")).unwrap();
    specs.retain(|spec| spec.tier == Tier::Micro);
    let mut total = 0.0;
    for plan in plans(&specs) {
        let expected = plan.settings.expected_s;
        let seconds = expected.unwrap_or_else(|| panic!("{}: no expected_s", plan.label));
        total += seconds * f64::from(plan.runs);
    }
    assert!(total > 0.0 && total < 300.0, "{total} s");
}

const GOOD: &str = r#"
benchmark:
  name: inference_ttft
  description: "Time to first token"
  category: inference
  tier: micro
  filter: "{size}-{batch}"
  parameters:
    size: ["small", "large"]
    batch: [1, 8]
  targets:
    ttft_ms:
      measure: "first token"
      unit: ms
      better: lower
      target: 100
      acceptable_range: [50, 200]
  profiling: {enabled: true, sampler: "resources", sample_rate: 20, duration: 60}
  regression: {enabled: true, threshold_percent: 10, min_iterations: 3}
  output: {format: "json", include_traces: true, save_artifacts: true}
"#;

#[test]
fn the_schema_of_the_campaign_is_read() {
    let spec = parse(Path::new("good.yaml"), GOOD).unwrap();
    let plans = plans(&[spec]);
    let filters: Vec<_> = plans
        .iter()
        .filter_map(|plan| plan.settings.filter.as_deref())
        .collect();
    assert_eq!(filters, ["small-1", "large-1", "small-8", "large-8"]);
    assert_eq!(plans[0].settings.measurement_s, Some(60.0));
    assert!(plans[0].include_traces && plans[0].save_artifacts);
    let arguments = plans[0].arguments();
    assert_eq!(arguments[0], "small-1");
    assert!(
        arguments[1..]
            .iter()
            .all(|argument| argument.starts_with("--"))
    );
}

#[test]
fn a_wrong_value_names_file_field_value_and_what_is_allowed() {
    for (from, to, needles) in [
        (
            "category: inference",
            "category: inferense",
            &["category is inferense", "agents, inference"][..],
        ),
        (
            "tier: micro",
            "tier: nano",
            &["tier is nano", "micro, macro, profile"],
        ),
        (
            "name: inference_ttft",
            "name: \"TTFT!\"",
            &["name is \"TTFT!\"", "small letters"],
        ),
        (
            "\"Time to first token\"",
            "\" \"",
            &["description is empty"],
        ),
        (
            "[50, 200]",
            "[200, 50]",
            &[
                "targets.ttft_ms.acceptable_range is [200.0, 50.0]",
                "low < high",
            ],
        ),
        ("[50, 200]", "[150, 200]", &["the target 100 between them"]),
        (
            "[50, 200]",
            "[50]",
            &["targets.ttft_ms.acceptable_range is [50.0]"],
        ),
        (
            "better: lower",
            "better: less",
            &["targets.ttft_ms.better is less", "lower, higher"],
        ),
        (
            "unit: ms",
            "of: ratio\n      unit: ms",
            &["targets.ttft_ms.unit is ms", "nothing where it is ratio"],
        ),
        (
            "sampler: \"resources\"",
            "sampler: py-spy",
            &[
                "profiling.sampler is py-spy",
                "resources, pprof, dhat, callgrind",
            ],
        ),
        (
            "sample_rate: 20",
            "sample_rate: 1e9",
            &["profiling.sample_rate is 1000000000", "1 to 50 Hz"],
        ),
        (
            "duration: 60",
            "duration: 6000",
            &["profiling.duration is 6000", "to 300 seconds"],
        ),
        (
            "min_iterations: 3",
            "min_iterations: 2",
            &["regression.min_iterations is 2", "3 to 20 runs"],
        ),
        (
            "min_iterations: 3",
            "min_iterations: -1",
            &["regression.min_iterations is -1"],
        ),
        (
            "threshold_percent: 10",
            "threshold_percent: 0",
            &["regression.threshold_percent is 0", "1 to 1000 per cent"],
        ),
        (
            "threshold_percent: 10",
            "threshold_percent: .nan",
            &["regression.threshold_percent is NaN"],
        ),
        (
            "format: \"json\"",
            "format: xml",
            &["output.format is xml", "json"],
        ),
        ("[1, 8]", "[]", &["parameters.batch is empty"]),
        (
            "{size}-{batch}",
            "{size}",
            &["parameters.batch is not used", "{batch}"],
        ),
        (
            "{size}-{batch}",
            "{size}{batch}{depth}",
            &["placeholder is depth", "batch, size, workspace"],
        ),
        (
            "{size}-{batch}",
            "{size} {batch}",
            &["filter is", "without spaces"],
        ),
        (
            "[1, 8]",
            "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33]",
            &["66 combinations", "at most 64"],
        ),
        (
            "tier: micro",
            "tier: micro\n  limit_s: 0",
            &["limit_s is 0", "1 to 3600"],
        ),
        (
            "tier: micro",
            "tier: micro\n  samples: 9",
            &["samples is 9", "10 to 1000"],
        ),
        (
            "tier: micro",
            "tier: micro\n  expected_s: 0",
            &["expected_s is 0", "0.1 to 3600 seconds"],
        ),
        (
            "tier: micro",
            "tier: micro\n  analysis: impact",
            &["analysis is impact", "unless category"],
        ),
        (
            "category: inference",
            "category: analysis",
            &["analysis is not there", "bottlenecks"],
        ),
        ("tier: micro", "tier: micro\n  rows: []", &["rows is empty"]),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let message = parse(Path::new("bad.yaml"), &text).unwrap_err().to_string();
        assert!(message.starts_with("spec bad.yaml: "), "{message}");
        for needle in needles {
            assert!(message.contains(needle), "{needle}: {message}");
        }
    }
}

#[test]
fn text_of_another_shape_names_the_place() {
    for (from, to, needles) in [
        ("tier: micro", "tiers: micro", &["tiers", "line 6"][..]),
        ("  category: inference\n", "", &["category"]),
        ("target: 100", "target: fast", &["line"]),
        ("category: inference", "category: [", &["line"]),
        ("enabled: true", "enabled: maybe", &["line"]),
        ("name: inference_ttft", "name: a\n  name: b", &["name"]),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let message = parse(Path::new("bad.yaml"), &text).unwrap_err().to_string();
        assert!(message.starts_with("spec bad.yaml: "), "{message}");
        for needle in needles {
            assert!(message.contains(needle), "{needle}: {message}");
        }
    }
}

#[test]
fn folders_and_files_have_limits() {
    let dir = tempfile::tempdir().unwrap();
    let message = read_all(dir.path()).unwrap_err().to_string();
    assert!(message.contains("number of *.yaml files is 0"), "{message}");
    std::fs::write(dir.path().join("a.yaml"), GOOD).unwrap();
    std::fs::write(dir.path().join("b.yaml"), GOOD).unwrap();
    let message = read_all(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("b.yaml: name is inference_ttft"),
        "{message}"
    );
    let long = dir.path().join("c.yaml");
    std::fs::write(&long, "#".repeat(70_000)).unwrap();
    let message = read_file(&long).unwrap_err().to_string();
    assert!(
        message.contains("length is 70000; allowed: at most 65536 bytes"),
        "{message}"
    );
    let message = read_all(&dir.path().join("none")).unwrap_err().to_string();
    assert!(message.contains("none"), "{message}");
}
