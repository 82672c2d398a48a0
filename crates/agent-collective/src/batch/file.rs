//! One file: a bounded read, and a write that is there as a whole or not at all.

use crate::error::CollectiveError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the temporary files of this process apart.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);
/// Foreign temporary files of the same name that are stepped over.
const NAME_TRIES: usize = 64;

/// The error of one operation on one path.
pub(crate) fn file_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CollectiveError {
    move |source| CollectiveError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Reads a whole file that is at most `bytes_max` long; allocates no more than its length.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CollectiveError> {
    let failed = || file_error("read", path);
    let file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let too_long = || CollectiveError::FileTooLong {
        path: path.to_owned(),
        bytes_max,
    };
    if length > bytes_max {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let capacity = usize::try_from(length).map_err(|_| too_long())?;
    bytes
        .try_reserve_exact(capacity)
        .map_err(|error| failed()(io::Error::new(io::ErrorKind::OutOfMemory, error)))?;
    // One byte more than allowed: a file may grow while it is read.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_long());
    }
    Ok(bytes)
}

/// A finished temporary file beside the place where it belongs; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Prepared {
    temporary: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl Prepared {
    /// Writes `bytes` to a new file in the folder of `target`, which must exist. `durable`: the
    /// content is on the disk when this returns.
    pub(crate) fn write(
        target: &Path,
        bytes: &[u8],
        durable: bool,
    ) -> Result<Self, CollectiveError> {
        let (mut file, temporary) = create_beside(target)?;
        let prepared = Self {
            temporary,
            target: target.to_owned(),
            renamed: false,
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        written.map_err(file_error("write", target))?;
        Ok(prepared)
    }

    /// Puts the file in its place, over whatever file is there.
    pub(crate) fn publish(mut self) -> Result<(), CollectiveError> {
        std::fs::rename(&self.temporary, &self.target)
            .map_err(file_error("rename to", &self.target))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed either is left behind; the error that led here is reported.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn create_beside(target: &Path) -> Result<(File, PathBuf), CollectiveError> {
    let folder = target.parent().unwrap_or(Path::new(""));
    let process = std::process::id();
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAME_TRIES {
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".agent-collective-{process}-{number}.tmp"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(file_error("write", target)(error)),
        }
    }
    Err(file_error("write", target)(last))
}

/// Makes renames in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), CollectiveError> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(file_error("sync folder", folder))
}

/// Whether `path` stays below the folder that it is joined to and names something in it.
pub(crate) fn stays_below(path: &Path) -> bool {
    let mut names = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => names += 1,
            Component::CurDir => {}
            _ => return false,
        }
    }
    names > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_are_accepted() {
        for good in ["a", "a/b.txt", "./a"] {
            assert!(stays_below(Path::new(good)), "{good}");
        }
        for bad in ["", ".", "..", "a/../b", "../a", "/a"] {
            assert!(!stays_below(Path::new(bad)), "{bad}");
        }
    }
}
