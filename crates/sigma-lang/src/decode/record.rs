//! Records.

use std::sync::Arc;

use super::decompressor::Context;
use super::frame::FrameDecoder;
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::{
    BLOCK_BYTES_MAX, BlockHeader, Cursor, FrameHeader, ZSTD_MAGIC, check32, frame_bytes_max,
    skip_blocks,
};
use crate::limits::{FORMAT_FRAME_BYTES_MAX, FORMAT_RATIO_MAX};
use crate::record::{
    FLAG_CHECKSUM, FLAG_DICTIONARY, FLAG_DICTIONARY_ID, FLAG_DICTIONARY_VERSION, Form,
    UNPACKED_MORE_BYTES, unpack,
};

/// Appends the content of the record `bytes`. On an error `out` may hold part of it.
pub(super) fn decode(
    context: &Context,
    decoder: &mut FrameDecoder<'static>,
    scratch: &mut Vec<u8>,
    bytes: &[u8],
    given: Option<&Dictionary>,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let mut cursor = Cursor::new(bytes, 0);
    let head = cursor.u8("record")?;
    let form = Form::parse(head)?;
    let name = read_name(head, &mut cursor)?;
    let mut body = cursor;
    let mut stored_check = None;
    if head & FLAG_CHECKSUM != 0 {
        let rest = body.rest();
        let Some((front, check)) = rest.split_last_chunk::<4>() else {
            body.take(4, "record checksum")?;
            return Ok(());
        };
        stored_check = Some(u32::from_le_bytes(*check));
        body = Cursor::new(front, body.offset());
    }
    let start = out.len();
    let body_bytes = body.rest().len() as u64;
    match form {
        Form::Stored => append_stored(context, body.rest(), out)?,
        Form::Block | Form::Frame => {
            let content_bytes = rebuild(context, form, &mut body, scratch)?;
            let dictionary = find(context, name, given)?;
            out.try_reserve(content_bytes)
                .map_err(|_| SigmaError::AllocationFailed {
                    what: "content of a record",
                    bytes: content_bytes as u64,
                })?;
            decoder.append_record(scratch, content_bytes, dictionary.get(), out)?;
        }
        Form::Bare | Form::PackedRaw | Form::PackedTreeless => {
            rebuild_bare(form, &body, scratch)?;
            let dictionary = find(context, name, given)?;
            let allow = |content_bytes| allow_block(context, content_bytes, body_bytes);
            decoder.append_block(scratch, dictionary.get(), allow, out)?;
        }
    }
    let Some(stored) = stored_check else {
        return Ok(());
    };
    let computed = check32(out.get(start..).unwrap_or_default());
    if stored != computed {
        return Err(SigmaError::ChecksumMismatch {
            what: "content of a record",
            offset: 0,
            stored: u64::from(stored),
            computed: u64::from(computed),
        });
    }
    Ok(())
}

/// How a record names its dictionary.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// It uses none.
    None,
    /// One that both sides know.
    Implied,
    Id(u64),
    Version(u32),
}

fn read_name(head: u8, cursor: &mut Cursor<'_>) -> Result<Name, SigmaError> {
    if head & FLAG_DICTIONARY == 0 {
        return Ok(Name::None);
    }
    if head & FLAG_DICTIONARY_ID != 0 {
        return Ok(Name::Id(cursor.u64("record dictionary id")?));
    }
    if head & FLAG_DICTIONARY_VERSION == 0 {
        return Ok(Name::Implied);
    }
    let at = cursor.offset();
    match u32::try_from(cursor.varint("record dictionary version")?) {
        Ok(version) if version > 0 => Ok(Name::Version(version)),
        _ => Err(corrupt(at, "dictionary version is not 1..=2^32-1")),
    }
}

fn append_stored(context: &Context, content: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
    let bytes = content.len() as u64;
    context.limits.check_output(bytes)?;
    context.limits.check_frame(bytes, 0, bytes)?;
    out.try_reserve(content.len())
        .map_err(|_| SigmaError::AllocationFailed {
            what: "content of a record",
            bytes,
        })?;
    out.extend_from_slice(content);
    Ok(())
}

