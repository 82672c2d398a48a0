//! The files of `golden/v1` are read, and written again byte for byte, by every later version.

mod support;

use std::{fs, path::PathBuf};

use support::samples;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v1/{name}.bin"))
}

#[test]
fn golden_files_are_read_and_are_what_is_written_today() {
    for sample in samples() {
        let golden = fs::read(path(sample.name)).unwrap();
        let again = (sample.recode)(&golden);
        assert_eq!(
            again.as_deref(),
            Ok(golden.as_slice()),
            "{}: read and written",
            sample.name
        );
        assert_eq!(sample.bytes, golden, "{}: built anew", sample.name);
    }
}

#[test]
fn every_golden_file_has_a_sample() {
    let files = fs::read_dir(path("x").parent().unwrap()).unwrap().count();
    assert_eq!(files, samples().len());
}

/// Writes the files that are missing; run once for each new sample, with `--ignored`.
#[test]
#[ignore = "writes golden files"]
fn write_missing_golden_files() {
    for sample in samples() {
        let path = path(sample.name);
        if !path.exists() {
            fs::write(path, sample.bytes).unwrap();
        }
    }
}
