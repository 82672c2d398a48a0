//! Where a suite spends its CPU time: samples of its stacks, by `pprof` (feature `pprof`).
//!
//! `NEURECTOMY_BENCH_PROFILE_HZ=100` makes a suite that `neurectomy-bench` started take 100 samples
//! per second of CPU time and leave `hotspots.json` and `flamegraph.svg` in its folder. Samples
//! know which functions were running, not how often they were called.

use crate::suite::BenchError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Asks for samples, and how many per second of CPU time.
pub const PROFILE_VARIABLE: &str = "NEURECTOMY_BENCH_PROFILE_HZ";
/// The ranked functions in the folder of the suite.
pub const HOTSPOTS_FILE: &str = "hotspots.json";
/// The flame graph beside it.
pub const FLAMEGRAPH_FILE: &str = "flamegraph.svg";
/// Functions that are kept.
const HOTSPOTS_MAX: usize = 40;
/// Longest file of hotspots that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A function and its part of the samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hotspot {
    /// Its name.
    pub function: String,
    /// Samples in the function itself, in per cent of all.
    pub self_percent: f64,
    /// Samples in the function or in what it called, in per cent of all.
    pub total_percent: f64,
    /// All samples of the profile, or all its instructions.
    pub samples: u64,
    /// How often it was called, where calls were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

/// Functions by their own part of the samples, the greatest first.
///
/// A stack is the names of its functions, the running one first, and how often it was seen. A
/// function that calls itself counts once per stack.
#[must_use]
pub fn rank(stacks: &[(Vec<String>, u64)]) -> Vec<Hotspot> {
    let all: u64 = stacks.iter().map(|stack| stack.1).sum();
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (names, count) in stacks {
        if let Some(running) = names.first() {
            counts.entry(running).or_default().0 += count;
        }
        let distinct: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for name in distinct {
            counts.entry(name).or_default().1 += count;
        }
    }
    let percent = |count: u64| 100.0 * float(count) / float(all.max(1));
    let mut ranked: Vec<Hotspot> = counts
        .into_iter()
        .map(|(function, (own, total))| Hotspot {
            function: function.to_owned(),
            self_percent: percent(own),
            total_percent: percent(total),
            samples: all,
            calls: None,
        })
        .collect();
    ranked.sort_by(|a, b| {
        let own = b.self_percent.total_cmp(&a.self_percent);
        own.then(b.total_percent.total_cmp(&a.total_percent))
    });
    ranked.truncate(HOTSPOTS_MAX);
    ranked
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Reads the hotspots that a suite left; none where it took no samples.
///
/// # Errors
/// The file cannot be read, is longer than 1 MiB or is none of ours.
pub fn read(folder: &Path) -> Result<Vec<Hotspot>, String> {
    let path = folder.join(HOTSPOTS_FILE);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX => {
            return Err(failed(&format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    }
    let bytes = std::fs::read(&path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

/// Begins to take samples where [`PROFILE_VARIABLE`] asks for it.
pub(crate) fn start(folder: &Path) -> Result<Option<Profiler>, BenchError> {
    let Some(text) = std::env::var_os(PROFILE_VARIABLE) else {
        return Ok(None);
    };
    let hertz: Option<i32> = text.to_str().and_then(|text| text.parse().ok());
    match hertz.filter(|hertz| (1..=250).contains(hertz)) {
        Some(hertz) => Profiler::start(hertz, folder).map(Some),
        None => Err(format!(
            "{PROFILE_VARIABLE} is {}; allowed: 1 to 250 samples per second",
            text.display()
        )
        .into()),
    }
}

#[cfg(feature = "pprof")]
pub(crate) use sampling::Profiler;

/// Samples cannot be taken without the feature.
#[cfg(not(feature = "pprof"))]
pub(crate) enum Profiler {}

#[cfg(not(feature = "pprof"))]
impl Profiler {
    fn start(_hertz: i32, _folder: &Path) -> Result<Self, BenchError> {
        Err("this suite was built without feature pprof".into())
    }

    pub(crate) fn finish(self) -> Result<(), BenchError> {
        match self {}
    }
}

#[cfg(feature = "pprof")]
mod sampling {
    use super::{FLAMEGRAPH_FILE, HOTSPOTS_FILE, rank};
    use crate::frames::{is_standard, named};
    use crate::suite::BenchError;
    use pprof::{ProfilerGuard, ProfilerGuardBuilder};
    use std::fs::File;
    use std::path::{Path, PathBuf};

    /// Takes samples of this process until it is finished.
    pub(crate) struct Profiler {
        guard: ProfilerGuard<'static>,
        folder: PathBuf,
    }

    impl Profiler {
        /// Begins with `hertz` samples per second of CPU time.
        pub(crate) fn start(hertz: i32, folder: &Path) -> Result<Self, BenchError> {
            let guard = ProfilerGuardBuilder::default()
                .frequency(hertz)
                // Unwinding out of these may wait for a lock that the interrupted thread holds.
                .blocklist(&["libc", "libgcc", "pthread", "vdso"])
                .build()?;
            Ok(Self {
                guard,
                folder: folder.to_owned(),
            })
        }

        /// Writes the ranking and the flame graph.
        pub(crate) fn finish(self) -> Result<(), BenchError> {
            let report = self.guard.report().build()?;
            let stacks: Vec<(Vec<String>, u64)> = report
                .data
                .iter()
                .map(|(frames, count)| {
                    let symbols = frames.frames.iter().flatten();
                    // What the standard library takes is its caller's.
                    let own = symbols.skip_while(|symbol| is_standard(&symbol.filename()));
                    let names = own.map(|symbol| named(&symbol.name(), &symbol.filename()));
                    (names.collect(), u64::try_from(*count).unwrap_or(0))
                })
                .collect();
            let path = self.folder.join(HOTSPOTS_FILE);
            let failed =
                |error: std::io::Error| format!("cannot write {}: {error}", path.display());
            let text = serde_json::to_vec(&rank(&stacks))?;
            std::fs::write(&path, text).map_err(failed)?;
            if !stacks.is_empty() {
                let path = self.folder.join(FLAMEGRAPH_FILE);
                let failed =
                    |error: std::io::Error| format!("cannot write {}: {error}", path.display());
                report.flamegraph(File::create(&path).map_err(failed)?)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[&str], count: u64) -> (Vec<String>, u64) {
        (names.iter().map(|name| (*name).to_owned()).collect(), count)
    }

    #[test]
    fn functions_are_ranked_by_their_own_samples() {
        let ranked = rank(&[
            stack(&["leaf", "middle", "main"], 60),
            stack(&["middle", "main"], 30),
            stack(&["again", "again", "main"], 10),
        ]);
        let found: Vec<(&str, f64, f64)> = ranked
            .iter()
            .map(|spot| {
                (
                    spot.function.as_str(),
                    spot.self_percent,
                    spot.total_percent,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("leaf", 60.0, 60.0),
                ("middle", 30.0, 90.0),
                ("again", 10.0, 10.0),
                ("main", 0.0, 100.0)
            ]
        );
        assert!(rank(&[]).is_empty());
    }

    #[test]
    fn a_folder_without_samples_has_no_hotspots() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Ok(Vec::new()));
        std::fs::write(dir.path().join(HOTSPOTS_FILE), "[").unwrap();
        let message = read(dir.path()).unwrap_err();
        assert!(message.contains("hotspots.json"), "{message}");
    }
}
