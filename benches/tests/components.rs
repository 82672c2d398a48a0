//! A planted slowdown of 15 % in a call of each component is caught, one of 3 % is not, and clean runs
//! raise no alarm.
//!
//! The short test goes by instructions alone, and says that it is skipped where there is no valgrind.
//! The long ones go by instructions and by times with ten clean runs each; a busy machine is welcome:
//! `cargo test --release -p neurectomy-bench --no-default-features --features planted --test components -- --ignored --nocapture`
#![cfg(all(feature = "planted", unix))]

use neurectomy_bench::harness::compare::{Judged, Verdict, compare};
use neurectomy_bench::harness::results::Results;
use neurectomy_bench::instructions;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The components. Without the inference's feature that one is left out.
#[cfg(not(feature = "inference"))]
const COMPONENTS: &[&str] = &["agents", "compression", "sketches", "storage"];
#[cfg(feature = "inference")]
const COMPONENTS: &[&str] = &["agents", "compression", "inference", "sketches", "storage"];

/// Slowdowns of the long test in per cent, one after the other: ten of them are none.
const PLANTED: [u32; 16] = [15, 3, 0, 15, 3, 0, 15, 3, 0, 0, 0, 0, 0, 0, 0, 0];

/// A workspace with a spec for each component and links to the suite.
fn workspace(components: &[&str], only: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    std::fs::create_dir_all(dir.join("benches/specs")).unwrap();
    std::fs::create_dir_all(dir.join("built")).unwrap();
    for component in components {
        let suite = env!("CARGO_BIN_EXE_planted-components");
        std::os::unix::fs::symlink(suite, dir.join("built").join(component)).unwrap();
        let spec = format!(
            "benchmark:\n  name: {component}\n  description: planted\n  category: {component}\n  \
             tier: micro\n  measurement_s: 0.2\n  samples: 40\n  environment:\n    \
             PLANTED_ONLY: \"{only}\"\n"
        );
        std::fs::write(dir.join(format!("benches/specs/{component}.yaml")), spec).unwrap();
    }
    place
}

fn measure(dir: &Path, percent: u32, runs: &str) -> Results {
    let output = Command::new(env!("CARGO_BIN_EXE_neurectomy-bench"))
        .args(["run", "--runs", runs, "--executables"])
        .arg(dir.join("built"))
        .arg("--workspace")
        .arg(dir)
        .arg("--results")
        .arg(dir.join("results.json"))
        .env("PLANTED_PERCENT", percent.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Results::read(&dir.join("results.json")).unwrap()
}

fn is_counted(row: &Judged) -> bool {
    row.key.unit == "instructions"
}

/// Components with a row that got worse, among the rows chosen.
fn worse(rows: &[Judged], chosen: impl Fn(&Judged) -> bool) -> BTreeSet<&str> {
    let found = rows
        .iter()
        .filter(|row| row.verdict == Verdict::Worse && chosen(row));
    found.map(|row| row.key.suite.as_str()).collect()
}

#[test]
fn counted_slowdowns_are_caught() {
    if !instructions::is_available() {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    // A forward pass that is not optimised takes minutes under valgrind.
    let of_this_build = |name: &&&str| !cfg!(debug_assertions) || **name != "inference";
    let components: Vec<&str> = COMPONENTS.iter().filter(of_this_build).copied().collect();
    let place = workspace(&components, "instructions");
    let base = measure(place.path(), 0, "3");
    for (percent, caught) in [(15, components.len()), (3, 0)] {
        let compared = compare(&base, &measure(place.path(), percent, "3")).unwrap();
        assert_eq!(compared.rows.len(), components.len(), "{:?}", compared.rows);
        let found = worse(&compared.rows, is_counted);
        assert_eq!(found.len(), caught, "{percent} %: {:?}", compared.rows);
    }
}

#[test]
#[ignore = "counts for ten minutes; needs valgrind and a release build"]
fn many_counts_are_judged_rightly() {
    judge_all("instructions", "3");
}

#[test]
#[ignore = "measures for ten minutes; needs a release build"]
fn measured_slowdowns_are_caught() {
    judge_all("times", "5");
}

fn judge_all(what: &str, runs: &str) {
    let place = workspace(COMPONENTS, what);
    let base = measure(place.path(), 0, runs);
    let mut wrong = Vec::new();
    for (at, percent) in PLANTED.iter().enumerate() {
        let compared = compare(&base, &measure(place.path(), *percent, runs)).unwrap();
        for row in &compared.rows {
            println!(
                "{at}, {percent} %: {}, {}: {:+.2} %, runs spread {:.2} %, {}",
                row.key.suite,
                row.key.unit,
                row.change_percent,
                row.spread_percent,
                row.verdict.words()
            );
        }
        for row in &compared.rows {
            let is_right = match (percent, row.verdict) {
                (15, Verdict::Worse) => true,
                // Times of a busy machine may need more runs; counts may not.
                (15, Verdict::Unclear) => !is_counted(row),
                (15, _) => false,
                (_, verdict) => verdict != Verdict::Worse,
            };
            if !is_right {
                wrong.push(format!("{at}, {percent} %: {row:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
