//! Where and on what a run took place.

use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::SystemTime;

/// Circumstances without which a figure means nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Commit of the working tree, with `+changes` when it differs from the commit.
    pub commit: String,
    /// Processor model.
    pub cpu: String,
    /// Hardware threads that the process may use.
    pub threads: usize,
    /// Vector and cryptography instructions that the processor names.
    #[serde(default)]
    pub cpu_flags: Vec<String>,
    /// Runnable processes over the last minute when the run started; none where it cannot be read.
    #[serde(default)]
    pub load_1m: Option<f64>,
    /// Memory of the machine in MiB; none where it cannot be read.
    #[serde(default)]
    pub memory_mib: Option<u64>,
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
            cpu_flags: cpu_flags().unwrap_or_default(),
            load_1m: load_1m(),
            memory_mib: memory_mib(),
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

/// Beginnings of the flags that decide which of our kernels, or of a peer's, runs.
const FLAGS: [&str; 14] = [
    "sse4_2", "ssse3", "avx", "fma", "bmi", "f16c", "aes", "vaes", "sha", "pclmul", "vpclmul",
    "popcnt", "amx", "gfni",
];

fn cpu_flags() -> Option<Vec<String>> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("flags"))?;
    let flags = line.split_once(':')?.1.split_whitespace();
    let ours = flags.filter(|flag| FLAGS.iter().any(|begin| flag.starts_with(begin)));
    Some(ours.map(str::to_owned).collect())
}

/// Runnable processes over the last minute.
#[must_use]
pub fn load_1m() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
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
    #[cfg(target_os = "linux")]
    fn the_machine_is_described() {
        let environment = Environment::read();
        assert!(environment.threads > 0);
        assert!(environment.load_1m.is_some_and(|load| load >= 0.0));
        assert!(environment.memory_mib.is_some_and(|mib| mib > 0));
    }

    #[test]
    fn the_date_is_rfc_3339_in_utc() {
        let date = Environment::read().date;
        assert!(humantime::parse_rfc3339(&date).is_ok(), "{date}");
        assert!(date.ends_with('Z'));
    }
}
