//! What a suite's heap is made of, by `dhat` (feature `dhat`, without feature `agents`): every
//! allocation is counted, by the place that asked for it.
//!
//! A suite that is built with the feature allocates through dhat, and is slower for it: its times mean
//! nothing. `NEURECTOMY_BENCH_HEAP` makes one that `neurectomy-bench` started leave `dhat-heap.json` in
//! its folder, which dhat's own viewer reads, too.

use crate::frames::{is_standard, named};
use crate::suite::BenchError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Asks for the profile.
pub const HEAP_VARIABLE: &str = "NEURECTOMY_BENCH_HEAP";
/// The profile in the folder of the suite.
pub const HEAP_FILE: &str = "dhat-heap.json";
/// Places that are kept.
const SITES_MAX: usize = 40;
/// Longest profile that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A function that allocates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// The innermost function of the stack that is not the allocator's or the standard library's.
    pub function: String,
    /// Bytes that were alive when the heap was largest.
    pub peak_bytes: u64,
    /// Bytes over the whole run.
    pub total_bytes: u64,
    /// Allocations over the whole run.
    pub blocks: u64,
}

/// The parts of dhat's file that are read.
#[derive(Deserialize)]
struct File {
    pps: Vec<Point>,
    ftbl: Vec<String>,
}

#[derive(Deserialize)]
struct Point {
    /// Bytes and blocks in all.
    tb: u64,
    tbk: u64,
    /// Bytes when the heap was largest.
    #[serde(default)]
    gb: u64,
    /// The stack, innermost first, as places in the table of frames.
    fs: Vec<usize>,
}

/// Reads the profile that a suite left, the largest at the peak first; none where it left none.
///
/// # Errors
/// The file cannot be read, is longer than 256 MiB or is none of dhat's.
pub fn read(folder: &Path) -> Result<Vec<Site>, String> {
    let path = folder.join(HEAP_FILE);
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
    let file: File = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    Ok(rank(&file))
}

fn rank(file: &File) -> Vec<Site> {
    let mut sites: BTreeMap<String, Site> = BTreeMap::new();
    for point in &file.pps {
        let frames = point.fs.iter().filter_map(|at| file.ftbl.get(*at));
        let frames: Vec<(&str, &str)> = frames.map(|frame| parts(frame)).collect();
        let own = frames.iter().find(|(name, file)| !is_library(name, file));
        let (name, file) = own.or(frames.first()).copied().unwrap_or_default();
        let function = named(name, file);
        let site = sites.entry(function.clone()).or_insert(Site {
            function,
            peak_bytes: 0,
            total_bytes: 0,
            blocks: 0,
        });
        site.peak_bytes += point.gb;
        site.total_bytes += point.tb;
        site.blocks += point.tbk;
    }
    let mut ranked: Vec<Site> = sites.into_values().collect();
    ranked.sort_by_key(|site| std::cmp::Reverse((site.peak_bytes, site.total_bytes)));
    ranked.truncate(SITES_MAX);
    ranked
}

/// Function and file of a frame `0x1234: function (file:line:column)`.
fn parts(frame: &str) -> (&str, &str) {
    let after = frame.split_once(": ").map_or(frame, |(_, after)| after);
    let (name, place) = after.rsplit_once(" (").unwrap_or((after, ""));
    (name, place.split(':').next().unwrap_or_default())
}

/// Whether a function belongs to the way from a caller to the allocator.
fn is_library(name: &str, file: &str) -> bool {
    if is_standard(file) {
        return true;
    }
    let name = name.trim_start_matches('<');
    [
        "alloc::",
        "core::",
        "std::",
        "hashbrown::",
        "dhat::",
        "__rust",
        "[root]",
        "???",
    ]
    .iter()
    .any(|begin| name.starts_with(begin))
}

// Suite `agents` has an allocator of its own, which counts, too; a program has one.
#[cfg(all(feature = "dhat", not(feature = "agents")))]
#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Counts until it is finished.
#[cfg(all(feature = "dhat", not(feature = "agents")))]
pub(crate) struct Heap(dhat::Profiler);

/// Allocations cannot be counted without the feature.
#[cfg(any(not(feature = "dhat"), feature = "agents"))]
pub(crate) enum Heap {}

impl Heap {
    /// Writes the file.
    pub(crate) fn finish(self) {
        #[cfg(all(feature = "dhat", not(feature = "agents")))]
        drop(self.0);
        #[cfg(any(not(feature = "dhat"), feature = "agents"))]
        match self {}
    }
}

/// Begins to count where [`HEAP_VARIABLE`] asks for it.
pub(crate) fn start(folder: &Path) -> Result<Option<Heap>, BenchError> {
    if std::env::var_os(HEAP_VARIABLE).is_none() {
        return Ok(None);
    }
    count(folder).map(Some)
}

#[cfg(all(feature = "dhat", not(feature = "agents")))]
#[expect(clippy::unnecessary_wraps, reason = "as without the feature")]
fn count(folder: &Path) -> Result<Heap, BenchError> {
    let file = folder.join(HEAP_FILE);
    let builder = dhat::Profiler::builder().file_name(file);
    Ok(Heap(builder.trim_backtraces(Some(16)).build()))
}

#[cfg(any(not(feature = "dhat"), feature = "agents"))]
fn count(_: &Path) -> Result<Heap, BenchError> {
    Err("this suite was built without feature dhat, or with feature agents".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{"dhatFileVersion":2,"mode":"rust-heap","pps":[
        {"tb":100,"tbk":2,"gb":60,"fs":[1,2,3]},
        {"tb":500,"tbk":5,"gb":10,"fs":[1,4]},
        {"tb":7,"tbk":1,"fs":[1]}],
        "ftbl":["[root]","0x1: push (alloc/src/vec/mod.rs:1:2)","0x2: <core::iter::X as Y>::next (a.rs:1:1)",
        "0x3: load (/a/crates/suite/src/main.rs:3:4)","0x4: <vault::Index as Open>::open (vault/src/index.rs:5:6)"]}"#;

    #[test]
    fn places_are_named_by_the_first_function_of_a_program() {
        let file: File = serde_json::from_str(PROFILE).unwrap();
        let found: Vec<(String, u64, u64, u64)> = rank(&file)
            .into_iter()
            .map(|site| {
                let Site {
                    function,
                    peak_bytes,
                    total_bytes,
                    blocks,
                } = site;
                (function, peak_bytes, total_bytes, blocks)
            })
            .collect();
        let site = |name: &str, peak, total, blocks| (name.to_owned(), peak, total, blocks);
        assert_eq!(
            found,
            [
                site("load (suite/main.rs)", 60, 100, 2),
                site("<vault::Index as Open>::open (vault/index.rs)", 10, 500, 5),
                site("push (alloc/vec/mod.rs)", 0, 7, 1),
            ]
        );
    }

    #[test]
    fn a_folder_without_a_profile_has_no_sites() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Ok(Vec::new()));
        std::fs::write(dir.path().join(HEAP_FILE), "{").unwrap();
        let message = read(dir.path()).unwrap_err();
        assert!(message.contains("dhat-heap.json"), "{message}");
    }
}
