//! What stops the program.

use std::path::PathBuf;

/// Any failure of `neurectomy-bench`, with what a person needs to act on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A spec file is not YAML of the expected shape.
    #[error("spec {}: {message}", file.display())]
    SpecSyntax {
        /// The file.
        file: PathBuf,
        /// Line, column and what is wrong there.
        message: String,
    },
    /// A spec file holds a value that is not allowed.
    #[error("spec {}: {field} is {value}; allowed: {allowed}", file.display())]
    SpecValue {
        /// The file.
        file: PathBuf,
        /// Path of the field, for example `targets.ratio.acceptable_range`.
        field: String,
        /// The value that was found.
        value: String,
        /// What is allowed there.
        allowed: String,
    },
    /// A name that the user gave stands for nothing.
    #[error("no {what} is named {name}; there are: {known}")]
    Unknown {
        /// What was looked for, for example `baseline`.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A name that the user gave cannot become a file name.
    #[error(
        "{what} {name:?}: allowed are 1 to 64 letters, digits, '-', '_' and '.', not first '.'"
    )]
    BadName {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of results is not one of ours, or of another version.
    #[error("results {}: {message}", path.display())]
    BadResults {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Too few runs for a comparison.
    #[error("{side} has {runs} complete runs of {execution}; a comparison needs at least {needed}")]
    TooFewRuns {
        /// `the baseline` or `the new file`.
        side: &'static str,
        /// Suite and filter.
        execution: String,
        /// Runs that are there.
        runs: usize,
        /// Runs that are needed.
        needed: usize,
    },
    /// The two files share no row that can be compared.
    #[error("the baseline and the new results share no row with a peer or a size")]
    NothingToCompare,
    /// The bench executables cannot be built or found.
    #[error("suite {suite}: {message}")]
    NoExecutable {
        /// The suite.
        suite: String,
        /// What was tried.
        message: String,
    },
}

impl HarnessError {
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
