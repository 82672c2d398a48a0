//! The plain twin of the decoder of records, for [`reference`](super::reference): it follows the
//! format page and shares no code with the fast one.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, and lengths of at most a byte's value"
)]

use std::io::Read;

use super::reference::{Input, Shared, content_allowed, over, read_zstd};
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::check32;
use crate::limits::Limits;

/// Decompresses one record, slowly. The dictionary is the one that the record was made with, if
/// any.
///
/// # Errors
/// As
/// [`Decompressor::decompress_record_with_dictionary`](crate::Decompressor::decompress_record_with_dictionary).
pub fn decompress_record(
    bytes: &[u8],
    limits: &Limits,
    dictionary: Option<&Dictionary>,
) -> Result<Vec<u8>, SigmaError> {
    let mut input = Input { bytes, position: 0 };
    let head = input.number(1)?;
    let (form, check) = (head & 7, head & 8 != 0);
    let (uses_dictionary, names_dictionary) = (head & 16 != 0, head & 32 != 0);
    let (names_version, packed) = (head & 64 != 0, form == 4 || form == 5);
    if form > 5 {
        return Err(SigmaError::UnknownTag {
            what: "record",
            offset: 0,
            tag: form as u8,
        });
    }
    if head & 0x80 != 0
        || (names_dictionary && names_version)
        || ((names_dictionary || names_version) && !uses_dictionary)
        || (form == 0 && uses_dictionary)
        || (packed && !uses_dictionary)
    {
        return Err(input.corrupt("flags of a record"));
    }
    if names_dictionary {
        let id = input.number(8)?;
        if dictionary.is_none_or(|own| own.id() != id) {
            return Err(SigmaError::DictionaryMissing { id });
        }
    }
    if names_version {
        let version = input.varint()?;
        if !(1..=u64::from(u32::MAX)).contains(&version) {
            return Err(input.corrupt("dictionary version of a record"));
        }
    }
    if uses_dictionary && dictionary.is_none() {
        return Err(SigmaError::DictionaryRequired);
    }
    let left = bytes.len() - input.position;
    let Some(body_bytes) = left.checked_sub(if check { 4 } else { 0 }) else {
        return Err(input.corrupt("record is too short"));
    };
    let mut content = Vec::new();
    if form == 0 {
        content_allowed(limits, body_bytes as u64, 0)?;
        content.extend_from_slice(input.take(body_bytes)?);
    } else if form >= 3 {
        let block = record_block(&mut input, form, body_bytes)?;
        content = one_block(&block, dictionary.filter(|_| uses_dictionary), &input)?;
        content_allowed(limits, content.len() as u64, 0)?;
        over(
            limits.window_bytes_max,
            content.len() as u64,
            "window of a record",
        )?;
        over(
            limits.ratio_max,
            (content.len() as u64).div_ceil(body_bytes as u64),
            "expansion of a record",
        )?;
    } else {
        let frame = record_frame(&mut input, form, body_bytes)?;
        let mut frame_input = Input {
            bytes: &frame,
            position: 0,
        };
        let shared = match dictionary.filter(|_| uses_dictionary) {
            Some(dictionary) => Shared::Dictionary(dictionary.as_bytes().to_vec()),
            None => Shared::Nothing,
        };
        let stated = read_zstd(&mut frame_input, limits, &shared, false, &mut content)?;
        over(
            limits.ratio_max,
            stated.div_ceil(body_bytes as u64),
            "expansion of a record",
        )?;
        if frame_input.position != frame.len() {
            return Err(input.corrupt("bytes follow the frame"));
        }
    }
    if check && input.number(4)? != u64::from(check32(&content)) {
        return Err(input.corrupt("checksum of a record"));
    }
    Ok(content)
}

/// The zstd block of a record of form 3, 4 or 5.
fn record_block(
    input: &mut Input<'_>,
    form: u64,
    body_bytes: usize,
) -> Result<Vec<u8>, SigmaError> {
    if !(1..=131_069).contains(&body_bytes) {
        return Err(input.corrupt("length of a block"));
    }
    if form == 3 {
        return Ok(input.take(body_bytes)?.to_vec());
    }
    let end = input.position + body_bytes;
    let regenerated = input.number(1)?;
    let mut block = Vec::new();
    let stored = if form == 5 {
        let stored = input.number(1)?;
        let header = 3 | regenerated << 4 | stored << 14;
        block.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
        stored
    } else {
        let header = 4 | regenerated << 4;
        block.extend_from_slice(header.to_le_bytes().get(..2).unwrap_or_default());
        regenerated
    };
    let left = end.saturating_sub(input.position) as u64;
    if stored >= left {
        return Err(input.corrupt("literals of a block"));
    }
    block.extend_from_slice(input.take(stored as usize)?);
    let sequences = input.number(1)? as u8;
    if !(1..=127).contains(&sequences) {
        return Err(input.corrupt("sequences of a block"));
    }
    block.extend_from_slice(&[sequences, 0xFC]);
    block.extend_from_slice(input.take(end - input.position)?);
    Ok(block)
}

/// The content of a zstd block, as the only one of a frame with a window of 128 KiB.
fn one_block(
    block: &[u8],
    dictionary: Option<&Dictionary>,
    input: &Input<'_>,
) -> Result<Vec<u8>, SigmaError> {
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 0x38];
    let header = (block.len() as u64) << 3 | 2 << 1 | 1;
    frame.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
    frame.extend_from_slice(block);
    let bytes = dictionary.map_or(&[][..], Dictionary::as_bytes);
    let failed = |_| input.corrupt("zstd block");
    let mut decoder = zstd::stream::read::Decoder::with_dictionary(frame.as_slice(), bytes)
        .map_err(failed)?
        .single_frame();
    let mut content = Vec::new();
    (&mut decoder)
        .take(131_073)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if !(1..=131_072).contains(&content.len()) || !decoder.finish().is_empty() {
        return Err(input.corrupt("content of a block"));
    }
    Ok(content)
}

/// The zstd frame of a record of form 1 or 2.
fn record_frame(
    input: &mut Input<'_>,
    form: u64,
    body_bytes: usize,
) -> Result<Vec<u8>, SigmaError> {
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD];
    if form == 2 {
        frame.extend_from_slice(input.take(body_bytes)?);
        return Ok(frame);
    }
    let body_end = input.position + body_bytes;
    let content_bytes = input.varint()?;
    let Some(block_bytes) = body_end.checked_sub(input.position) else {
        return Err(input.corrupt("record is too short"));
    };
    if !(1..=131_072).contains(&content_bytes) || !(1..=131_071).contains(&block_bytes) {
        return Err(input.corrupt("lengths of a record"));
    }
    // Single segment, content length in 4 bytes; then the header of a last, compressed block.
    frame.push(0xA0);
    frame.extend_from_slice(content_bytes.to_le_bytes().get(..4).unwrap_or_default());
    let block = (block_bytes as u64) << 3 | 2 << 1 | 1;
    frame.extend_from_slice(block.to_le_bytes().get(..3).unwrap_or_default());
    frame.extend_from_slice(input.take(block_bytes)?);
    Ok(frame)
}
