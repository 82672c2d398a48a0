//! The plain twin of the decoder: it follows `docs/formats/sigma-lang.md` from the first byte to
//! the last, one frame after the other, and shares no parsing code with the fast decoder. Tests and
//! fuzzing hold both to the same answers.
//!
//! It uses zstd's streaming decoder, which finds the end of a frame by itself.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, low halves, and lengths that were checked to be below 2^31"
)]

use std::io::Read;

pub use super::reference_record::decompress_record;
pub use crate::archive::reference::read_archive;
use crate::dictionary::DictionaryRegistry;
use crate::error::SigmaError;
use crate::frame::{check32, hash128};
use crate::limits::Limits;
pub use crate::session::reference::decompress_session;

/// Decompresses one whole container, slowly.
///
/// ```
/// use sigma_lang::{Config, DictionaryRegistry, Limits, reference};
/// let packed = sigma_lang::compress(b"plain words", &Config::new())?;
/// let content = reference::decompress(&packed, &Limits::default(), &DictionaryRegistry::new(), None)?;
/// assert_eq!(content, b"plain words");
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// As [`decompress_with_base`](crate::decompress_with_base).
pub fn decompress(
    bytes: &[u8],
    limits: &Limits,
    dictionaries: &DictionaryRegistry,
    base: Option<&[u8]>,
) -> Result<Vec<u8>, SigmaError> {
    let mut input = Input { bytes, position: 0 };
    let header = read_header(&mut input)?;
    let shared = find_shared(&header, dictionaries, base)?;
    let mut content = Vec::new();
    // For the seek table: length, content length and check of each frame.
    let mut entries = vec![[input.position as u64, 0, u64::from(check32(&[]))]];
    let frames_max = match (header.table, header.content_bytes) {
        (true, _) => u64::MAX,
        (false, Some(0)) => 0,
        (false, _) => 1,
    };
    while (entries.len() as u64) <= frames_max {
        let start = input.position;
        let magic = input.peek(4)?;
        if header.table && magic == [0x54, 0x2A, 0x4D, 0x18] {
            break;
        }
        over(limits.frames_max, entries.len() as u64, "number of frames")?;
        let before = content.len();
        let mut by_xxh3 = false;
        match magic {
            [0x28, 0xB5, 0x2F, 0xFD] => read_plain(&mut input, limits, &shared, &mut content)?,
            b"SGF1" => by_xxh3 = read_tagged(&mut input, limits, &shared, &mut content)?,
            _ => return Err(input.corrupt("frame magic")),
        }
        let frame_bytes = (input.position - start) as u64;
        let content_bytes = (content.len() - before) as u64;
        over(
            limits.ratio_max,
            content_bytes.div_ceil(frame_bytes),
            "expansion of a frame",
        )?;
        let made = content.get(before..).unwrap_or_default();
        let check = if by_xxh3 {
            xxhash_rust::xxh3::xxh3_64(made) as u32
        } else {
            check32(made)
        };
        entries.push([frame_bytes, content_bytes, u64::from(check)]);
    }
    if header
        .content_bytes
        .is_some_and(|stated| stated != content.len() as u64)
    {
        return Err(input.corrupt("content length of the header"));
    }
    if header.table {
        entries.push([24, 0, u64::from(check32(&[]))]);
        read_end(&mut input, &entries, content.len() as u64)?;
    }
    if input.position != bytes.len() {
        return Err(input.corrupt("bytes follow the end"));
    }
    Ok(content)
}

struct Header {
    content_bytes: Option<u64>,
    dictionary: Option<u128>,
    base: Option<u128>,
    table: bool,
}

fn read_header(input: &mut Input<'_>) -> Result<Header, SigmaError> {
    if input.take(4)? != [0x53, 0x2A, 0x4D, 0x18] {
        return Err(SigmaError::NotSigma { offset: 0 });
    }
    let payload_bytes = input.number(4)?;
    if !(9..=64).contains(&payload_bytes) {
        return Err(input.corrupt("header length"));
    }
    let end = input.position + payload_bytes as usize;
    if input.take(3)? != b"SGL" {
        return Err(SigmaError::NotSigma { offset: 8 });
    }
    let version = input.number(1)? as u8;
    if version != 1 {
        return Err(SigmaError::UnsupportedVersion {
            version,
            supported: 1,
        });
    }
    let flags = input.number(1)?;
    if flags & 0xF0 != 0 || flags & 6 == 6 {
        return Err(input.corrupt("header flags"));
    }
    let content_bytes = if flags & 1 != 0 {
        Some(input.varint()?)
    } else {
        None
    };
    let dictionary = if flags & 2 != 0 {
        Some(input.hash()?)
    } else {
        None
    };
    let base = if flags & 4 != 0 {
        Some(input.hash()?)
    } else {
        None
    };
    let check = u64::from(check32(
        input.bytes.get(..input.position).unwrap_or_default(),
    ));
    if input.number(4)? != check || input.position != end {
        return Err(input.corrupt("header checksum or length"));
    }
    Ok(Header {
        content_bytes,
        dictionary,
        base,
        table: flags & 8 != 0,
    })
}

