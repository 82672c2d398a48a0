//! The plain twin of the archive's reader: it follows `docs/formats/sigma-archive.md` field by field on bytes
//! in memory, unpacks everything, and shares no parsing code with the reader.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, and lengths that were checked to be below 2^32"
)]

use std::ops::Range;

use crate::decode::reference::{self, Input};
use crate::dictionary::DictionaryRegistry;
use crate::error::SigmaError;
use crate::frame::{check32, hash128};
use crate::limits::Limits;

/// Path and content of every file of an archive, slowly. All files together are held to
/// `limits.output_bytes_max`, not each alone as by the reader: this twin unpacks them at once.
///
/// ```
/// use sigma_lang::{ArchiveWriter, Config, Limits, reference};
/// let mut writer = ArchiveWriter::new(Vec::new(), &Config::new())?;
/// writer.append("notes/a", &b"some words"[..])?;
/// let (bytes, _) = writer.finish()?;
/// let files = reference::read_archive(&bytes, &Limits::default())?;
/// assert_eq!(files, [("notes/a".to_string(), b"some words".to_vec())]);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// As [`ArchiveReader`](crate::ArchiveReader).
pub fn read_archive(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, SigmaError> {
    let mut input = Input { bytes, position: 0 };
    if input.take(4)? != b"SGAR" {
        return Err(SigmaError::NotSigma { offset: 0 });
    }
    let version = input.number(1)? as u8;
    if version != 1 {
        return Err(SigmaError::UnsupportedVersion {
            version,
            supported: 1,
        });
    }
    if input.number(3)? != 0 {
        return Err(input.corrupt("zeros of an archive"));
    }
    let index = find_index(bytes)?;
    let container = |range: Range<usize>, limits: &Limits| {
        let bytes = bytes.get(range).unwrap_or_default();
        reference::decompress(bytes, limits, &DictionaryRegistry::new(), None)
    };
    let index_max = limits.output_bytes_max.min(256 << 20);
    let packed_index = container(index.clone(), &limits.output_bytes_max(index_max))?;
    let chunks = container(8..index.start, limits)?;
    read_index(&packed_index, &chunks, limits)
}

/// Where the index lies, as the last 24 bytes say.
fn find_index(bytes: &[u8]) -> Result<Range<usize>, SigmaError> {
    let end = bytes.len().saturating_sub(24).max(8);
    let mut input = Input {
        bytes,
        position: end,
    };
    let (start, length) = (input.number(8)?, input.number(8)?);
    let covered = bytes.get(end..end + 16).unwrap_or_default();
    let check = input.number(4)?;
    if input.take(4)? != b"SGAE" || check != u64::from(check32(covered)) {
        return Err(input.corrupt("end of an archive"));
    }
    if length > 256 << 20 || start < 8 || start.checked_add(length) != Some(end as u64) {
        return Err(input.corrupt("place of the index"));
    }
    Ok(start as usize..end)
}

fn read_index(
    index: &[u8],
    chunks: &[u8],
    limits: &Limits,
) -> Result<Vec<(String, Vec<u8>)>, SigmaError> {
    let mut input = Input {
        bytes: index,
        position: 0,
    };
    let left = |input: &Input<'_>| (index.len() - input.position) as u64;
    let number = input.varint()?;
    if number > left(&input) {
        return Err(input.corrupt("number of chunks"));
    }
    let mut places = vec![0];
    let mut place = 0;
    for _ in 0..number {
        let length = input.varint()?;
        if !(1..=65_536).contains(&length) {
            return Err(input.corrupt("length of a chunk"));
        }
        place += length as usize;
        places.push(place);
    }
    if place != chunks.len() {
        return Err(input.corrupt("chunks do not add up"));
    }
    let number = input.varint()?;
    if number > left(&input) / 20 {
        return Err(input.corrupt("number of entries"));
    }
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut total = 0;
    for _ in 0..number {
        let (path, content) = read_entry(&mut input, &places, chunks, limits, &mut total)?;
        if files.iter().any(|(other, _)| *other == path) {
            return Err(input.corrupt("path is there twice"));
        }
        files.push((path, content));
    }
    if input.position != index.len() {
        return Err(input.corrupt("bytes follow the last entry"));
    }
    Ok(files)
}

fn read_entry(
    input: &mut Input<'_>,
    places: &[usize],
    chunks: &[u8],
    limits: &Limits,
    total: &mut u64,
) -> Result<(String, Vec<u8>), SigmaError> {
    let path_bytes = input.varint()?;
    if !(1..=4096).contains(&path_bytes) {
        return Err(input.corrupt("length of a path"));
    }
    let path = String::from_utf8(input.take(path_bytes as usize)?.to_vec());
    let path = path.map_err(|_| input.corrupt("path is not UTF-8"))?;
    let bad_part = |part: &str| matches!(part, "" | "." | "..");
    let bad_character = |c: char| matches!(c, '\\' | ':') || c.is_control();
    if path.split('/').any(bad_part) || path.chars().any(bad_character) {
        return Err(input.corrupt("path is not a plain relative one"));
    }
    let content_bytes = input.varint()?;
    let hash = u128::from(input.number(8)?) | u128::from(input.number(8)?) << 64;
    let runs = input.varint()?;
    if runs > (input.bytes.len() - input.position) as u64 / 2 {
        return Err(input.corrupt("number of runs"));
    }
    let mut parts = Vec::new();
    let mut sum = 0u64;
    for _ in 0..runs {
        let (first, count) = (input.varint()?, input.varint()?);
        let place = |chunk: Option<u64>| places.get(usize::try_from(chunk?).ok()?).copied();
        let (start, end) = (place(Some(first)), place(first.checked_add(count)));
        let (Some(start), Some(end), 1..) = (start, end, count) else {
            return Err(input.corrupt("run of chunks"));
        };
        sum = sum.saturating_add((end - start) as u64);
        parts.push(start..end);
    }
    if sum != content_bytes {
        return Err(input.corrupt("length of an entry"));
    }
    *total = total.saturating_add(content_bytes);
    limits.check_output(*total)?;
    let parts = parts
        .into_iter()
        .map(|part| chunks.get(part).unwrap_or_default());
    let content = parts.collect::<Vec<_>>().concat();
    if hash128(&content) != hash {
        return Err(input.corrupt("hash of an entry"));
    }
    Ok((path, content))
}
