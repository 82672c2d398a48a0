//! Errors for people: one line that says what failed, on which file, and why.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use sigma_lang::SigmaError;

/// A line for standard error.
#[derive(Debug)]
pub(crate) struct CliError(String);

impl CliError {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        CliError(line.into())
    }

    /// `operation` on `path` failed.
    pub(crate) fn io(operation: &str, path: &Path, source: &io::Error) -> Self {
        CliError(format!("cannot {operation} {}: {source}", path.display()))
    }

    /// A library error that concerns `path`.
    pub(crate) fn on(path: &Path, error: &SigmaError) -> Self {
        CliError(format!("{}: {}", path.display(), chain(error)))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files may hold anything; an error stays one line.
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl From<SigmaError> for CliError {
    fn from(error: SigmaError) -> Self {
        CliError(chain(&error))
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line.push_str(": ");
        line.push_str(&source.to_string());
        cause = source.source();
    }
    line
}

/// The library error inside an I/O error of a stream, if it is one.
pub(crate) fn stream_error(path: &Path, error: &io::Error) -> CliError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<SigmaError>())
    {
        Some(inner) => CliError::on(path, inner),
        None => CliError::new(format!("{}: {error}", path.display())),
    }
}
