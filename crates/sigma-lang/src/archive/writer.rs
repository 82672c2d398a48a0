//! An archive written file by file.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_seed};

use super::chunker::{CHUNK_BYTES_MAX, cut};
use super::index::{ArchiveEntry, END_BYTES, END_MAGIC, FRONT_BYTES, Index, MAGIC, VERSION};
use super::path::check_path;
use crate::config::Config;
use crate::encode::{Encoder, compress};
use crate::error::SigmaError;
use crate::frame::check32;

/// Content read ahead while a file is cut.
const READ_BYTES: usize = 4 * CHUNK_BYTES_MAX;

/// Writes an archive to `W`: files one after the other, each part that came before kept once.
///
/// Holds one frame of content, 48 bytes per chunk (about 8 KiB of new content) and the entries. The
/// bytes depend on the content and the order of the files only.
///
/// ```
/// use std::io::Cursor;
/// use sigma_lang::{ArchiveReader, ArchiveWriter, Config};
/// let mut writer = ArchiveWriter::new(Vec::new(), &Config::new())?;
/// writer.append("notes/one.txt", &b"the plan"[..])?;
/// writer.append("notes/two.txt", &b"the plan"[..])?;
/// let (archive, summary) = writer.finish()?;
/// assert_eq!((summary.content_bytes, summary.unique_bytes), (16, 8));
///
/// let mut reader = ArchiveReader::open(Cursor::new(archive))?;
/// assert_eq!(reader.entries()[1].path, "notes/two.txt");
/// let mut content = Vec::new();
/// reader.copy(1, &mut content)?;
/// assert_eq!(content, b"the plan");
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
pub struct ArchiveWriter<W: Write> {
    encoder: Encoder<Counted<W>>,
    index: Index,
    paths: HashSet<String>,
    /// Chunks by hash. The seed is new in every process, so that nobody can prepare two chunks of one
    /// hash.
    chunks: HashMap<u128, u32>,
    seed: u64,
    buffer: Vec<u8>,
}

/// What [`ArchiveWriter::finish`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveSummary {
    /// Number of files.
    pub entries: usize,
    /// Number of different chunks.
    pub chunks: usize,
    /// Content of all files in bytes.
    pub content_bytes: u64,
    /// Content of all different chunks in bytes.
    pub unique_bytes: u64,
    /// Length of the archive in bytes.
    pub archive_bytes: u64,
}

