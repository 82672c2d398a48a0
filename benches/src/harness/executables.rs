//! Where the built suites are.

use super::HarnessError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The executable of each suite, or why there is none.
pub type Executables = BTreeMap<String, Result<PathBuf, String>>;

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<MessageTarget>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

/// Builds the suites one by one through cargo, each with its own feature only, so that one that does
/// not build leaves the others; cargo prints to standard error. `more` names further features of a
/// suite.
#[must_use]
pub fn build(workspace: &Path, suites: &[&str], more: &[(&str, &str)]) -> Executables {
    suites
        .iter()
        .map(|suite| {
            let mut features = (*suite).to_owned();
            for (_, feature) in more.iter().filter(|(of, _)| of == suite) {
                features.push(',');
                features.push_str(feature);
            }
            ((*suite).to_owned(), build_one(workspace, suite, &features))
        })
        .collect()
}

fn build_one(workspace: &Path, suite: &str, features: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["bench", "--no-run", "--message-format=json"])
        .args(["--package", "neurectomy-bench", "--no-default-features"])
        .args(["--features", features, "--bench", suite])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo bench --no-run: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    executable(&text, suite).ok_or_else(|| "cargo named no executable".to_owned())
}

fn executable(messages: &str, suite: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message.target.as_ref().is_some_and(|target| {
                target.name == suite && target.kind.iter().any(|kind| kind == "bench")
            })
        })
        .find_map(|message| message.executable)
}

/// Finds built suites in a folder: files named as the suite, or `SUITE-HASH` as cargo names them,
/// the newest where there are several.
///
/// # Errors
/// The folder cannot be read.
pub fn find(folder: &Path, suites: &[&str]) -> Result<Executables, HarnessError> {
    // Suites are started in another folder than this program.
    let folder = &std::path::absolute(folder).map_err(HarnessError::io("read", folder))?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(HarnessError::io("read", folder))? {
        let entry = entry.map_err(HarnessError::io("read", folder))?;
        let modified = entry.metadata().and_then(|meta| meta.modified());
        if let (Ok(name), Ok(modified)) = (entry.file_name().into_string(), modified) {
            files.push((modified, name, entry.path()));
        }
    }
    files.sort();
    let mut all = Executables::new();
    for suite in suites {
        let newest = files.iter().rev().find(|(_, name, path)| {
            let hash = name.strip_prefix(suite).map(|rest| rest.strip_prefix('-'));
            let is_named = match hash {
                Some(None) => name == suite,
                Some(Some(hash)) => !hash.is_empty() && hash.chars().all(|c| c.is_ascii_hexdigit()),
                None => false,
            };
            is_named && path.is_file()
        });
        let found = newest.map(|(_, _, path)| path.clone());
        let missing = || format!("{} holds no {suite} and no {suite}-HASH", folder.display());
        all.insert((*suite).to_owned(), found.ok_or_else(missing));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_messages_name_the_executable() {
        let messages = concat!(
            "not json\n",
            r#"{"reason":"build-script-executed","package_id":"x"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"agents"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bench"],"name":"agents"},"executable":"/t/agents-1f"}"#,
            "\n",
        );
        assert_eq!(executable(messages, "agents"), Some("/t/agents-1f".into()));
        assert_eq!(executable(messages, "storage"), None);
    }

    #[test]
    fn the_newest_executable_with_a_hash_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["agents-0a", "agents.d", "agents_batch-1b", "storage"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = find(dir.path(), &["agents", "storage", "workflow"]).unwrap();
        assert_eq!(found["agents"], Ok(dir.path().join("agents-0a")));
        assert_eq!(found["storage"], Ok(dir.path().join("storage")));
        let message = found["workflow"].clone().unwrap_err();
        assert!(message.contains("no workflow"), "{message}");
        assert!(find(&dir.path().join("none"), &[]).is_err());
    }
}
