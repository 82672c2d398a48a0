//! Baselines: files of results under version control, one per name.

use super::HarnessError;
use super::results::Results;
use std::path::{Path, PathBuf};

/// Saves results as a baseline and returns its file; single samples are left out.
///
/// # Errors
/// The name cannot become a file name, a baseline of that name is there and `replace` is false,
/// or the file cannot be written.
pub fn save(
    folder: &Path,
    name: &str,
    mut results: Results,
    replace: bool,
) -> Result<PathBuf, HarnessError> {
    let path = path_of(folder, name)?;
    if !replace && path.exists() {
        let source = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "a baseline of that name is there; --replace overwrites it",
        );
        return Err(HarnessError::io("save", &path)(source));
    }
    results.name = Some(name.to_owned());
    for execution in &mut results.executions {
        for recorded in &mut execution.rows {
            recorded.samples = None;
        }
        if let Some(resources) = &mut execution.resources {
            resources.memory.clear();
        }
    }
    results.write(&path)?;
    Ok(path)
}

/// Reads a baseline.
///
/// # Errors
/// There is none of that name (the message lists those that there are), or its file is bad.
pub fn load(folder: &Path, name: &str) -> Result<Results, HarnessError> {
    let path = path_of(folder, name)?;
    if !path.exists() {
        let known: Vec<String> = list(folder)?.into_iter().map(|(name, _)| name).collect();
        return Err(HarnessError::Unknown {
            what: "baseline",
            name: name.to_owned(),
            known: if known.is_empty() {
                format!("none in {}", folder.display())
            } else {
                known.join(", ")
            },
        });
    }
    Results::read(&path)
}

/// All baselines by name, the oldest first; a folder that does not exist holds none.
///
/// # Errors
/// The folder or a baseline in it cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(String, Results)>, HarnessError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(HarnessError::io("read", folder)(error)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(HarnessError::io("read", folder))?.path();
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        if let (true, Some(name)) = (is_json, path.file_stem()) {
            all.push((name.to_string_lossy().into_owned(), Results::read(&path)?));
        }
    }
    all.sort_by(|a, b| (&a.1.environment.date, &a.0).cmp(&(&b.1.environment.date, &b.0)));
    Ok(all)
}

fn path_of(folder: &Path, name: &str) -> Result<PathBuf, HarnessError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(legal) {
        return Err(HarnessError::BadName {
            what: "baseline",
            name: name.to_owned(),
        });
    }
    Ok(folder.join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    fn results() -> Results {
        Results {
            format: super::super::results::FORMAT,
            name: None,
            environment: Environment::read(),
            load_1m_at_end: Some(0.5),
            specs: Vec::new(),
            executions: Vec::new(),
        }
    }

    #[test]
    fn a_baseline_is_saved_listed_and_not_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("baselines");
        assert!(list(&folder).unwrap().is_empty());
        save(&folder, "v1", results(), false).unwrap();
        assert_eq!(load(&folder, "v1").unwrap().name.as_deref(), Some("v1"));
        let message = save(&folder, "v1", results(), false).unwrap_err();
        assert!(message.to_string().contains("--replace"), "{message}");
        save(&folder, "v1", results(), true).unwrap();
        assert_eq!(list(&folder).unwrap().len(), 1);
    }

    #[test]
    fn a_missing_baseline_names_those_that_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let message = load(dir.path(), "v2").unwrap_err().to_string();
        assert!(message.contains("none in"), "{message}");
        save(dir.path(), "v1", results(), false).unwrap();
        let message = load(dir.path(), "v2").unwrap_err().to_string();
        assert_eq!(message, "no baseline is named v2; there are: v1");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "../x", ".hidden", "a/b", "a b", &"x".repeat(65)] {
            let message = load(dir.path(), name).unwrap_err().to_string();
            assert!(message.contains("allowed are"), "{message}");
        }
    }
}
