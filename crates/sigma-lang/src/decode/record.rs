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
use crate::record::{FLAG_CHECKSUM, FLAG_DICTIONARY, FLAG_DICTIONARY_ID, Form};

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
    let id = match head & FLAG_DICTIONARY_ID {
        0 => None,
        _ => Some(cursor.u64("record dictionary id")?),
    };
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
    if form == Form::Stored {
        append_stored(context, body.rest(), out)?;
    } else {
        let content_bytes = rebuild(context, form, &mut body, scratch)?;
        let looked_up = match head & FLAG_DICTIONARY {
            0 => None,
            _ => Some(find(context, id, given)?),
        };
        let dictionary = looked_up.as_ref().map(Found::get);
        out.try_reserve(content_bytes)
            .map_err(|_| SigmaError::AllocationFailed {
                what: "content of a record",
                bytes: content_bytes as u64,
            })?;
        decoder.append_record(scratch, content_bytes, dictionary, out)?;
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

/// A dictionary, borrowed or shared.
enum Found<'d> {
    Given(&'d Dictionary),
    Shared(Arc<Dictionary>),
}

impl Found<'_> {
    fn get(&self) -> &Dictionary {
        match self {
            Found::Given(dictionary) => dictionary,
            Found::Shared(dictionary) => dictionary,
        }
    }
}

fn find<'d>(
    context: &'d Context,
    id: Option<u64>,
    given: Option<&'d Dictionary>,
) -> Result<Found<'d>, SigmaError> {
    let own = given.or(context.dictionary.as_deref());
    match (id, own) {
        (None, Some(dictionary)) => Ok(Found::Given(dictionary)),
        (None, None) => Err(SigmaError::DictionaryRequired),
        (Some(id), Some(dictionary)) if dictionary.id() == id => Ok(Found::Given(dictionary)),
        (Some(id), _) => match context.dictionaries.get(id) {
            Some(dictionary) if given.is_none() => Ok(Found::Shared(dictionary)),
            _ => Err(SigmaError::DictionaryMissing { id }),
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
