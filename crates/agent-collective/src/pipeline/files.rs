//! Batched file operations: read many, write many.

use super::stage::{Items, Stage, StageRun, sealed::Sealed};
use super::verdict::{BoxError, Stop};
use crate::batch::file::{Prepared, file_error, read_file, stays_below, sync_folder};
use crate::batch::lanes::check_range;
use crate::error::CollectiveError;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Most files of one group.
const GROUP_FILES_MAX: usize = 1 << 16;

/// Reads a file for each item.
///
/// Contents of all items are in memory together, so both the single file and their sum are
/// bounded; an item over either bound stops as failed.
#[derive(Clone)]
pub struct ReadFiles<F> {
    name: String,
    path: F,
    file_bytes_max: u64,
    total_bytes_max: u64,
}

impl<F> ReadFiles<F> {
    /// Reads the file at `path(item)`; the item goes on with its content.
    pub fn new<I>(name: impl Into<String>, path: F) -> Self
    where
        F: Fn(&I) -> PathBuf + Sync,
    {
        Self {
            name: name.into(),
            path,
            file_bytes_max: 64 << 20,
            total_bytes_max: 1 << 30,
        }
    }

    /// The longest file. Default 64 MiB.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.file_bytes_max = bytes;
        self
    }

    /// The most bytes of all files of a run together. Default 1 GiB. Which items are over it
    /// depends on which are read first.
    #[must_use]
    pub fn total_bytes_max(mut self, bytes: u64) -> Self {
        self.total_bytes_max = bytes;
        self
    }
}

impl<I, F> Stage<I> for ReadFiles<F>
where
    I: Send,
    F: Fn(&I) -> PathBuf + Sync,
{
    type Output = (I, Vec<u8>);

    fn name(&self) -> &str {
        &self.name
    }

    fn run(
        &self,
        items: Items<I>,
        run: &StageRun<'_>,
    ) -> Result<Items<(I, Vec<u8>)>, CollectiveError> {
        let left = AtomicU64::new(self.total_bytes_max);
        let read = |item: I| {
            let path = (self.path)(&item);
            let bytes_max = self.file_bytes_max.min(left.load(Ordering::Relaxed));
            let bytes = read_file(&path, bytes_max).map_err(failed)?;
            let took = bytes.len() as u64;
            let spend = |left: u64| left.checked_sub(took);
            match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
                Ok(_) => Ok((item, bytes)),
                Err(bytes_max) => Err(failed(CollectiveError::FileTooLong { path, bytes_max })),
            }
        };
        Ok(run.sort_out(run.each(items, read)?))
    }
}

/// What [`WriteFiles`] writes for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Path below the stage's folder.
    pub path: PathBuf,
    /// The whole content.
    pub bytes: Vec<u8>,
}

/// An item whose file was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written<I> {
    /// The item.
    pub item: I,
    /// Where its file is.
    pub path: PathBuf,
    /// What was written; `None` unless asked for by [`WriteFiles::keep_contents`].
    pub content: Option<Vec<u8>>,
    /// What was there before; `None` if nothing was, or if not asked for.
    pub previous: Option<Vec<u8>>,
}

