//! Text files, read whole.

use ignore::WalkBuilder;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Largest file that is taken for a document: more is data.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

pub(crate) struct Text {
    pub(crate) documents: Vec<Document>,
    /// Files that are not UTF-8, or larger than a document.
    pub(crate) skipped: usize,
}

impl Text {
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.documents
            .iter()
            .flat_map(|document| document.text.lines())
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.documents
            .iter()
            .flat_map(|document| words(&document.text))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.documents
            .iter()
            .map(|document| document.text.len())
            .sum()
    }
}

/// Runs of letters, digits and underscores.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// What stops the reading.
#[derive(Debug)]
pub(crate) enum TextError {
    Read { path: PathBuf, reason: String },
    Nothing,
}

impl fmt::Display for TextError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, reason } => write!(formatter, "{}: {reason}", path.display()),
            Self::Nothing => formatter.write_str("the inputs hold no text file"),
        }
    }
}

impl std::error::Error for TextError {}

/// Reads every text file under the inputs, leaving out what git ignores and what is hidden.
pub(crate) fn read(inputs: &[PathBuf]) -> Result<Text, TextError> {
    let files = files(inputs)?;
    // Draws to stderr, and only when stderr is a terminal.
    let style = ProgressStyle::with_template("reading {bar:40} {pos}/{len} {wide_msg}");
    let progress = ProgressBar::new(files.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut text = Text {
        documents: Vec::new(),
        skipped: 0,
    };
    for path in files {
        progress.set_message(path.display().to_string());
        match document(&path)? {
            Some(document) => text.documents.push(document),
            None => text.skipped += 1,
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if text.bytes() == 0 {
        return Err(TextError::Nothing);
    }
    Ok(text)
}

fn files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, TextError> {
    let mut files = Vec::new();
    for input in inputs {
        std::fs::metadata(input).map_err(|error| TextError::Read {
            path: input.clone(),
            reason: error.to_string(),
        })?;
        for entry in WalkBuilder::new(input).sort_by_file_path(Path::cmp).build() {
            let entry = entry.map_err(|error| TextError::Read {
                path: input.clone(),
                reason: error
                    .io_error()
                    .map_or_else(|| error.to_string(), ToString::to_string),
            })?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                files.push(entry.into_path());
            }
        }
    }
    Ok(files)
}

fn document(path: &Path) -> Result<Option<Document>, TextError> {
    let failed = |error: std::io::Error| TextError::Read {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    Ok(String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .map(|text| Document {
            name: path.display().to_string(),
            text,
        }))
}
