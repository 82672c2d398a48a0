//! The collective workflow as its users start it: a process, real files, a vault on disk.
//!
//! `cargo test` builds the examples before it runs this.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples/collective_workflow");
    assert!(
        program.exists(),
        "{} is not built: run the whole package's tests",
        program.display()
    );
    program
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn error_line(output: &Output) -> String {
    assert!(!output.status.success(), "a success was not expected");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line was expected: {stderr}");
    assert!(lines[0].starts_with("error: "), "{stderr}");
    lines[0].to_owned()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Documents with different words, some of them with the same first half.
fn write_documents(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    for n in 0..count {
        let body: String = (0..60 + n % 40)
            .map(|i| format!("word{} ", (i * (n + 7)) % 997))
            .collect();
        let place = if n % 2 == 0 { "deep" } else { "." };
        std::fs::write(folder.join(place).join(format!("{n:04}.txt")), body).unwrap();
    }
}

#[test]
fn every_document_is_stored_verified_and_every_second_accounted() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 299);
    std::fs::copy(documents.join("0001.txt"), documents.join("copy.txt")).unwrap();
    let report_file = dir.path().join("report.md");
    let arguments = [
        "--vault",
        text(&vault),
        "--json",
        "--report",
        text(&report_file),
        text(&documents),
    ];
    let first = json(&run(&arguments));
    for key in ["documents", "documents_stored", "documents_verified"] {
        assert_eq!(first[key], 300, "{key}");
    }
    assert!(
        first["accounted_fraction"].as_f64().unwrap() >= 0.99,
        "{first}"
    );
    assert!(
        first["accounted_fraction"].as_f64().unwrap() <= 1.01,
        "{first}"
    );
    let wall: f64 = first["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["wall_s"].as_f64().unwrap())
        .sum();
    assert!(
        (wall / first["wall_s"].as_f64().unwrap() - 1.0).abs() <= 0.01,
        "{first}"
    );
    assert_eq!(first["model_trained"], true);
    assert_eq!(first["model"], "tiny-target");
    assert!(
        std::fs::read_to_string(&report_file)
            .unwrap()
            .starts_with("# 300 documents")
    );

    let second = json(&run(&arguments));
    assert_eq!(second["documents_resumed"], 300);
    assert_eq!(second["documents_verified"], 300);
    assert_eq!(
        second["tokens_generated"], 0,
        "continuations are resumed, too"
    );
}

#[test]
fn killed_half_way_it_resumes_and_nothing_acknowledged_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 200);
    let arguments = ["--vault", text(&vault), "--acknowledge", text(&documents)];
    let mut acknowledged = BTreeSet::new();
    for kill_after in [1, 40, 90] {
        let mut child = Command::new(program())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut new = 0;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(document) = line.strip_prefix("acknowledged ") {
                acknowledged.insert(document.to_owned());
                new += 1;
                if new == kill_after {
                    // SIGKILL; lines that are still in the pipe count as acknowledged, too.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(
            new >= kill_after,
            "it ended before it could be killed: {new} documents"
        );
    }
    let before_last = acknowledged.len();
    assert!(
        (131..200).contains(&before_last),
        "{before_last} acknowledged before the last run"
    );
    let output = run(&arguments);
    assert!(output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let resumed: BTreeSet<String> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("resumed "))
        .map(str::to_owned)
        .collect();
    let missing: Vec<&String> = acknowledged.difference(&resumed).collect();
    assert!(
        missing.is_empty(),
        "acknowledged, then missing: {missing:?}"
    );
    let last = json(&run(&["--vault", text(&vault), "--json", text(&documents)]));
    assert_eq!(last["documents_verified"], 200);
    assert_eq!(last["documents_resumed"], 200);
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let vault = dir.path().join("vault");
    let at = |input: &Path| error_line(&run(&["--vault", text(&vault), text(input)]));
    let missing = at(&dir.path().join("missing.txt"));
    assert!(
        missing.contains("missing.txt") && missing.contains("expected"),
        "{missing}"
    );
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let message = at(&empty);
    assert!(
        message.contains("empty") && message.contains("at least one text file"),
        "{message}"
    );
    let binary = dir.path().join("binary");
    std::fs::write(&binary, [0; 64]).unwrap();
    assert!(at(&binary).contains("expected a text file"));
}

#[test]
fn an_unreadable_file_in_a_folder_fails_the_run_but_not_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 4);
    std::os::unix::fs::symlink("gone", documents.join("link.txt")).unwrap();
    let output = run(&["--vault", text(&vault), "--json", text(&documents)]);
    let message = error_line(&output);
    assert!(message.contains("link.txt"), "{message}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["documents"], &report["documents_verified"]),
        (&5.into(), &4.into())
    );
}

#[test]
fn a_vault_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 2);
    let held = sigma_vault::Vault::open(&vault, sigma_vault::Options::new()).unwrap();
    let message = error_line(&run(&["--vault", text(&vault), text(&documents)]));
    assert!(
        message.contains(text(&vault)) && message.contains("in use"),
        "{message}"
    );
    held.close().unwrap();
    assert!(
        run(&["--vault", text(&vault), text(&documents)])
            .status
            .success()
    );
}

#[test]
fn a_truncated_or_hostile_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 2);
    let model = dir.path().join("model.gguf");
    let mut hostile = b"GGUF\x03\0\0\0".to_vec();
    hostile.extend(u64::MAX.to_le_bytes());
    hostile.extend(u64::MAX.to_le_bytes());
    for bytes in [b"GGUF\x03\0".to_vec(), hostile, b"no model at all".to_vec()] {
        std::fs::write(&model, bytes).unwrap();
        let arguments = [
            "--vault",
            text(&vault),
            "--model",
            text(&model),
            text(&documents),
        ];
        let message = error_line(&run(&arguments));
        assert!(message.contains("model.gguf"), "{message}");
    }
}

/// The file size limit stands in for a full disk: writes past it fail the same way, and no test
/// needs a filesystem of its own.
#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, vault) = (dir.path().join("in"), dir.path().join("vault"));
    write_documents(&documents, 200);
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(program())
        .args(["--vault", text(&vault), "--acknowledge", text(&documents)])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let with = |word: &str| -> BTreeSet<String> {
        stderr
            .lines()
            .filter_map(|line| line.strip_prefix(word))
            .map(str::to_owned)
            .collect()
    };
    let (acknowledged, errors) = (with("acknowledged "), with("error: "));
    assert!(!acknowledged.is_empty() && !errors.is_empty(), "{stderr}");
    let (counts, named): (Vec<&String>, Vec<&String>) = errors
        .iter()
        .partition(|error| error.ends_with("failures in all"));
    assert!(counts.len() <= 1 && !named.is_empty(), "{stderr}");
    assert!(
        named.iter().all(|error| error.contains(text(&vault))),
        "{stderr}"
    );
    let output = run(&["--vault", text(&vault), "--acknowledge", text(&documents)]);
    assert!(output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    for document in acknowledged {
        assert!(
            stderr.contains(&format!("resumed {document}")),
            "lost: {document}"
        );
    }
}
