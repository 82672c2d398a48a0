//! Instructions of a piece of work, counted by callgrind (Weidendorfer, Kowarschik and Trinitis, "A
//! tool suite for simulation based analysis of memory access behavior", ICCS 2004).
//!
//! A count hardly moves with other work on the machine, so it shows small changes that times cannot.
//! It says nothing about caches and waiting, and nothing about AVX-512, which valgrind does not have:
//! the code that runs is the one for the next lower level. A suite that counts starts itself once more
//! under valgrind for each count, with `NEURECTOMY_BENCH_COUNT` naming the measure.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the measure whose work the process has to do, and nothing else.
pub(crate) const COUNT_VARIABLE: &str = "NEURECTOMY_BENCH_COUNT";
/// Longest life of one counting process.
const COUNT_TIME_MAX: Duration = Duration::from_secs(120);
/// The function at whose entry callgrind begins to count and at whose end it stops, for its thread.
const REGION: &str = "*instructions::counted*";

/// Does the work that is to be counted, on the thread that calls this; outside of valgrind it is a
/// plain call.
#[inline(never)]
pub fn counted<R>(work: impl FnOnce() -> R) -> R {
    // Without it the call could become a jump, and the region would end before the work.
    std::hint::black_box(work())
}

/// Whether this machine has valgrind.
#[must_use]
pub fn is_available() -> bool {
    valgrind().is_some()
}

pub(crate) fn valgrind() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("valgrind"))
        .find(|program| program.is_file())
}

/// This executable by the name by which it was started, which may be that of a link.
fn own_executable() -> std::io::Result<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from);
    match named.filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => std::env::current_exe(),
    }
}

/// Starts this executable under callgrind with the same arguments and reads what it counted; none
/// where there is no valgrind.
pub(crate) fn count(measure: &str) -> Result<Option<f64>, String> {
    let Some(valgrind) = valgrind() else {
        return Ok(None);
    };
    let io = |what: &str| {
        let what = format!("instructions of {measure}: {what}");
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let folder = tempfile::tempdir().map_err(io("folder"))?;
    let counts = folder.path().join("counts");
    let printed = folder.path().join("stderr");
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(&counts);
    let mut child = Command::new(valgrind)
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={REGION}"))
        .arg(file)
        .arg(own_executable().map_err(io("own executable"))?)
        .args(std::env::args_os().skip(1))
        .env(COUNT_VARIABLE, measure)
        .env(
            crate::lifeline::PARENT_VARIABLE,
            std::process::id().to_string(),
        )
        .env(crate::journal::OUTPUT_VARIABLE, folder.path())
        // The process ends without destructors, and its folders have to go with ours.
        .env("TMPDIR", folder.path())
        .env_remove(crate::profile::PROFILE_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&printed).map_err(io("output"))?)
        .spawn()
        .map_err(io("valgrind"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io("valgrind"))? {
            break status;
        }
        if start.elapsed() > COUNT_TIME_MAX {
            // Both fail only where it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "instructions of {measure}: not counted after {COUNT_TIME_MAX:?}"
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if !status.success() {
        let said = std::fs::read_to_string(&printed).unwrap_or_default();
        let said: String = said.chars().take(1000).collect();
        return Err(format!("instructions of {measure}: {status}: {said}"));
    }
    total(&counts, measure).map(Some)
}

/// The sum in callgrind's file.
fn total(file: &Path, measure: &str) -> Result<f64, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("instructions of {measure}: {}: {error}", file.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    match line.map(|line| line.trim().parse::<f64>()) {
        Some(Ok(total)) if total > 0.0 => Ok(total),
        _ => Err(format!(
            "instructions of {measure}: none were counted (line {line:?} of callgrind)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_and_its_result_returned() {
        let mut times = 0;
        let answer = counted(|| {
            times += 1;
            42
        });
        assert_eq!((answer, times), (42, 1));
    }

    #[test]
    fn the_sum_is_read_and_its_absence_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("counts");
        std::fs::write(&file, "version: 1\nevents: Ir\nfn=x\n1 2\ntotals: 1234\n").unwrap();
        assert!(total(&file, "m").is_ok_and(|total| (total - 1234.0).abs() < 0.5));
        for text in ["", "totals: 0\n", "totals: x\n"] {
            std::fs::write(&file, text).unwrap();
            let message = total(&file, "m").unwrap_err();
            assert!(message.contains("instructions of m"), "{message}");
        }
    }
}
