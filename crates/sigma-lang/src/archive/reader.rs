//! An archive read file by file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use xxhash_rust::xxh3::Xxh3;

use super::index::{
    ArchiveEntry, END_BYTES, END_MAGIC, FRONT_BYTES, Index, MAGIC, VERSION, corrupt,
};
use crate::decode::{Decompressor, Reader, decompress};
use crate::error::SigmaError;
use crate::frame::check32;
use crate::limits::Limits;

/// Longest index that is read, packed and unpacked.
const INDEX_BYTES_MAX: u64 = 256 << 20;
/// Content read at a time.
const STEP_BYTES: u64 = 1 << 20;

/// Reads the files of an archive, each on its own. See [`ArchiveWriter`](crate::ArchiveWriter) for an
/// example.
///
/// Opening reads the index (at most 256 MiB; memory is at most about eight times its packed length or
/// its content, whichever is more); a file reads the frames that its chunks are in. Every path was
/// checked on opening: relative, no `..`, no backslash, no colon.
#[derive(Debug)]
pub struct ArchiveReader<R: Read + Seek> {
    chunks: Reader<Section<R>>,
    index: Index,
}

impl<R: Read + Seek> ArchiveReader<R> {
    /// Opens an archive that begins at the start of `inner` and ends with it; default limits.
    ///
    /// # Errors
    /// [`SigmaError::NotSigma`], [`SigmaError::UnsupportedVersion`],
    /// [`SigmaError::ArchivePathRefused`], [`SigmaError::Io`], and as [`decompress`](crate::decompress)
    /// for a damaged or hostile archive.
    pub fn open(inner: R) -> Result<ArchiveReader<R>, SigmaError> {
        ArchiveReader::open_with(inner, Limits::default())
    }

    /// As [`ArchiveReader::open`] with `limits`; `output_bytes_max` holds for each file and for the
    /// index.
    ///
    /// # Errors
    /// As [`ArchiveReader::open`].
    pub fn open_with(mut inner: R, limits: Limits) -> Result<ArchiveReader<R>, SigmaError> {
        let end = inner.seek(SeekFrom::End(0)).map_err(read_failed)?;
        let needed = (FRONT_BYTES + END_BYTES) as u64;
        let front = read_at(&mut inner, 0, (FRONT_BYTES as u64).min(end))?;
        check_front(&front)?;
        if end < needed {
            return Err(SigmaError::Truncated {
                what: "archive",
                offset: 0,
                needed,
                available: end,
            });
        }
        let tail_at = end - END_BYTES as u64;
        let tail = read_at(&mut inner, tail_at, END_BYTES as u64)?;
        let (index_at, index_bytes) = parse_end(&tail, tail_at)?;
        if index_bytes > INDEX_BYTES_MAX {
            return Err(SigmaError::LimitExceeded {
                what: "archive index",
                value: index_bytes,
                allowed: INDEX_BYTES_MAX,
                unit: "bytes",
            });
        }
        let packed = read_at(&mut inner, index_at, index_bytes)?;
        let allowed = limits.output_bytes_max.min(INDEX_BYTES_MAX);
        let index = Index::parse(&decompress(&packed, &limits.output_bytes_max(allowed))?)?;
        drop(packed);
        let section = Section {
            inner,
            start: FRONT_BYTES as u64,
            bytes: index_at - FRONT_BYTES as u64,
            position: 0,
        };
        // Ranges are read in steps, so the limit on the output is held to per file here.
        let chunks = Reader::open_with(section, Decompressor::new(limits))?;
        if index.offsets.last().copied() != Some(chunks.content_bytes()) {
            return Err(corrupt(0, "chunks do not add up to the content"));
        }
        Ok(ArchiveReader { chunks, index })
    }

    /// The files, in the order in which they were appended.
    pub fn entries(&self) -> &[ArchiveEntry] {
        &self.index.entries
    }

    /// Number of the file with this path.
    pub fn find(&self, path: &str) -> Option<usize> {
        let mut entries = self.index.entries.iter();
        entries.position(|entry| entry.path == path)
    }

    /// Content of all different chunks in bytes.
    pub fn unique_bytes(&self) -> u64 {
        self.chunks.content_bytes()
    }

    /// Number of different chunks.
    pub fn chunks(&self) -> usize {
        self.index.offsets.len().saturating_sub(1)
    }

