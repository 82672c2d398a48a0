//! Batches over the files of a folder: read, convert, write to a second folder.

use super::benchmark::ModeComparison;
use super::file::{Prepared, file_error, read_file, stays_below};
use super::map::Batch;
use super::outcome::Mapped;
use super::tree::{InputFile, files_below};
use crate::error::CollectiveError;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a conversion may fail with.
type ConvertError = Box<dyn std::error::Error + Send + Sync>;
type Rename = Arc<dyn Fn(&Path) -> PathBuf + Send + Sync>;
type Wanted = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// Converts every file below a folder into a file of a second folder with the same tree.
///
/// Each output is written beside its place and then renamed, so a reader sees all of it or none.
/// Inputs are never written: a batch of which an output would replace an input, or two outputs
/// each other, is refused before anything is written.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::batch::{Batch, BatchConfig, FileBatch};
/// # let folder = std::env::temp_dir().join(format!("file-batch-{}", std::process::id()));
/// # std::fs::create_dir_all(folder.join("in/notes"))?;
/// # std::fs::write(folder.join("in/notes/a.txt"), "words")?;
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let batch = Batch::new(&runtime, BatchConfig::default())?;
/// let files = FileBatch::new(folder.join("in"), folder.join("out"))
///     .rename(|relative| relative.with_extension("upper"));
/// let done = files.run(&batch, |_, bytes| Ok(bytes.to_ascii_uppercase()))?;
/// assert_eq!(done.report.failed, 0);
/// assert_eq!(std::fs::read(folder.join("out/notes/a.upper"))?, b"WORDS");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileBatch {
    input: PathBuf,
    output: PathBuf,
    rename: Option<Rename>,
    wanted: Option<Wanted>,
    skip: Option<Wanted>,
    file_bytes_max: u64,
    files_max: usize,
    replace: bool,
    durable: bool,
}

/// One converted file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenFile {
    /// The input, relative to the input folder.
    pub relative: PathBuf,
    /// Where the output is.
    pub output: PathBuf,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// One file of a plan.
struct Step {
    file: InputFile,
    output: PathBuf,
}

