//! Inputs, and outputs that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sigma_lang::{Dictionary, DictionaryRegistry};

use crate::error::CliError;

/// Whether a path means standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens an input; gives its length if it is a plain file.
pub(crate) fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), CliError> {
    if is_standard(path) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = open_file(path)?;
    let length = file.metadata().ok().filter(fs::Metadata::is_file);
    let length = length.map(|data| data.len());
    Ok((Box::new(BufReader::with_capacity(1 << 18, file)), length))
}

pub(crate) fn open_file(path: &Path) -> Result<File, CliError> {
    let file = File::open(path).map_err(|source| CliError::io("open", path, &source))?;
    match file.metadata() {
        Ok(data) if data.is_dir() => Err(CliError::new(format!(
            "cannot open {}: it is a folder",
            path.display()
        ))),
        _ => Ok(file),
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let (mut input, _) = open(path)?;
    let mut bytes = Vec::new();
    input
        .read_to_end(&mut bytes)
        .map_err(|source| CliError::io("read", path, &source))?;
    Ok(bytes)
}

pub(crate) fn read_dictionary(path: &Path) -> Result<Dictionary, CliError> {
    Dictionary::from_bytes(&read(path)?).map_err(|error| CliError::on(path, &error))
}

pub(crate) fn read_dictionaries(paths: &[PathBuf]) -> Result<DictionaryRegistry, CliError> {
    let registry = DictionaryRegistry::new();
    for path in paths {
        registry.insert(read_dictionary(path)?.into());
    }
    Ok(registry)
}

/// An output file under another name until it is complete, or standard output.
pub(crate) struct Output {
    writer: Option<BufWriter<Box<dyn Write>>>,
    /// The name now and the name to be.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Refuses a file that is there unless `force`.
    pub(crate) fn create(path: &Path, force: bool) -> Result<Output, CliError> {
        if is_standard(path) {
            let stdout: Box<dyn Write> = Box::new(io::stdout().lock());
            return Ok(Output {
                writer: Some(BufWriter::with_capacity(1 << 18, stdout)),
                names: None,
            });
        }
        match fs::symlink_metadata(path) {
            Ok(data) if data.is_dir() => {
                let line = format!("cannot write {}: it is a folder", path.display());
                return Err(CliError::new(line));
            }
            Ok(_) if !force => {
                let line = format!(
                    "cannot write {}: it exists (--force replaces it)",
                    path.display()
                );
                return Err(CliError::new(line));
            }
            _ => {}
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&partial);
        let file: Box<dyn Write> =
            Box::new(file.map_err(|source| CliError::io("create", &partial, &source))?);
        Ok(Output {
            writer: Some(BufWriter::with_capacity(1 << 18, file)),
            names: Some((partial, path.to_path_buf())),
        })
    }

    /// Writes out what is held and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        let target = match &self.names {
            Some((_, target)) => target.clone(),
            None => PathBuf::from("standard output"),
        };
        let failed = |source: io::Error| CliError::io("write", &target, &source);
        if let Some(mut writer) = self.writer.take() {
            writer.flush().map_err(failed)?;
        }
        if let Some((partial, target)) = &self.names {
            fs::rename(partial, target).map_err(failed)?;
        }
        self.names = None;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(writer) => writer.write(data),
            None => Ok(data.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.names {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(partial);
        }
    }
}