    /// Writes the content of a file to `out`; gives its length. On an error `out` may have got a part.
    ///
    /// # Errors
    /// [`SigmaError::ArchiveEntryMissing`]; [`SigmaError::LimitExceeded`] if the file is longer than
    /// `output_bytes_max`, before anything is written; [`SigmaError::ChecksumMismatch`] and as
    /// [`Reader::read_range`](crate::Reader::read_range) for damage; [`SigmaError::Io`].
    pub fn copy(&mut self, index: usize, mut out: impl Write) -> Result<u64, SigmaError> {
        let entries = self.index.entries.len();
        let Some(entry) = self.index.entries.get(index) else {
            return Err(SigmaError::ArchiveEntryMissing { index, entries });
        };
        self.chunks.limits().check_output(entry.content_bytes)?;
        let step = STEP_BYTES.min(self.chunks.limits().output_bytes_max).max(1);
        let mut hasher = Xxh3::new();
        let mut buffer = Vec::new();
        for (first, count) in &entry.runs {
            let place = |chunk: usize| self.index.offsets.get(chunk).copied().unwrap_or(0);
            let (mut from, to) = (
                place(*first as usize),
                place(*first as usize + *count as usize),
            );
            while from < to {
                let until = to.min(from + step);
                buffer.clear();
                self.chunks.read_range_into(from..until, &mut buffer)?;
                hasher.update(&buffer);
                out.write_all(&buffer).map_err(|source| SigmaError::Io {
                    operation: "write a file of an archive",
                    source,
                })?;
                from = until;
            }
        }
        let computed = hasher.digest128();
        if computed != entry.hash {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low half for the message"
            )]
            return Err(SigmaError::ChecksumMismatch {
                what: "content of an archive entry",
                offset: 0,
                stored: entry.hash as u64,
                computed: computed as u64,
            });
        }
        Ok(entry.content_bytes)
    }
}

fn check_front(front: &[u8]) -> Result<(), SigmaError> {
    if !front.starts_with(&MAGIC) {
        return Err(SigmaError::NotSigma { offset: 0 });
    }
    match front.get(MAGIC.len()..) {
        Some([VERSION, 0, 0, 0]) => Ok(()),
        Some([VERSION, ..]) => Err(SigmaError::Corrupt {
            what: "archive",
            offset: 5,
            detail: "reserved bytes are not 0",
        }),
        Some([version, ..]) => Err(SigmaError::UnsupportedVersion {
            version: *version,
            supported: VERSION,
        }),
        _ => Err(SigmaError::NotSigma { offset: 0 }),
    }
}

/// Offset and length of the index, which ends where the end begins.
fn parse_end(tail: &[u8], at: u64) -> Result<(u64, u64), SigmaError> {
    const WHAT: &str = "end of an archive";
    let mut cursor = crate::frame::Cursor::new(tail, at);
    let fields = tail.get(..16).unwrap_or_default();
    let [index_at, index_bytes] = [cursor.u64(WHAT)?, cursor.u64(WHAT)?];
    let stored = cursor.u32(WHAT)?;
    let bad = |offset, detail| SigmaError::Corrupt {
        what: WHAT,
        offset,
        detail,
    };
    if cursor.take(4, WHAT)? != END_MAGIC {
        return Err(bad(at + 20, "magic is missing at the end"));
    }
    let computed = check32(fields);
    if stored != computed {
        return Err(SigmaError::ChecksumMismatch {
            what: WHAT,
            offset: at,
            stored: u64::from(stored),
            computed: u64::from(computed),
        });
    }
    if index_at < FRONT_BYTES as u64 || index_at.checked_add(index_bytes) != Some(at) {
        return Err(bad(at, "index does not lie between the chunks and the end"));
    }
    Ok((index_at, index_bytes))
}

/// Exactly `bytes` bytes from `offset`. Memory grows only as bytes arrive.
fn read_at<R: Read + Seek>(inner: &mut R, offset: u64, bytes: u64) -> Result<Vec<u8>, SigmaError> {
    inner.seek(SeekFrom::Start(offset)).map_err(read_failed)?;
    let mut out = Vec::new();
    let available = inner
        .take(bytes)
        .read_to_end(&mut out)
        .map_err(read_failed)? as u64;
    if available < bytes {
        return Err(SigmaError::Truncated {
            what: "archive",
            offset,
            needed: bytes,
            available,
        });
    }
    Ok(out)
}

/// A part of a reader as a reader of its own.
#[derive(Debug)]
struct Section<R> {
    inner: R,
    start: u64,
    bytes: u64,
    position: u64,
}

impl<R: Read + Seek> Read for Section<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.saturating_sub(self.position);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let Some(room) = out.get_mut(..wanted).filter(|room| !room.is_empty()) else {
            return Ok(0);
        };
        self.inner
            .seek(SeekFrom::Start(self.start + self.position))?;
        let read = self.inner.read(room)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Section<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        match target.filter(|target| target.checked_add(self.start).is_some()) {
            Some(target) => {
                self.position = target;
                Ok(target)
            }
            None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }
}

fn read_failed(source: io::Error) -> SigmaError {
    SigmaError::Io {
        operation: "read an archive",
        source,
    }
}
