//! The files below a folder, in a fixed order.

use super::file::file_error;
use crate::error::CollectiveError;
use std::path::{Path, PathBuf};

/// Folders inside folders; deeper ones are an error, not a stack overflow or a loop.
const DEPTH_MAX: usize = 256;

/// A file that a [`FileBatch`](super::FileBatch) reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the input folder.
    pub relative: PathBuf,
    /// Its length when it was found.
    pub bytes: u64,
}

/// All regular files below `root`, sorted by path. Links and special files are passed over;
/// `skips` names folders that are not entered.
pub(crate) fn files_below(
    root: &Path,
    files_max: usize,
    skips: &dyn Fn(&Path) -> bool,
) -> Result<Vec<InputFile>, CollectiveError> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            let source = std::io::Error::other(format!("folders nested over {DEPTH_MAX} deep"));
            return Err(file_error("list", &folder)(source));
        }
        let entries = std::fs::read_dir(&folder).map_err(file_error("list", &folder))?;
        for entry in entries {
            let entry = entry.map_err(file_error("list", &folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(file_error("list", &path))?;
            if kind.is_dir() && !skips(&path) {
                folders.push((path, depth + 1));
            } else if kind.is_file() {
                if files.len() == files_max {
                    return Err(CollectiveError::TooManyItems {
                        operation: "list files",
                        items_max: files_max,
                    });
                }
                let bytes = entry.metadata().map_err(file_error("list", &path))?.len();
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                files.push(InputFile {
                    path,
                    relative,
                    bytes,
                });
            }
        }
    }
    files.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(files)
}
