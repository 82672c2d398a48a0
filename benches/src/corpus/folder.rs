//! Real files from a folder of the user.

use super::Input;
use std::io;
use std::path::Path;

/// Every file directly in `path` whose name has a class (text before an underscore), by name.
///
/// # Errors
/// The folder or one of its files cannot be read, or no file has a class.
pub fn folder(path: &Path) -> io::Result<Vec<Input>> {
    let explain = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("corpora folder {}: {error}", path.display()),
        )
    };
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(path).map_err(explain)? {
        let file = entry.map_err(explain)?.path();
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some((class, _)) = name.split_once('_') else {
            continue;
        };
        if file.is_file() {
            let class = class.to_owned();
            inputs.push(Input {
                class,
                bytes: std::fs::read(&file).map_err(explain)?,
                name,
            });
        }
    }
    if inputs.is_empty() {
        let message = format!(
            "corpora folder {}: no file named CLASS_NAME",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_is_the_name_before_the_first_underscore() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log_a_b.log"), "x").unwrap();
        std::fs::write(dir.path().join("README"), "not an input").unwrap();
        let inputs = folder(dir.path()).unwrap();
        assert_eq!(inputs.len(), 1);
        assert_eq!(
            (inputs[0].class.as_str(), inputs[0].name.as_str()),
            ("log", "log_a_b.log")
        );
    }

    #[test]
    fn an_empty_or_missing_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            folder(dir.path())
                .unwrap_err()
                .to_string()
                .contains("no file named")
        );
        let missing = folder(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("nowhere"), "{missing}");
    }
}
