//! The program as its users start it, over a suite with known faults.
#![cfg(all(feature = "harness", unix))]

mod place;

use neurectomy_bench::harness::results::Outcome;
use place::{Place, code};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_run_is_saved_compared_and_reported() {
    let place = Place::new();
    place.spec(
        "planted",
        "  targets:\n    speed:\n      measure: \"digest*\"\n      unit: MB/s\n      better: higher\n      \
         target: 1\n      acceptable_range: [0.5, 1000000]\n    lost:\n      measure: \"nothing\"\n      \
         of: ratio\n      better: lower\n      target: 1\n      acceptable_range: [0, 2]\n",
    );
    let text = code(&place.run(&[]), 0);
    assert!(text.contains("5 of 5 executions completed"), "{text}");
    assert!(text.contains("speed: digest of 64 KiB"), "{text}");
    assert!(
        text.contains(", met") && text.contains("lost: no row: -, not measured"),
        "{text}"
    );
    let results = place.results();
    assert!(results.environment.threads > 0 && results.load_1m_at_end.is_some());
    for execution in &results.executions {
        assert_eq!(execution.outcome, Outcome::Completed);
        let digest = &execution.rows[1];
        let samples = digest.samples.as_ref().unwrap();
        assert_eq!((samples.ours_ns.len(), samples.peer_ns.len()), (60, 60));
        assert_eq!(digest.work.as_ref().unwrap().amount, 65536);
    }
    assert!(!place.path("results.d").exists() || is_empty(&place.path("results.d")));

    let text = code(&place.program(&["compare", "v1"]), 2);
    assert!(text.contains("no baseline is named v1"), "{text}");
    code(&place.program(&["baseline", "save", "v1"]), 0);
    let text = code(&place.program(&["baseline", "save", "v1"]), 2);
    assert!(text.contains("--replace"), "{text}");
    let text = code(&place.program(&["baseline", "list"]), 0);
    assert!(text.starts_with("v1: 2"), "{text}");
    let text = code(&place.program(&["compare", "v1", "--all"]), 0);
    assert!(text.contains("all other rows: 2 compared"), "{text}");
    assert!(text.contains("0 worse, 0 missing"), "{text}");

    let text = code(&place.program(&["report", "--against", "v1"]), 0);
    assert!(
        text.contains("report.html") && text.contains("report.md"),
        "{text}"
    );
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert!(
        page.contains("digest of 64 KiB &lt;b&gt;&amp;amp;"),
        "not escaped"
    );
    let markdown = std::fs::read_to_string(place.path("report.md")).unwrap();
    assert!(
        markdown.contains("| planted | micro | 5 of 5 | 2 | 1 of 2 |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("digest of 64 KiB \\<b\\>&amp;"),
        "{markdown}"
    );
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn faults_of_a_suite_keep_its_rows_and_the_other_executions() {
    let place = Place::new();
    let fault = |fault: &str| format!("  environment:\n    PLANTED_FAULT: {fault}\n");
    place.spec("a_panic", &fault("panic"));
    place.spec("b_error", &fault("error"));
    place.spec("c_hang", &format!("{}  limit_s: 1\n", fault("hang")));
    place.spec("d_abort", &fault("abort"));
    place.spec("e_good", "");
    let text = code(&place.run(&["--runs", "1"]), 1);
    assert!(text.contains("1 of 5 executions completed"), "{text}");
    let results = place.results();
    let ended: Vec<(String, usize)> = results
        .executions
        .iter()
        .map(|execution| (execution.outcome.words(), execution.rows.len()))
        .collect();
    assert!(ended[0].0.contains("planted panic"), "{ended:?}");
    assert!(
        ended[1].0.contains("suite sketches: planted error"),
        "{ended:?}"
    );
    assert_eq!(ended[2].0, "stopped after its limit of 1 s");
    assert!(ended[3].0.contains("signal: 6"), "{ended:?}");
    assert_eq!(ended[4].0, "completed");
    let rows: Vec<usize> = ended.iter().map(|(_, rows)| *rows).collect();
    assert_eq!(rows, [1, 2, 1, 1, 2]);
    code(&place.program(&["report"]), 0);
    let markdown = std::fs::read_to_string(place.path("report.md")).unwrap();
    assert!(
        markdown.contains("## Executions that did not complete"),
        "{markdown}"
    );
}

#[test]
fn samples_of_stacks_become_hotspots_and_a_flame_graph() {
    let place = Place::new();
    let text = "benchmark:\n  name: sampled\n  description: \"planted\"\n  category: sketches\n  tier: profile\n  \
                measurement_s: 0.5\n  profiling: {enabled: true, sampler: pprof, sample_rate: 250}\n";
    std::fs::write(place.path("benches/specs/sampled.yaml"), text).unwrap();
    let output = place.run(&["--runs", "1"]);
    if !cfg!(feature = "pprof") {
        let text = code(&output, 1);
        assert!(text.contains("built without feature pprof"), "{text}");
        return;
    }
    code(&output, 0);
    let hotspots = &place.results().executions[0].hotspots;
    let digest = hotspots
        .iter()
        .find(|spot| spot.function.contains("digest"));
    let digest = digest.unwrap_or_else(|| panic!("{hotspots:?}"));
    assert!(
        digest.total_percent >= digest.self_percent && digest.samples > 20,
        "{digest:?}"
    );
    let beside = std::fs::read_dir(place.path("results.d")).unwrap();
    let names: Vec<PathBuf> = beside.map(|entry| entry.unwrap().path()).collect();
    assert!(
        names
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "svg")),
        "{names:?}"
    );
}

