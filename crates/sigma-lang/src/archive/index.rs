//! Entries and their bytes.

use std::collections::HashSet;

use super::chunker::CHUNK_BYTES_MAX;
use super::path::check_path;
use crate::error::SigmaError;
use crate::frame::{Cursor, write_varint};

pub(super) const MAGIC: [u8; 4] = *b"SGAR";
pub(super) const END_MAGIC: [u8; 4] = *b"SGAE";
pub(super) const VERSION: u8 = 1;
/// Magic, version, three zeros.
pub(super) const FRONT_BYTES: usize = 8;
/// Offset and length of the index, check, magic.
pub(super) const END_BYTES: usize = 8 + 8 + 4 + 4;

const WHAT: &str = "archive index";
/// Least bytes that an entry takes in the index.
const ENTRY_BYTES_MIN: usize = 20;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveEntry {
    /// Plain relative path with `/` between its parts.
    pub path: String,
    /// Length of the content in bytes.
    pub content_bytes: u64,
    /// XXH3-128 of the content.
    pub hash: u128,
    /// Runs of chunks: first chunk and number of chunks.
    pub(super) runs: Vec<(u32, u32)>,
}

/// Chunks and entries.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where each chunk begins in the container of the chunks, and the end of the last one.
    pub(super) offsets: Vec<u64>,
    pub(super) entries: Vec<ArchiveEntry>,
}

impl Index {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let chunks = self.offsets.len().saturating_sub(1);
        write_varint(chunks as u64, out);
        for pair in self.offsets.windows(2) {
            if let [start, end] = pair {
                write_varint(end - start, out);
            }
        }
        write_varint(self.entries.len() as u64, out);
        for entry in &self.entries {
            write_varint(entry.path.len() as u64, out);
            out.extend_from_slice(entry.path.as_bytes());
            write_varint(entry.content_bytes, out);
            out.extend_from_slice(&entry.hash.to_le_bytes());
            write_varint(entry.runs.len() as u64, out);
            for (first, count) in &entry.runs {
                write_varint(u64::from(*first), out);
                write_varint(u64::from(*count), out);
            }
        }
    }

    /// Reads and checks an index. Memory stays in proportion to `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Index, SigmaError> {
        let mut cursor = Cursor::new(bytes, 0);
        let chunks = count(&mut cursor, 1)?;
        let mut offsets = Vec::with_capacity(chunks + 1);
        let mut end = 0;
        offsets.push(end);
        for _ in 0..chunks {
            let at = cursor.offset();
            let length = cursor.varint(WHAT)?;
            if !(1..=CHUNK_BYTES_MAX as u64).contains(&length) {
                return Err(corrupt(at, "chunk is not 1..=65536 bytes"));
            }
            end += length;
            offsets.push(end);
        }
        let number = count(&mut cursor, ENTRY_BYTES_MIN)?;
        let mut entries = Vec::with_capacity(number);
        let mut paths = HashSet::with_capacity(number);
        for _ in 0..number {
            let entry = parse_entry(&mut cursor, &offsets)?;
            if !paths.insert(entry.path.clone()) {
                return Err(SigmaError::ArchivePathRefused {
                    path: entry.path,
                    detail: "it is there twice",
                });
            }
            entries.push(entry);
        }
        if !cursor.rest().is_empty() {
            return Err(corrupt(cursor.offset(), "bytes follow the end"));
        }
        Ok(Index { offsets, entries })
    }
}

fn parse_entry(cursor: &mut Cursor<'_>, offsets: &[u64]) -> Result<ArchiveEntry, SigmaError> {
    let path_bytes = count(cursor, 1)?;
    let at = cursor.offset();
    let path = std::str::from_utf8(cursor.take(path_bytes, WHAT)?)
        .map_err(|_| corrupt(at, "path is not UTF-8"))?;
    check_path(path)?;
    let path = path.to_string();
    let content_bytes = cursor.varint(WHAT)?;
    let hash = cursor.u128(WHAT)?;
    let number = count(cursor, 2)?;
    let mut runs = Vec::with_capacity(number);
    let mut sum = 0u64;
    for _ in 0..number {
        let at = cursor.offset();
        let [first, chunks] = [cursor.varint(WHAT)?, cursor.varint(WHAT)?];
        let bounds = (u32::try_from(first), u32::try_from(chunks));
        let (Ok(first), Ok(chunks @ 1..)) = bounds else {
            return Err(corrupt(at, "run of chunks is empty or over 2^32"));
        };
        let start = offsets.get(first as usize);
        let end = offsets.get(first as usize + chunks as usize);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(corrupt(at, "run of chunks reaches past the last chunk"));
        };
        // Fewer than 2^32 runs of fewer than 2^48 bytes could overflow; nothing real comes near.
        sum = sum.saturating_add(end - start);
        runs.push((first, chunks));
    }
    if sum != content_bytes {
        return Err(corrupt(
            at,
            "chunks of an entry do not add up to its length",
        ));
    }
    Ok(ArchiveEntry {
        path,
        content_bytes,
        hash,
        runs,
    })
}

/// A number of things of at least `bytes_each` bytes, which must all be still to come.
fn count(cursor: &mut Cursor<'_>, bytes_each: usize) -> Result<usize, SigmaError> {
    let at = cursor.offset();
    let number = cursor.varint(WHAT)?;
    match usize::try_from(number) {
        Ok(number) if number <= cursor.rest().len() / bytes_each => Ok(number),
        _ => Err(corrupt(
            at,
            "number is more than the bytes that follow hold",
        )),
    }
}

pub(super) fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: WHAT,
        offset,
        detail,
    }
}
