//! Finding documents.

use crate::error::NeurectomyError;
use ignore::WalkBuilder;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes looked at to tell text from other data.
const PROBE_BYTES: u64 = 8192;

/// A document that was found, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path to read it from.
    pub path: PathBuf,
    /// Size when it was found, in bytes.
    pub bytes: u64,
}

/// A file that was found and is not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, in a few words.
    pub reason: String,
}

/// What a scan found.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Documents, sorted by path, each once.
    pub sources: Vec<Source>,
    /// Files in folders that are no text or too large: normal, only counted.
    pub skipped: Vec<Skipped>,
    /// Files in folders that cannot be read: a fault to report.
    pub unreadable: Vec<Skipped>,
}

/// Finds the documents in `inputs`, each a file or a folder that is walked in full.
///
/// A file is a document if it has no NUL byte in its first 8 KiB and at most `bytes_max` bytes.
/// In folders, hidden entries are left out, and so is what a `.gitignore` of an enclosing
/// repository excludes; other kinds of data are skipped. A file that is named directly must be a
/// document. Links to files are followed, links to folders are not.
///
/// # Errors
/// [`NeurectomyError::Input`] where an input does not exist, cannot be read, or holds no document.
pub fn scan(inputs: &[PathBuf], bytes_max: u64) -> Result<Scan, NeurectomyError> {
    let mut scan = Scan::default();
    for input in inputs {
        let metadata = std::fs::metadata(input)
            .map_err(|error| NeurectomyError::input(input, error, "a text file or a folder"))?;
        if metadata.is_dir() {
            scan_folder(input, bytes_max, &mut scan)?;
        } else {
            match probe(input, bytes_max) {
                Ok(Probe::Document(bytes)) => {
                    scan.sources.push(Source {
                        path: input.clone(),
                        bytes,
                    });
                }
                Ok(Probe::Other(reason)) => {
                    return Err(NeurectomyError::input(input, reason, "a text file"));
                }
                Err(error) => {
                    return Err(NeurectomyError::input(input, error, "a readable text file"));
                }
            }
        }
    }
    scan.sources.sort_by(|a, b| a.path.cmp(&b.path));
    scan.sources.dedup_by(|a, b| a.path == b.path);
    Ok(scan)
}

fn scan_folder(folder: &Path, bytes_max: u64, scan: &mut Scan) -> Result<(), NeurectomyError> {
    let before = scan.sources.len() + scan.unreadable.len();
    for entry in WalkBuilder::new(folder).build() {
        let path = match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_dir()) => continue,
            Ok(entry) => entry.into_path(),
            Err(error) => {
                let reason = error.to_string();
                scan.unreadable.push(Skipped {
                    path: folder.to_owned(),
                    reason,
                });
                continue;
            }
        };
        match probe(&path, bytes_max) {
            Ok(Probe::Document(bytes)) => scan.sources.push(Source { path, bytes }),
            Ok(Probe::Other(reason)) => scan.skipped.push(Skipped { path, reason }),
            Err(error) => scan.unreadable.push(Skipped {
                path,
                reason: error.to_string(),
            }),
        }
    }
    if scan.sources.len() + scan.unreadable.len() == before {
        let expected = "a folder with at least one text file";
        return Err(NeurectomyError::input(
            folder,
            "no text file in it",
            expected,
        ));
    }
    Ok(())
}

enum Probe {
    Document(u64),
    Other(String),
}

fn probe(path: &Path, bytes_max: u64) -> std::io::Result<Probe> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(Probe::Other("not a regular file".to_owned()));
    }
    if metadata.len() > bytes_max {
        let reason = format!("{} bytes, at most {bytes_max} are read", metadata.len());
        return Ok(Probe::Other(reason));
    }
    let mut head = Vec::new();
    std::fs::File::open(path)?
        .take(PROBE_BYTES)
        .read_to_end(&mut head)?;
    if head.contains(&0) {
        return Ok(Probe::Other("no text: it holds NUL bytes".to_owned()));
    }
    Ok(Probe::Document(metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan) -> Vec<String> {
        scan.sources
            .iter()
            .map(|source| {
                source
                    .path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    #[test]
    fn folders_are_walked_and_other_data_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        std::fs::write(dir.path().join("deep/b.txt"), "b").unwrap();
        std::fs::write(dir.path().join("a.txt"), "a").unwrap();
        std::fs::write(dir.path().join("empty.txt"), "").unwrap();
        std::fs::write(dir.path().join("binary"), [1, 0, 2]).unwrap();
        std::fs::write(dir.path().join("large.txt"), [b'x'; 100]).unwrap();
        let input = dir.path().to_owned();
        let scan = scan(&[input.clone(), input.join("a.txt")], 99).unwrap();
        assert_eq!(names(&scan), ["a.txt", "b.txt", "empty.txt"]);
        assert_eq!(scan.skipped.len(), 2);
        assert!(scan.unreadable.is_empty());
    }

    #[test]
    fn a_dangling_link_in_a_folder_is_unreadable_not_silent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "a").unwrap();
        std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("link.txt")).unwrap();
        let scan = scan(&[dir.path().to_owned()], 99).unwrap();
        assert_eq!((scan.sources.len(), scan.unreadable.len()), (1, 1));
    }

    #[test]
    fn a_named_file_must_be_a_document_and_a_folder_must_hold_one() {
        let dir = tempfile::tempdir().unwrap();
        let message = scan(&[dir.path().to_owned()], 99).unwrap_err().to_string();
        assert!(message.contains("no text file in it"), "{message}");
        let binary = dir.path().join("binary");
        std::fs::write(&binary, [1, 0, 2]).unwrap();
        let message = scan(&[binary], 99).unwrap_err().to_string();
        assert!(
            message.contains("NUL") && message.contains("expected a text file"),
            "{message}"
        );
        let message = scan(&[dir.path().join("none")], 99)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("none") && message.contains("expected"),
            "{message}"
        );
    }
}
