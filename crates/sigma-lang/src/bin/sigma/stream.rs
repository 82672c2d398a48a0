//! `compress` and `decompress`.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sigma_lang::{Config, Decoder, Decompressor, Encoder, Level, Limits, Reader};

use crate::args::{Compress, Decompress};
use crate::error::{CliError, stream_error};
use crate::files::{Output, is_standard, open, open_file, read_dictionaries, read_dictionary};
use crate::report::{Report, Table, Watched, ratio};

pub(crate) fn compress(command: &Compress, report: &Report) -> Result<(), CliError> {
    let mut config = Config::new()
        .level(Level::Zstd(command.level))
        .frame_bytes(usize::try_from(command.frame_bytes).unwrap_or(usize::MAX))
        .threads(command.threads)
        .plain_frames_only(command.plain);
    if let Some(path) = &command.dictionary {
        config = config.dictionary(Arc::new(read_dictionary(path)?));
    }
    // Settings are checked before the output is touched.
    sigma_lang::Compressor::new(&config)?;
    let output_path = match &command.output {
        Some(path) => path.clone(),
        None if is_standard(&command.input) => PathBuf::from("-"),
        None => with_suffix(&command.input),
    };
    let input = &command.input;
    let (source, length) = open(input)?;
    let output = Output::create(&output_path, command.force)?;
    let mut source = watched(source, length, report);
    let mut encoder = Encoder::new(Counting::new(output), &config)?;
    copy(&mut source, &mut encoder, input, &output_path)?;
    let counting = encoder.finish()?;
    let (content_bytes, packed_bytes) = (source.bytes, counting.bytes);
    source.bar.finish_and_clear();
    counting.inner.finish()?;
    summary(report, &output_path, content_bytes, packed_bytes);
    Ok(())
}

pub(crate) fn decompress(command: &Decompress, report: &Report) -> Result<(), CliError> {
    let input = &command.input;
    let limits = Limits::default().output_bytes_max(command.output_bytes_max);
    let decompressor =
        Decompressor::new(limits).with_dictionaries(read_dictionaries(&command.dictionary)?);
    let output_path = match (&command.output, input.extension()) {
        (Some(path), _) => path.clone(),
        (None, _) if is_standard(input) => PathBuf::from("-"),
        (None, Some(extension)) if extension == "sigma" => input.with_extension(""),
        (None, _) => {
            return Err(CliError::new(format!(
                "{} does not end in .sigma: name the output with --output",
                input.display()
            )));
        }
    };
    let (content_bytes, packed_bytes);
    if let Some((start, end)) = command.range {
        let file = open_file(input)?;
        let length = file.metadata().map_or(0, |data| data.len());
        let failed = |error| CliError::on(input, &error);
        let mut reader =
            Reader::open_with(io::BufReader::new(file), decompressor).map_err(failed)?;
        let content = reader.read_range(start..end).map_err(failed)?;
        let mut output = Output::create(&output_path, command.force)?;
        output
            .write_all(&content)
            .map_err(|source| CliError::io("write", &output_path, &source))?;
        output.finish()?;
        (content_bytes, packed_bytes) = (content.len() as u64, length);
    } else {
        let (source, length) = open(input)?;
        let mut output = Output::create(&output_path, command.force)?;
        let mut decoder = Decoder::with_decompressor(watched(source, length, report), decompressor);
        content_bytes = copy(&mut decoder, &mut output, input, &output_path)?;
        let mut source = decoder.into_inner();
        packed_bytes = source.bytes;
        let mut more = [0];
        if source.read(&mut more).is_ok_and(|read| read > 0) {
            let line = format!("{}: bytes follow the end of the container", input.display());
            return Err(CliError::new(line));
        }
        source.bar.finish_and_clear();
        output.finish()?;
    }
    summary(report, &output_path, content_bytes, packed_bytes);
    Ok(())
}

fn watched<R: Read>(inner: R, length: Option<u64>, report: &Report) -> Watched<R> {
    Watched {
        inner,
        bar: report.bar(length),
        bytes: 0,
    }
}

/// Copies everything and names the right file where one side fails.
fn copy(
    source: &mut impl Read,
    sink: &mut impl Write,
    source_path: &Path,
    sink_path: &Path,
) -> Result<u64, CliError> {
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(stream_error(source_path, &error)),
        };
        let piece = buffer.get(..read).unwrap_or_default();
        sink.write_all(piece)
            .map_err(|error| stream_error(sink_path, &error))?;
        bytes += read as u64;
    }
}

fn summary(report: &Report, output: &Path, content_bytes: u64, packed_bytes: u64) {
    let ratio = ratio(content_bytes, packed_bytes);
    let mut table = Table::new(&["output", "content B", "container B", "ratio"]);
    table.row(vec![
        output.display().to_string(),
        content_bytes.to_string(),
        packed_bytes.to_string(),
        format!("{ratio:.3}"),
    ]);
    let json = json!({
        "output": output.display().to_string(),
        "content_bytes": content_bytes,
        "container_bytes": packed_bytes,
        "ratio": ratio,
    });
    report.print(is_standard(output), &table, &json);
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sigma");
    PathBuf::from(name)
}

/// A writer that counts.
struct Counting {
    inner: Output,
    bytes: u64,
}

impl Counting {
    fn new(inner: Output) -> Self {
        Counting { inner, bytes: 0 }
    }
}

impl Write for Counting {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
