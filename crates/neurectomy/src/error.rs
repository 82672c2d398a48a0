//! What can go wrong in the wiring.

use std::path::{Path, PathBuf};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Errors of this crate. Component errors arrive as sources, with the operation and place added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NeurectomyError {
    /// A file or folder that cannot be a document.
    #[error("cannot read {}: {found}; expected {expected}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// What was found there.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A setting outside its range.
    #[error("configuration: {name} is {value}; allowed: {allowed}")]
    Config {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The vault refused an operation.
    #[error("cannot {operation} in the vault at {}: {source}", path.display())]
    Vault {
        /// The operation, as a verb.
        operation: &'static str,
        /// The vault's folder.
        path: PathBuf,
        /// The vault's own error.
        source: Source,
    },
    /// The model could not be loaded or could not continue a text.
    #[error("cannot {operation} with the model {model}: {source}")]
    Model {
        /// The operation, as a verb.
        operation: &'static str,
        /// Path or name of the model.
        model: String,
        /// The engine's own error.
        source: Source,
    },
    /// A document could not be packed or unpacked.
    #[error("cannot {operation} {}: {source}", path.display())]
    Codec {
        /// The operation, as a verb.
        operation: &'static str,
        /// The document.
        path: PathBuf,
        /// The codec's own error.
        source: Source,
    },
    /// What was read back differs from what was stored.
    #[error("{} read back from the vault differs from the original: {detail}", path.display())]
    Mismatch {
        /// The document.
        path: PathBuf,
        /// The first difference.
        detail: String,
    },
    /// The task runtime rejected or lost a task.
    #[error("the {team} team could not {operation}: {source}")]
    Runtime {
        /// The team.
        team: &'static str,
        /// The operation, as a verb.
        operation: &'static str,
        /// The runtime's own error.
        source: Source,
    },
    /// A sketch could not be built.
    #[error("cannot sketch {what}: {source}")]
    Sketch {
        /// What was sketched.
        what: String,
        /// The sketch's own error.
        source: Source,
    },
    /// A file of results could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl NeurectomyError {
    /// The message with all its causes, in one line: `cannot open it: ...: No space left on device`.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            // Most messages name their direct cause already.
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text
    }

    pub(crate) fn input(path: &Path, found: impl ToString, expected: &'static str) -> Self {
        Self::Input {
            path: path.to_owned(),
            found: found.to_string(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open config.json")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn the_chain_names_each_cause_once() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = NeurectomyError::Model {
            operation: "start",
            model: "m".to_owned(),
            source: Inner(io).into(),
        };
        let expected = "cannot start with the model m: cannot open config.json: no such file";
        assert_eq!(error.chain(), expected);
    }
}
