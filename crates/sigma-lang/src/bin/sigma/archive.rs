//! `archive`, `extract` and `list`.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::json;
use sigma_lang::{ArchiveEntry, ArchiveReader, ArchiveWriter, Config, Level, Limits};

use crate::args::{Archive, Extract, List};
use crate::error::CliError;
use crate::files::{Output, open_file};
use crate::report::{Report, Table, Watched, ratio};

pub(crate) fn archive(command: &Archive, report: &Report) -> Result<(), CliError> {
    let mut files = Vec::new();
    let mut skipped = 0u64;
    for input in &command.inputs {
        let Some(name) = input.file_name().and_then(|name| name.to_str()) else {
            let line = format!("{} has no name that an archive can keep", input.display());
            return Err(CliError::new(line));
        };
        collect(input, name.to_string(), &mut files, &mut skipped)?;
    }
    let config = Config::new().level(Level::Zstd(command.level));
    let output = Output::create(&command.output, command.force)?;
    let mut writer = ArchiveWriter::new(output, &config)?;
    let bar = report.bar(Some(files.iter().map(|file| file.bytes).sum()));
    for file in &files {
        let content = Watched {
            inner: open_file(&file.path)?,
            bar: bar.clone(),
            bytes: 0,
        };
        writer
            .append(&file.name, content)
            .map_err(|error| CliError::on(&file.path, &error))?;
    }
    let (output, summary) = writer.finish()?;
    output.finish()?;
    bar.finish_and_clear();
    let ratio = ratio(summary.content_bytes, summary.archive_bytes);
    let mut table = Table::new(&[
        "archive",
        "files",
        "content B",
        "unique B",
        "archive B",
        "ratio",
        "skipped",
    ]);
    table.row(vec![
        command.output.display().to_string(),
        summary.entries.to_string(),
        summary.content_bytes.to_string(),
        summary.unique_bytes.to_string(),
        summary.archive_bytes.to_string(),
        format!("{ratio:.3}"),
        skipped.to_string(),
    ]);
    let json = json!({
        "output": command.output.display().to_string(),
        "files": summary.entries,
        "chunks": summary.chunks,
        "content_bytes": summary.content_bytes,
        "unique_bytes": summary.unique_bytes,
        "archive_bytes": summary.archive_bytes,
        "ratio": ratio,
        "skipped": skipped,
    });
    report.print(false, &table, &json);
    Ok(())
}

/// A file to archive.
struct Found {
    path: PathBuf,
    name: String,
    bytes: u64,
}

/// Adds a file, or the files of a folder by name. What is neither (links, devices) is counted and left
/// out.
fn collect(
    path: &Path,
    name: String,
    files: &mut Vec<Found>,
    skipped: &mut u64,
) -> Result<(), CliError> {
    let failed = |source| CliError::io("read", path, &source);
    let data = fs::symlink_metadata(path).map_err(failed)?;
    if data.is_file() {
        files.push(Found {
            path: path.to_path_buf(),
            name,
            bytes: data.len(),
        });
        return Ok(());
    }
    if !data.is_dir() {
        *skipped += 1;
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut inner = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    inner.sort_by_key(fs::DirEntry::file_name);
    for entry in inner {
        let file_name = entry.file_name();
        let Some(part) = file_name.to_str() else {
            let line = format!("name of {} is not UTF-8", entry.path().display());
            return Err(CliError::new(line));
        };
        collect(&entry.path(), format!("{name}/{part}"), files, skipped)?;
    }
    Ok(())
}

fn open(path: &Path, limits: Limits) -> Result<ArchiveReader<BufReader<fs::File>>, CliError> {
    let file = BufReader::new(open_file(path)?);
    ArchiveReader::open_with(file, limits).map_err(|error| CliError::on(path, &error))
}

pub(crate) fn extract(command: &Extract, report: &Report) -> Result<(), CliError> {
    let limits = Limits::default().output_bytes_max(command.output_bytes_max);
    let mut reader = open(&command.input, limits)?;
    let chosen = choose(&reader, &command.paths)?;
    let total = chosen.iter().fold(0u64, |sum, (_, entry)| {
        sum.saturating_add(entry.content_bytes)
    });
    if total > command.output_bytes_max {
        return Err(CliError::new(format!(
            "{}: content is {total} bytes, limit is {} bytes (--output-bytes-max)",
            command.input.display(),
            command.output_bytes_max
        )));
    }
    let bar = report.bar(Some(total));
    for (index, entry) in &chosen {
        let target = place(&command.directory, &entry.path)?;
        let mut output = Output::create(&target, command.force)?;
        reader
            .copy(*index, &mut output)
            .map_err(|error| CliError::on(&target, &error))?;
        output.finish()?;
        bar.inc(entry.content_bytes);
    }
    bar.finish_and_clear();
    let mut table = Table::new(&["folder", "files", "content B"]);
    table.row(vec![
        command.directory.display().to_string(),
        chosen.len().to_string(),
        total.to_string(),
    ]);
    let json = json!({
        "directory": command.directory.display().to_string(),
        "files": chosen.len(),
        "content_bytes": total,
    });
    report.print(false, &table, &json);
    Ok(())
}

/// The entries with these paths, or all.
fn choose(
    reader: &ArchiveReader<BufReader<fs::File>>,
    paths: &[String],
) -> Result<Vec<(usize, ArchiveEntry)>, CliError> {
    if paths.is_empty() {
        return Ok(reader.entries().iter().cloned().enumerate().collect());
    }
    let find = |path: &String| {
        let index = reader.find(path);
        let entry = index.and_then(|index| Some((index, reader.entries().get(index)?.clone())));
        entry.ok_or_else(|| CliError::new(format!("{path} is not in the archive")))
    };
    paths.iter().map(find).collect()
}

/// Where an entry goes. Its folders are made; one that is a link is refused, because it could lead out
/// of the folder.
fn place(directory: &Path, path: &str) -> Result<PathBuf, CliError> {
    let mut target = directory.to_path_buf();
    let mut parts = path.split('/').peekable();
    fs::create_dir_all(directory).map_err(|source| CliError::io("create", directory, &source))?;
    while let Some(part) = parts.next() {
        target.push(part);
        if parts.peek().is_none() {
            break;
        }
        match fs::symlink_metadata(&target) {
            Ok(data) if data.is_dir() => {}
            Ok(_) => {
                let line = format!("cannot extract into {}: it is no folder", target.display());
                return Err(CliError::new(line));
            }
            Err(_) => fs::create_dir(&target)
                .map_err(|source| CliError::io("create", &target, &source))?,
        }
    }
    Ok(target)
}

pub(crate) fn list(command: &List, report: &Report) -> Result<(), CliError> {
    let reader = open(&command.input, Limits::default().output_bytes_max(u64::MAX))?;
    let mut table = Table::new(&["content B", "xxh3-128", "path"]);
    let mut entries = Vec::new();
    for entry in reader.entries() {
        let hash = format!("{:032x}", entry.hash);
        table.row(vec![
            entry.content_bytes.to_string(),
            hash.clone(),
            entry.path.clone(),
        ]);
        entries.push(json!({
            "path": entry.path,
            "content_bytes": entry.content_bytes,
            "xxh3_128": hash,
        }));
    }
    let json = json!({
        "unique_bytes": reader.unique_bytes(),
        "chunks": reader.chunks(),
        "files": entries,
    });
    report.print(false, &table, &json);
    Ok(())
}