/// What the frames share with earlier data.
pub(super) enum Shared {
    Nothing,
    Dictionary(Vec<u8>),
    Base(Vec<u8>),
}

impl Shared {
    fn base(&self) -> Option<&[u8]> {
        match self {
            Shared::Base(base) => Some(base),
            Shared::Nothing | Shared::Dictionary(_) => None,
        }
    }
}

fn find_shared(
    header: &Header,
    dictionaries: &DictionaryRegistry,
    base: Option<&[u8]>,
) -> Result<Shared, SigmaError> {
    if let Some(hash) = header.dictionary {
        let id = hash as u64;
        return match dictionaries.get(id).filter(|found| found.hash() == hash) {
            Some(dictionary) => Ok(Shared::Dictionary(dictionary.to_bytes())),
            None => Err(SigmaError::DictionaryMissing { id }),
        };
    }
    let Some(expected) = header.base else {
        return Ok(Shared::Nothing);
    };
    let Some(base) = base else {
        return Err(SigmaError::BaseRequired { expected });
    };
    let found = hash128(base);
    if found != expected {
        return Err(SigmaError::BaseMismatch { expected, found });
    }
    Ok(Shared::Base(base.to_vec()))
}

fn read_plain(
    input: &mut Input<'_>,
    limits: &Limits,
    shared: &Shared,
    content: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let start = input.position;
    let stated = read_zstd(input, limits, shared, true, content)?;
    let frame_bytes = (input.position - start) as u64;
    if frame_bytes > stated + stated / 128 + 1024 || stated > 32_768 * frame_bytes {
        return Err(input.corrupt("frame length"));
    }
    Ok(())
}

/// Appends the content of the zstd frame at the position; gives its length.
pub(super) fn read_zstd(
    input: &mut Input<'_>,
    limits: &Limits,
    shared: &Shared,
    wants_checksum: bool,
    content: &mut Vec<u8>,
) -> Result<u64, SigmaError> {
    let rest = input.bytes.get(input.position..).unwrap_or_default();
    let (stated, window, has_checksum) = zstd_header(rest).ok_or(input.corrupt("zstd header"))?;
    if has_checksum != wants_checksum || !(1..=1 << 30).contains(&stated) {
        return Err(
            input.corrupt("zstd frame without content length or with a wrong checksum flag")
        );
    }
    content_allowed(limits, stated, content.len() as u64)?;
    over(limits.window_bytes_max, window, "window of a frame")?;
    let failed = |_| input.corrupt("zstd frame");
    let mut decoder = match shared {
        Shared::Nothing => zstd::stream::read::Decoder::with_buffer(rest),
        Shared::Dictionary(bytes) => zstd::stream::read::Decoder::with_dictionary(rest, bytes),
        Shared::Base(base) => zstd::stream::read::Decoder::with_ref_prefix(rest, base),
    }
    .map_err(failed)?
    .single_frame();
    let before = content.len();
    // One byte more than stated shows a frame that is too long; the read also reaches the end of
    // the frame.
    let read = (&mut decoder)
        .take(stated + 1)
        .read_to_end(content)
        .map_err(failed)?;
    if (content.len() - before) as u64 != stated || read as u64 != stated {
        return Err(input.corrupt("content length of a frame"));
    }
    input.position = input.bytes.len() - decoder.finish().len();
    Ok(stated)
}

