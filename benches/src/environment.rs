//! Where and on what a run took place.

use serde::Serialize;
use std::process::Command;
use std::time::SystemTime;

/// Circumstances without which a figure means nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Commit of the working tree, with `+changes` when it differs from the commit.
    pub commit: String,
    /// Processor model.
    pub cpu: String,
    /// Hardware threads that the process may use.
    pub threads: usize,
    /// Compiler version.
    pub compiler: String,
    /// Start of the run, RFC 3339, UTC.
    pub date: String,
}

impl Environment {
    /// Reads the circumstances of this process; what cannot be read is `unknown`.
    #[must_use]
    pub fn read() -> Self {
        Self {
            commit: commit().unwrap_or_else(unknown),
            cpu: cpu().unwrap_or_else(unknown),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            compiler: output("rustc", &["--version"]).unwrap_or_else(unknown),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn commit() -> Option<String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        commit
    } else {
        format!("{commit}+changes")
    })
}

fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_rfc_3339_in_utc() {
        let date = Environment::read().date;
        assert!(humantime::parse_rfc3339(&date).is_ok(), "{date}");
        assert!(date.ends_with('Z'));
    }
}