/// Leaves a whole zstd frame in `scratch`; gives the content length, which is within the limits.
fn rebuild(
    context: &Context,
    form: Form,
    body: &mut Cursor<'_>,
    scratch: &mut Vec<u8>,
) -> Result<usize, SigmaError> {
    scratch.clear();
    let start = body.offset();
    let body_bytes = body.rest().len() as u64;
    let (content_bytes, window_bytes) = if form == Form::Block {
        let stated = body.varint("record content length")?;
        let content_bytes = match u32::try_from(stated) {
            Ok(bytes) if (1..=BLOCK_BYTES_MAX as u64).contains(&stated) => bytes,
            _ => return Err(corrupt(start, "content length is not 1..=131072 bytes")),
        };
        let block_bytes = match u32::try_from(body.rest().len()) {
            Ok(bytes) if (1..BLOCK_BYTES_MAX).contains(&body.rest().len()) => bytes,
            _ => return Err(corrupt(body.offset(), "block is not 1..=131071 bytes")),
        };
        FrameHeader::write_single_segment(content_bytes, scratch);
        BlockHeader::write_last_compressed(block_bytes, scratch);
        (stated, stated)
    } else {
        scratch.extend_from_slice(&ZSTD_MAGIC.to_le_bytes());
        // The longest header has 14 bytes behind the magic; reading it first saves a copy of a bad
        // record.
        scratch.extend_from_slice(body.rest().get(..14).unwrap_or(body.rest()));
        let header = FrameHeader::parse(scratch, start)?;
        scratch.truncate(4);
        if header.checksum {
            return Err(corrupt(start, "frame of a record has a zstd checksum"));
        }
        let stated = match header.content_bytes {
            Some(stated) if (1..=FORMAT_FRAME_BYTES_MAX).contains(&stated) => stated,
            _ => {
                return Err(corrupt(
                    start,
                    "frame of a record does not state 1..=2^30 bytes",
                ));
            }
        };
        let mut blocks = Cursor::new(body.rest(), start);
        blocks.take(header.header_bytes - 4, "zstd frame header")?;
        skip_blocks(&mut blocks, start + frame_bytes_max(stated))?;
        if !blocks.rest().is_empty() {
            return Err(corrupt(
                blocks.offset(),
                "bytes follow the frame of a record",
            ));
        }
        (stated, header.window_bytes)
    };
    if content_bytes > FORMAT_RATIO_MAX.saturating_mul(body_bytes) {
        return Err(corrupt(
            start,
            "content length is more than zstd can expand to",
        ));
    }
    context.limits.check_output(content_bytes)?;
    context
        .limits
        .check_frame(content_bytes, window_bytes, body_bytes)?;
    let rest = body.rest();
    scratch
        .try_reserve(rest.len())
        .map_err(|_| SigmaError::AllocationFailed {
            what: "a record",
            bytes: rest.len() as u64,
        })?;
    scratch.extend_from_slice(rest);
    usize::try_from(content_bytes).map_err(|_| SigmaError::AllocationFailed {
        what: "content of a record",
        bytes: content_bytes,
    })
}

/// Leaves a zstd frame of one block in `scratch`: no stated content length, window of one block.
fn rebuild_bare(form: Form, body: &Cursor<'_>, scratch: &mut Vec<u8>) -> Result<(), SigmaError> {
    let offset = body.offset();
    let body = body.rest();
    if !(1..BLOCK_BYTES_MAX - UNPACKED_MORE_BYTES).contains(&body.len()) {
        return Err(corrupt(offset, "block is not 1..=131069 bytes"));
    }
    scratch.clear();
    scratch
        .try_reserve(body.len() + 16)
        .map_err(|_| SigmaError::AllocationFailed {
            what: "a record",
            bytes: body.len() as u64,
        })?;
    FrameHeader::write_one_block(scratch);
    let packed = form != Form::Bare;
    let block_bytes = body.len() + if packed { UNPACKED_MORE_BYTES } else { 0 };
    BlockHeader::write_last_compressed(u32::try_from(block_bytes).unwrap_or(0), scratch);
    if !packed {
        scratch.extend_from_slice(body);
    } else if !unpack(form == Form::PackedTreeless, body, scratch) {
        return Err(corrupt(
            offset,
            "lengths of the sections do not fit the block",
        ));
    }
    Ok(())
}

/// Holds the content that one block made to the limits.
fn allow_block(context: &Context, content_bytes: u64, body_bytes: u64) -> Result<(), SigmaError> {
    if content_bytes == 0 {
        return Err(corrupt(0, "block without content"));
    }
    context.limits.check_output(content_bytes)?;
    context
        .limits
        .check_frame(content_bytes, content_bytes, body_bytes)
}

/// A dictionary, borrowed or shared, or none.
enum Found<'d> {
    None,
    Given(&'d Dictionary),
    Shared(Arc<Dictionary>),
}

impl Found<'_> {
    fn get(&self) -> Option<&Dictionary> {
        match self {
            Found::None => None,
            Found::Given(dictionary) => Some(dictionary),
            Found::Shared(dictionary) => Some(dictionary),
        }
    }
}

fn find<'d>(
    context: &'d Context,
    name: Name,
    given: Option<&'d Dictionary>,
) -> Result<Found<'d>, SigmaError> {
    let own = given.or(context.dictionary.as_deref());
    match (name, own) {
        (Name::None, _) => Ok(Found::None),
        (Name::Implied, Some(dictionary)) => Ok(Found::Given(dictionary)),
        (Name::Implied, None) => Err(SigmaError::DictionaryRequired),
        (Name::Id(id), Some(dictionary)) if dictionary.id() == id => Ok(Found::Given(dictionary)),
        (Name::Id(id), _) => match context.dictionaries.get(id) {
            Some(dictionary) if given.is_none() => Ok(Found::Shared(dictionary)),
            _ => Err(SigmaError::DictionaryMissing { id }),
        },
        // A version means something within a registry only; a dictionary that is given is taken at
        // the caller's word.
        (Name::Version(version), _) => match (given, context.dictionaries.version(version)) {
            (Some(dictionary), _) => Ok(Found::Given(dictionary)),
            (None, Some(dictionary)) => Ok(Found::Shared(dictionary)),
            (None, None) => Err(SigmaError::DictionaryVersionMissing { version }),
        },
    }
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "record",
        offset,
        detail,
    }
}