/// Writes a file for each item, in groups.
///
/// The files of a group are written side by side under temporary names; then all are renamed, in
/// the order of the items, and, if durable, each folder is synchronised once per group instead of
/// once per file. A reader sees the old or the new content of a file, never a part of it.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{FileContent, Pipeline, WriteFiles};
/// # let folder = std::env::temp_dir().join(format!("write-files-{}", std::process::id()));
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let write = WriteFiles::new("write", &folder, |n: &u32| {
///     Ok::<_, String>(FileContent { path: format!("{n}.txt").into(), bytes: n.to_string().into() })
/// });
/// let run = Pipeline::new("numbers").then(write).run(&runtime, 1..4)?;
/// assert_eq!(run.report.passed, 3);
/// assert_eq!(std::fs::read(folder.join("3.txt"))?, b"3");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WriteFiles<F> {
    name: String,
    folder: PathBuf,
    content: F,
    group_files: usize,
    durable: bool,
    keep: Option<u64>,
}

/// A file of the group, written and not yet renamed.
struct Pending<I> {
    written: Written<I>,
    prepared: Prepared,
}

impl<F> WriteFiles<F> {
    /// Writes `content(item)` below `folder`, which is made if it is not there. An error of
    /// `content`, a path that leaves the folder, a path that an earlier item has, and a failing
    /// write stop the item as failed.
    pub fn new<I, E>(name: impl Into<String>, folder: impl Into<PathBuf>, content: F) -> Self
    where
        F: Fn(&I) -> Result<FileContent, E> + Sync,
    {
        Self {
            name: name.into(),
            folder: folder.into(),
            content,
            group_files: 256,
            durable: false,
            keep: None,
        }
    }

    /// Files per group: how many temporary files there are at a time. Default 256; 1 to 65,536.
    #[must_use]
    pub fn group_files(mut self, files: usize) -> Self {
        self.group_files = files;
        self
    }

    /// Whether files and folders are synchronised to the disk. Default: no.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Keeps new and previous contents for a [`Diff`](super::Diff); a previous file longer than
    /// `file_bytes_max` stops the item as failed, before it is replaced. Default: not kept.
    #[must_use]
    pub fn keep_contents(mut self, file_bytes_max: u64) -> Self {
        self.keep = Some(file_bytes_max);
        self
    }

    fn prepare<I, E>(&self, item: I, content: FileContent) -> Result<Pending<I>, Stop>
    where
        F: Fn(&I) -> Result<FileContent, E>,
    {
        let path = self.folder.join(&content.path);
        let parent = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(parent)
            .map_err(file_error("make folder", parent))
            .map_err(failed)?;
        let previous = match self.keep {
            Some(bytes_max) if path.exists() => Some(read_file(&path, bytes_max).map_err(failed)?),
            _ => None,
        };
        let prepared = Prepared::write(&path, &content.bytes, self.durable).map_err(failed)?;
        let written = Written {
            item,
            path,
            content: self.keep.map(|_| content.bytes),
            previous,
        };
        Ok(Pending { written, prepared })
    }
}

impl<I, E, F> Stage<I> for WriteFiles<F>
where
    I: Send,
    E: Into<BoxError>,
    F: Fn(&I) -> Result<FileContent, E> + Sync,
{
    type Output = Written<I>;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(
        &self,
        items: Items<I>,
        run: &StageRun<'_>,
    ) -> Result<Items<Written<I>>, CollectiveError> {
        check_range(
            "write stage",
            "group_files",
            self.group_files,
            1..=GROUP_FILES_MAX,
        )?;
        let mut paths: HashSet<PathBuf> = HashSet::with_capacity(items.len());
        let mut passing = Vec::with_capacity(items.len());
        let mut items = items.into_iter();
        loop {
            let group: Items<I> = items.by_ref().take(self.group_files).collect();
            if group.is_empty() {
                return Ok(passing);
            }
            let made = run.sort_out(run.each(group, |item: I| {
                let content = (self.content)(&item).map_err(|error| Stop::Failed(error.into()))?;
                Ok((item, content))
            })?);
            let mut claimed = Vec::with_capacity(made.len());
            for (index, (item, content)) in made {
                match claim(&self.folder, &content.path, &mut paths) {
                    Ok(()) => claimed.push((index, (item, content))),
                    Err(refused) => run.stop(index, failed(refused)),
                }
            }
            let pending =
                run.sort_out(run.each(claimed, |(item, content)| self.prepare(item, content))?);
            let mut folders = BTreeSet::new();
            for (index, Pending { written, prepared }) in pending {
                match prepared.publish() {
                    Ok(()) => {
                        folders.extend(written.path.parent().map(Path::to_owned));
                        passing.push((index, written));
                    }
                    Err(error) => run.stop(index, failed(error)),
                }
            }
            if self.durable {
                folders.iter().try_for_each(|folder| sync_folder(folder))?;
            }
        }
    }
}

/// Each path belongs to one item of a run.
fn claim(folder: &Path, path: &Path, paths: &mut HashSet<PathBuf>) -> Result<(), CollectiveError> {
    let reason = if !stays_below(path) {
        "its relative path leaves the output folder"
    } else if !paths.insert(path.components().collect()) {
        "it is the output of two items"
    } else {
        return Ok(());
    };
    Err(CollectiveError::OutputRefused {
        path: folder.join(path),
        reason,
    })
}

fn failed(error: CollectiveError) -> Stop {
    Stop::Failed(error.into())
}

impl<F> Sealed for ReadFiles<F> {}
impl<F> Sealed for WriteFiles<F> {}

impl<F> fmt::Debug for ReadFiles<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadFiles")
            .field("name", &self.name)
            .field("file_bytes_max", &self.file_bytes_max)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for WriteFiles<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteFiles")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}
