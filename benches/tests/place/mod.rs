//! A workspace over a suite with known faults, for tests of the program.
#![allow(dead_code, reason = "each test uses some of it")]

use neurectomy_bench::harness::results::Results;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A workspace of its own: specs, a folder of executables, baselines and results.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        std::fs::create_dir_all(place.path("benches/specs")).unwrap();
        std::fs::create_dir_all(place.path("built")).unwrap();
        let suite = env!("CARGO_BIN_EXE_planted-suite");
        std::os::unix::fs::symlink(suite, place.path("built/sketches")).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A spec with more lines.
    pub(crate) fn spec(&self, name: &str, more: &str) {
        let text = format!(
            "benchmark:\n  name: {name}\n  description: \"planted\"\n  category: sketches\n  \
             tier: micro\n  measurement_s: 0.05\n{more}"
        );
        std::fs::write(self.path(&format!("benches/specs/{name}.yaml")), text).unwrap();
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neurectomy-bench"));
        // Not within a repository, whose commit may change meanwhile.
        command.current_dir(self.dir.path());
        self.set(command.args(arguments));
        command.output().unwrap()
    }

    pub(crate) fn set(&self, command: &mut Command) {
        command.arg("--workspace").arg(self.dir.path());
        command.arg("--results").arg(self.path("results.json"));
        command.env_remove("CARGO_TARGET_DIR");
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        let built = self.path("built");
        let mut arguments = vec!["run", "--executables", built.to_str().unwrap()];
        arguments.extend(more);
        self.program(&arguments)
    }

    pub(crate) fn results(&self) -> Results {
        Results::read(&self.path("results.json")).unwrap()
    }
}

pub(crate) fn code(output: &Output, expected: i32) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(expected), "{text}");
    text
}