impl FileBatch {
    /// From the files below `input` to files below `output`, which is made if it is not there.
    /// If `output` lies inside `input`, its files are not inputs.
    pub fn new(input: impl Into<PathBuf>, output: impl Into<PathBuf>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            rename: None,
            wanted: None,
            skip: None,
            file_bytes_max: 1 << 30,
            files_max: 1 << 20,
            replace: true,
            durable: false,
        }
    }

    /// Relative path of an output from that of its input. Default: the same.
    #[must_use]
    pub fn rename(mut self, name: impl Fn(&Path) -> PathBuf + Send + Sync + 'static) -> Self {
        self.rename = Some(Arc::new(name));
        self
    }

    /// Takes only files whose relative path `wanted` accepts. Default: all.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.wanted = Some(Arc::new(wanted));
        self
    }

    /// Does not enter folders whose relative path `skip` accepts. Default: enters all.
    #[must_use]
    pub fn skip_folders(mut self, skip: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Arc::new(skip));
        self
    }

    /// A longer file is an error of its own, without being read. Default 1 GiB; each lane holds
    /// one file and its conversion in memory.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.file_bytes_max = bytes;
        self
    }

    /// More files than this are an error of the batch. Default 1,048,576.
    #[must_use]
    pub fn files_max(mut self, files: usize) -> Self {
        self.files_max = files;
        self
    }

    /// Whether an output may replace a file that is already there and is no input. Default: yes.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Whether each output is synchronised to the disk before it is renamed, so that a power
    /// failure leaves the old or the new file. Default: no; a synchronisation takes milliseconds.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// The files that a run would read, sorted by relative path.
    ///
    /// # Errors
    /// [`CollectiveError::File`] for a folder that cannot be listed,
    /// [`CollectiveError::TooManyItems`].
    pub fn inputs(&self) -> Result<Vec<InputFile>, CollectiveError> {
        let output = std::fs::canonicalize(&self.output).ok();
        let skips = |folder: &Path| {
            let relative = folder.strip_prefix(&self.input).unwrap_or(folder);
            self.skip.as_ref().is_some_and(|skip| skip(relative))
                || (output.is_some() && std::fs::canonicalize(folder).ok() == output)
        };
        let mut files = files_below(&self.input, self.files_max, &skips)?;
        if let Some(wanted) = &self.wanted {
            files.retain(|file| wanted(&file.relative));
        }
        Ok(files)
    }

    /// Reads, converts and writes every file, in the mode of `batch`, the largest first. Results
    /// come in the order of the relative paths; a file that fails leaves no output and, unless
    /// the batch fails fast, does not stop the others.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs) and [`Batch::map`]; [`CollectiveError::OutputRefused`] before
    /// anything is written. Per file: [`CollectiveError::File`],
    /// [`CollectiveError::FileTooLong`], [`CollectiveError::Convert`].
    pub fn run(
        &self,
        batch: &Batch<'_>,
        convert: impl Fn(&InputFile, Vec<u8>) -> Result<Vec<u8>, ConvertError> + Sync,
    ) -> Result<Mapped<WrittenFile, CollectiveError>, CollectiveError> {
        let steps = self.plan()?;
        batch.map_weighted(
            &steps,
            |step| step.file.bytes,
            |step| self.convert(step, &convert),
        )
    }

    /// Runs the conversion in every mode without writing, and compares bytes and times; see
    /// [`Batch::benchmark`]. Files are read each time.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs) and [`Batch::map`].
    pub fn benchmark(
        &self,
        batch: &Batch<'_>,
        convert: impl Fn(&InputFile, Vec<u8>) -> Result<Vec<u8>, ConvertError> + Sync,
    ) -> Result<ModeComparison, CollectiveError> {
        let files = self.inputs()?;
        batch.benchmark(
            &files,
            |file| file.bytes,
            |file| {
                let bytes =
                    read_file(&file.path, self.file_bytes_max).map_err(|e| e.to_string())?;
                convert(file, bytes).map_err(|error| error.to_string())
            },
        )
    }

    fn convert(
        &self,
        step: &Step,
        convert: &(impl Fn(&InputFile, Vec<u8>) -> Result<Vec<u8>, ConvertError> + Sync),
    ) -> Result<WrittenFile, CollectiveError> {
        let bytes = read_file(&step.file.path, self.file_bytes_max)?;
        let bytes_in = bytes.len() as u64;
        let converted = convert(&step.file, bytes).map_err(|source| CollectiveError::Convert {
            path: step.file.path.clone(),
            source,
        })?;
        Prepared::write(&step.output, &converted, self.durable)?.publish()?;
        Ok(WrittenFile {
            relative: step.file.relative.clone(),
            output: step.output.clone(),
            bytes_in,
            bytes_out: converted.len() as u64,
        })
    }

    /// Where each file goes. Makes the folders; refuses before any file is written.
    fn plan(&self) -> Result<Vec<Step>, CollectiveError> {
        let files = self.inputs()?;
        let mut outputs = HashSet::with_capacity(files.len());
        let mut steps = Vec::with_capacity(files.len());
        for file in files {
            let relative = match &self.rename {
                Some(rename) => rename(&file.relative),
                None => file.relative.clone(),
            };
            let output = self.output.join(&relative);
            if !stays_below(&relative) {
                return refuse(output, "its relative path leaves the output folder");
            }
            if !outputs.insert(relative) {
                return refuse(output, "it is the output of two inputs");
            }
            steps.push(Step { file, output });
        }
        self.make_folders(&steps)?;
        self.check_targets(&steps)?;
        Ok(steps)
    }

    fn make_folders(&self, steps: &[Step]) -> Result<(), CollectiveError> {
        let folders: HashSet<&Path> = steps
            .iter()
            .filter_map(|step| step.output.parent())
            .collect();
        let make = |folder: &Path| {
            std::fs::create_dir_all(folder).map_err(file_error("make folder", folder))
        };
        make(&self.output)?;
        folders.into_iter().try_for_each(make)
    }

    /// Compares by real paths, so that neither links nor `..` lead to an input.
    fn check_targets(&self, steps: &[Step]) -> Result<(), CollectiveError> {
        let mut real: HashMap<PathBuf, PathBuf> = HashMap::new();
        let mut real_path = |path: &Path| -> Result<PathBuf, CollectiveError> {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(path.to_owned());
            };
            if !real.contains_key(folder) {
                let found =
                    std::fs::canonicalize(folder).map_err(file_error("find folder", folder))?;
                real.insert(folder.to_owned(), found);
            }
            Ok(real[folder].join(name))
        };
        let mut inputs = HashSet::with_capacity(steps.len());
        for step in steps {
            inputs.insert(real_path(&step.file.path)?);
        }
        let mut outputs = HashSet::with_capacity(steps.len());
        for step in steps {
            let target = real_path(&step.output)?;
            if inputs.contains(&target) {
                return refuse(target, "it is an input of the same batch");
            }
            let there = std::fs::symlink_metadata(&target);
            if there
                .as_ref()
                .is_ok_and(|there| !self.replace || there.is_dir())
            {
                return refuse(target, "something is there already");
            }
            if !outputs.insert(target.clone()) {
                return refuse(target, "it is the output of two inputs");
            }
        }
        Ok(())
    }
}

fn refuse<T>(path: PathBuf, reason: &'static str) -> Result<T, CollectiveError> {
    Err(CollectiveError::OutputRefused { path, reason })
}

impl fmt::Debug for FileBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBatch")
            .field("input", &self.input)
            .field("output", &self.output)
            .field("replace", &self.replace)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}