#[test]
fn calls_are_counted_by_callgrind() {
    if !neurectomy_bench::instructions::is_available() {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let place = Place::new();
    let text = "benchmark:\n  name: calls\n  description: \"planted\"\n  category: sketches\n  tier: profile\n  \
                profiling: {enabled: true, sampler: callgrind}\n";
    std::fs::write(place.path("benches/specs/calls.yaml"), text).unwrap();
    code(&place.run(&["--runs", "1"]), 0);
    let results = place.results();
    let hotspots = &results.executions[0].hotspots;
    let calls = |name: &str| {
        let mut named = hotspots.iter().filter(|spot| spot.function.ends_with(name));
        named.find_map(|spot| spot.calls)
    };
    // Each side once; ours digests what a planted slowdown adds as well, here nothing.
    let digest = calls("::digest").unwrap_or_else(|| panic!("{hotspots:?}"));
    assert_eq!(digest, 2 * calls("::peer_digest").unwrap());
    code(&place.program(&["report", "--markdown"]), 0);
    let markdown = std::fs::read_to_string(place.path("report.md")).unwrap();
    assert!(markdown.contains("## Hotspots"), "{markdown}");
}

#[test]
fn allocations_are_counted_by_dhat() {
    let place = Place::new();
    let text = "benchmark:\n  name: heap\n  description: \"planted\"\n  category: sketches\n  tier: profile\n  \
                measurement_s: 0.05\n  profiling: {enabled: true, sampler: dhat}\n";
    std::fs::write(place.path("benches/specs/heap.yaml"), text).unwrap();
    let output = place.run(&["--runs", "1"]);
    if cfg!(any(not(feature = "dhat"), feature = "agents")) {
        let text = code(&output, 1);
        assert!(text.contains("built without feature dhat"), "{text}");
        return;
    }
    code(&output, 0);
    let heap = &place.results().executions[0].heap;
    // 8,192 words of eight bytes.
    let words = heap.iter().find(|site| site.total_bytes >= 65_536);
    assert!(words.is_some_and(|site| site.blocks > 0), "{heap:?}");
}

#[test]
fn a_suite_that_is_not_built_is_one_failure_among_others() {
    let place = Place::new();
    place.spec("good", "");
    let other = std::fs::read_to_string(place.path("benches/specs/good.yaml")).unwrap();
    let other = other
        .replace("name: good", "name: other")
        .replace("category: sketches", "category: agents");
    std::fs::write(place.path("benches/specs/other.yaml"), other).unwrap();
    let text = code(&place.run(&["--runs", "1"]), 1);
    assert!(
        text.contains("holds no agents and no agents-HASH"),
        "{text}"
    );
    assert!(text.contains("1 of 2 executions completed"), "{text}");
    let text = code(&place.run(&["--component", "sketches", "--runs", "1"]), 0);
    assert!(text.contains("1 of 1 executions completed"), "{text}");
}

#[test]
fn a_relative_folder_of_executables_is_found_from_where_the_user_is() {
    let place = Place::new();
    place.spec("good", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_neurectomy-bench"));
    command.args(["run", "--runs", "1", "--executables", "."]);
    command.current_dir(place.path("built"));
    place.set(&mut command);
    let text = code(&command.output().unwrap(), 0);
    assert!(text.contains("1 of 1 executions completed"), "{text}");
}

#[test]
fn wrong_arguments_name_what_there_is() {
    let place = Place::new();
    place.spec("good", "");
    let text = code(&place.run(&["--component", "sketchs"]), 2);
    assert!(
        text.contains("no component is named sketchs; there are: sketches"),
        "{text}"
    );
    let text = code(&place.run(&["--tier", "macro"]), 2);
    assert!(text.contains("no spec with a suite"), "{text}");
    let text = code(&place.run(&["--spec", "none.yaml"]), 2);
    assert!(text.contains("none.yaml"), "{text}");
    let text = code(&place.program(&["compare", "../x"]), 2);
    assert!(text.contains("allowed are 1 to 64"), "{text}");
    let text = code(&place.program(&["report"]), 2);
    assert!(text.contains("results.json"), "{text}");
    place.spec("bad", "  limit_s: 0\n");
    let text = code(&place.run(&[]), 2);
    assert!(text.contains("bad.yaml: limit_s is 0"), "{text}");
    let text = code(
        &place.run(&[
            "--spec",
            place.path("benches/specs/good.yaml").to_str().unwrap(),
            "--dry-run",
        ]),
        0,
    );
    assert!(
        text.contains("sketches 0.05 s (micro) x 5, time unknown, for good"),
        "{text}"
    );
}

#[test]
fn a_plan_says_how_long_it_takes_and_a_budget_is_kept() {
    let place = Place::new();
    place.spec("long", "  expected_s: 100\n  samples: 10\n");
    let text = code(&place.run(&["--dry-run"]), 0);
    assert!(
        text.contains("10 samples (micro) x 5, 100.0 s each, for long"),
        "{text}"
    );
    assert!(
        text.contains("about 500 s in all, building excepted; 0 executions of unknown time"),
        "{text}"
    );
    let text = code(&place.run(&["--budget", "50"]), 1);
    assert!(text.contains("5 runs left out for the budget"), "{text}");
    assert!(text.contains("0 of 0 executions completed"), "{text}");

    std::fs::remove_file(place.path("benches/specs/long.yaml")).unwrap();
    let more = "  limit_s: 1\n  environment:\n    PLANTED_FAULT: hang\n";
    place.spec("hang", more);
    // The first takes over a second, so that another would end after two.
    let text = code(&place.run(&["--budget", "2", "--runs", "3"]), 1);
    assert!(text.contains("2 runs left out for the budget"), "{text}");
    assert_eq!(place.results().executions.len(), 1);

    std::fs::remove_file(place.path("benches/specs/hang.yaml")).unwrap();
    place.spec("good", "  expected_s: 3000\n");
    code(&place.run(&["--runs", "1"]), 0);
    let took = place.results().executions[0].wall_s;
    let text = code(&place.run(&["--dry-run"]), 0);
    assert!(text.contains(&format!("x 5, {took:.1} s each")), "{text}");
}

/// File sizes are limited, which fails writes as a full disk does.
#[test]
fn a_full_disk_is_a_clear_error_and_the_file_before_stays_whole() {
    let place = Place::new();
    // A fault after the first row, so that the suite writes little itself.
    place.spec("small", "  environment:\n    PLANTED_FAULT: panic\n");
    let specs: Vec<String> = (0..40).map(|at| format!("p{at:02}")).collect();
    for name in &specs {
        let more = format!("  environment:\n    PLANTED_FAULT: panic\n    RUN: {name}\n");
        place.spec(name, &more);
    }
    let built = place.path("built");
    let mut command = Command::new("sh");
    // Blocks of 512 or 1024 bytes, as the shell has it.
    let line = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
    command.args([
        "-c",
        line,
        env!("CARGO_BIN_EXE_neurectomy-bench"),
        "run",
        "--runs",
        "1",
    ]);
    command.arg("--executables").arg(&built);
    place.set(&mut command);
    let text = code(&command.output().unwrap(), 2);
    assert!(
        text.contains("cannot write") && text.contains("results.json: File too large"),
        "{text}"
    );
    let results = place.results();
    assert!(!results.executions.is_empty() && results.executions.len() < 41);
    assert!(
        results
            .executions
            .iter()
            .all(|execution| execution.rows.len() == 1)
    );
    assert!(!place.path("results.json.draft").exists());
}

#[test]
fn a_full_disk_spoils_neither_baseline_nor_report() {
    let place = Place::new();
    place.spec("good", "");
    code(&place.run(&["--runs", "3"]), 0);
    code(&place.program(&["baseline", "save", "v1"]), 0);
    code(&place.program(&["report"]), 0);
    let files = ["benches/baselines/v1.json", "report.html", "report.md"];
    let whole = files.map(|file| std::fs::read(place.path(file)).unwrap());
    for (arguments, file) in [
        (&["baseline", "save", "v1", "--replace"][..], files[0]),
        (&["baseline", "save", "v2"], "benches/baselines/v2.json"),
        (&["report", "--html"], files[1]),
        (&["report", "--markdown"], files[2]),
    ] {
        let mut command = Command::new("sh");
        // One block; each of the files is longer.
        let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
        command.args(["-c", line, env!("CARGO_BIN_EXE_neurectomy-bench")]);
        place.set(command.args(arguments));
        let text = code(&command.output().unwrap(), 2);
        let expected = format!("{file}: File too large");
        assert!(
            text.contains("cannot write") && text.contains(&expected),
            "{text}"
        );
    }
    assert_eq!(
        files.map(|file| std::fs::read(place.path(file)).unwrap()),
        whole
    );
    let kept = std::fs::read_dir(place.path("benches/baselines")).unwrap();
    assert_eq!(kept.count(), 1, "a draft or a half baseline is left");
}

#[test]
fn a_suite_that_cannot_write_its_rows_says_so() {
    let place = Place::new();
    place.spec("good", "");
    let wrapper = format!(
        "#!/bin/sh\ntrap '' XFSZ\nulimit -f 1\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_planted-suite")
    );
    let path = place.path("built/sketches");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, wrapper).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    let text = code(&place.run(&["--runs", "1"]), 1);
    assert!(text.contains("cannot write the rows to"), "{text}");
    assert!(text.contains("rows.jsonl: File too large"), "{text}");
}