impl<W: Write> fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveWriter")
            .field("entries", &self.index.entries.len())
            .field("chunks", &self.chunks.len())
            .finish_non_exhaustive()
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive. A dictionary in `config` is refused: an archive stands alone.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`]; [`SigmaError::Io`] if the writer fails.
    pub fn new(inner: W, config: &Config) -> Result<ArchiveWriter<W>, SigmaError> {
        if config.dictionary.is_some() {
            return Err(SigmaError::InvalidConfig {
                name: "dictionary of an archive",
                value: 1,
                allowed: "no dictionary",
            });
        }
        let mut inner = Counted { inner, bytes: 0 };
        let mut front = MAGIC.to_vec();
        front.extend_from_slice(&[VERSION, 0, 0, 0]);
        inner.write_all(&front).map_err(write_failed)?;
        Ok(ArchiveWriter {
            encoder: Encoder::new(inner, config)?,
            index: Index {
                offsets: vec![0],
                entries: Vec::new(),
            },
            paths: HashSet::new(),
            chunks: HashMap::new(),
            seed: RandomState::new().hash_one(0),
            buffer: Vec::new(),
        })
    }

    /// Appends a file. Its content is read to the end. After an error of `content` the archive goes on
    /// without the file; after an error of the writer it does not.
    ///
    /// # Errors
    /// [`SigmaError::ArchivePathRefused`] for a path that is not plain and relative, or there already;
    /// [`SigmaError::Io`]; [`SigmaError::LimitExceeded`] after 2^32 - 1 chunks.
    pub fn append(
        &mut self,
        path: &str,
        mut content: impl Read,
    ) -> Result<&ArchiveEntry, SigmaError> {
        check_path(path)?;
        if self.paths.contains(path) {
            return Err(SigmaError::ArchivePathRefused {
                path: path.to_string(),
                detail: "it is there already",
            });
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let result = self.append_content(&mut content, &mut buffer);
        self.buffer = buffer;
        let (content_bytes, hash, runs) = result?;
        self.paths.insert(path.to_string());
        self.index.entries.push(ArchiveEntry {
            path: path.to_string(),
            content_bytes,
            hash,
            runs,
        });
        self.index.entries.last().ok_or(SigmaError::StreamFailed {
            operation: "append to an archive",
        })
    }

    /// Cuts `content` into chunks: its length, its hash, and the runs of chunks.
    #[expect(clippy::type_complexity, reason = "the three parts of an entry")]
    fn append_content(
        &mut self,
        content: &mut impl Read,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, u128, Vec<(u32, u32)>), SigmaError> {
        let mut hasher = Xxh3::new();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let (mut content_bytes, mut start, mut ended) = (0, 0, false);
        loop {
            if !ended && buffer.len() - start < CHUNK_BYTES_MAX {
                buffer.drain(..start);
                start = 0;
                let wanted = (READ_BYTES - buffer.len()) as u64;
                let read = content.by_ref().take(wanted).read_to_end(buffer);
                let read = read.map_err(|source| SigmaError::Io {
                    operation: "read a file for an archive",
                    source,
                })?;
                ended = (read as u64) < wanted;
            }
            let rest = buffer.get(start..).unwrap_or_default();
            if rest.is_empty() {
                return Ok((content_bytes, hasher.digest128(), runs));
            }
            let chunk = rest.get(..cut(rest)).unwrap_or(rest);
            hasher.update(chunk);
            let number = self.place(chunk)?;
            match runs.last_mut() {
                Some((first, count)) if first.checked_add(*count) == Some(number) => *count += 1,
                _ => runs.push((number, 1)),
            }
            content_bytes += chunk.len() as u64;
            start += chunk.len();
        }
    }

    /// Number of the chunk, which is written if it is new.
    fn place(&mut self, chunk: &[u8]) -> Result<u32, SigmaError> {
        let hash = xxh3_128_with_seed(chunk, self.seed);
        if let Some(number) = self.chunks.get(&hash) {
            return Ok(*number);
        }
        let Ok(number) = u32::try_from(self.chunks.len()) else {
            return Err(SigmaError::LimitExceeded {
                what: "number of chunks",
                value: self.chunks.len() as u64,
                allowed: u64::from(u32::MAX),
                unit: "chunks",
            });
        };
        self.encoder.write_all(chunk).map_err(write_failed)?;
        let end = self.index.offsets.last().copied().unwrap_or(0) + chunk.len() as u64;
        self.index.offsets.push(end);
        self.chunks.insert(hash, number);
        Ok(number)
    }

    /// Writes the index and the end, flushes the writer and gives it back.
    ///
    /// # Errors
    /// [`SigmaError::Io`] if the writer fails.
    pub fn finish(self) -> Result<(W, ArchiveSummary), SigmaError> {
        let mut inner = self.encoder.finish()?;
        let index_at = inner.bytes;
        let mut plain = Vec::new();
        self.index.write(&mut plain);
        let packed = compress(&plain, &Config::new().transforms(false))?;
        let mut end = packed;
        let index_bytes = end.len() as u64;
        let fields = end.len();
        end.extend_from_slice(&index_at.to_le_bytes());
        end.extend_from_slice(&index_bytes.to_le_bytes());
        let check = check32(end.get(fields..).unwrap_or_default());
        end.extend_from_slice(&check.to_le_bytes());
        end.extend_from_slice(&END_MAGIC);
        inner.write_all(&end).map_err(write_failed)?;
        inner.flush().map_err(write_failed)?;
        debug_assert_eq!(inner.bytes, index_at + index_bytes + END_BYTES as u64);
        debug_assert!(index_at >= FRONT_BYTES as u64);
        let entries = &self.index.entries;
        let summary = ArchiveSummary {
            entries: entries.len(),
            chunks: self.chunks.len(),
            content_bytes: entries.iter().map(|entry| entry.content_bytes).sum(),
            unique_bytes: self.index.offsets.last().copied().unwrap_or(0),
            archive_bytes: inner.bytes,
        };
        Ok((inner.inner, summary))
    }
}

/// A writer that knows its offset.
#[derive(Debug)]
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_failed(source: io::Error) -> SigmaError {
    SigmaError::Io {
        operation: "write an archive",
        source,
    }
}