/// Content length, window and checksum flag of a zstd frame; `None` if cut, reserved or without
/// content length.
pub(super) fn zstd_header(frame: &[u8]) -> Option<(u64, u64, bool)> {
    let descriptor = *frame.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let mut position = 5;
    let mut window = 0;
    if !single_segment {
        let byte = *frame.get(position)?;
        let base = 1u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 7);
        position += 1;
    }
    position += [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let field_bytes = match descriptor >> 6 {
        0 if single_segment => 1,
        0 => return None,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let field = frame.get(position..position + field_bytes)?;
    let mut stated = little_endian(field);
    if field_bytes == 2 {
        stated += 256;
    }
    if single_segment {
        window = stated;
    }
    Some((stated, window, descriptor & 4 != 0))
}

/// Appends the content of the tagged frame at the position; says whether its check is that of XXH3.
fn read_tagged(
    input: &mut Input<'_>,
    limits: &Limits,
    shared: &Shared,
    content: &mut Vec<u8>,
) -> Result<bool, SigmaError> {
    let offset = input.position as u64 + 4;
    input.take(4)?;
    let tag = input.number(1)? as u8;
    if !(1..=8).contains(&tag) {
        return Err(SigmaError::UnknownTag {
            what: "frame",
            offset,
            tag,
        });
    }
    let stated = input.varint()?;
    if !(1..=1 << 30).contains(&stated) {
        return Err(input.corrupt("content length of a frame"));
    }
    content_allowed(limits, stated, content.len() as u64)?;
    over(limits.window_bytes_max, stated, "window of a frame")?;
    if tag == 1 || tag == 4 {
        content.extend_from_slice(input.take(stated as usize)?);
    } else {
        let payload_bytes = input.varint()?;
        if payload_bytes > stated || stated > 32_768 * (payload_bytes + 1) {
            return Err(input.corrupt("payload length of a frame"));
        }
        let payload = input.take(payload_bytes as usize)?;
        if tag == 5 {
            content.extend(super::reference_transforms::grown(
                payload,
                shared.base(),
                stated,
            )?);
        } else {
            content.extend(super::reference_transforms::decode(
                u64::from(tag),
                payload,
                stated as usize,
            )?);
        }
    }
    let made = content.get(content.len() - stated as usize..);
    let made = made.unwrap_or_default();
    let by_xxh3 = [4, 6, 7, 8].contains(&tag);
    let computed = if by_xxh3 {
        xxhash_rust::xxh3::xxh3_64(made) as u32
    } else {
        check32(made)
    };
    let (stated, computed) = (input.number(4)?, u64::from(computed));
    if stated != computed {
        return Err(SigmaError::ChecksumMismatch {
            what: "content of a frame",
            offset,
            stored: stated,
            computed,
        });
    }
    Ok(by_xxh3)
}

/// Reads trailer and seek table, which must be just what the frames make them.
fn read_end(
    input: &mut Input<'_>,
    entries: &[[u64; 3]],
    content_bytes: u64,
) -> Result<(), SigmaError> {
    let mut table = vec![0x5E, 0x2A, 0x4D, 0x18];
    let mut push = |value: u64, bytes: usize| {
        table.extend_from_slice(value.to_le_bytes().get(..bytes).unwrap_or_default());
    };
    push(12 * entries.len() as u64 + 9, 4);
    for value in entries.iter().flatten() {
        push(*value, 4);
    }
    push(entries.len() as u64, 4);
    push(0x80, 1);
    push(0x8F92_EAB1, 4);
    let mut covered = content_bytes.to_le_bytes().to_vec();
    covered.extend_from_slice(&table);
    let mut trailer = vec![0x54, 0x2A, 0x4D, 0x18, 16, 0, 0, 0];
    trailer.extend_from_slice(&content_bytes.to_le_bytes());
    trailer.extend_from_slice(&xxhash_rust::xxh64::xxh64(&covered, 0).to_le_bytes());
    if input.take(trailer.len())? != trailer || input.take(table.len())? != table {
        return Err(input.corrupt("trailer or seek table"));
    }
    Ok(())
}

pub(super) fn content_allowed(limits: &Limits, stated: u64, before: u64) -> Result<(), SigmaError> {
    over(limits.output_bytes_max, before + stated, "content")?;
    over(limits.frame_bytes_max, stated, "content of a frame")
}

pub(super) fn over(allowed: u64, value: u64, what: &'static str) -> Result<(), SigmaError> {
    if value <= allowed {
        return Ok(());
    }
    Err(SigmaError::LimitExceeded {
        what,
        value,
        allowed,
        unit: "bytes or frames",
    })
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Input<'a> {
    fn peek(&self, bytes: usize) -> Result<&'a [u8], SigmaError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        rest.get(..bytes).ok_or(SigmaError::Truncated {
            what: "container",
            offset: self.position as u64,
            needed: bytes as u64,
            available: rest.len() as u64,
        })
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], SigmaError> {
        let taken = self.peek(bytes)?;
        self.position += bytes;
        Ok(taken)
    }

    /// A little-endian number of 1 to 8 bytes.
    pub(crate) fn number(&mut self, bytes: usize) -> Result<u64, SigmaError> {
        Ok(little_endian(self.take(bytes)?))
    }

    fn hash(&mut self) -> Result<u128, SigmaError> {
        let low = self.number(8)?;
        let high = self.number(8)?;
        Ok(u128::from(high) << 64 | u128::from(low))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, SigmaError> {
        let mut value = 0u128;
        for index in 0..10 {
            let byte = self.number(1)?;
            value |= u128::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    break;
                }
                return u64::try_from(value).map_err(|_| self.corrupt("varint"));
            }
        }
        Err(self.corrupt("varint"))
    }

    pub(crate) fn corrupt(&self, detail: &'static str) -> SigmaError {
        SigmaError::Corrupt {
            what: "container",
            offset: self.position as u64,
            detail,
        }
    }
}
