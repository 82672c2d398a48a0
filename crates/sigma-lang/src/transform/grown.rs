//! Content that begins with a part of the base (tag 5): the part is named, not compressed, and only what
//! came after it goes through zstd, with the neighbourhood of the part's end as history.

use std::fmt;
use std::io::Cursor as IoCursor;

use zstd_safe::{CCtx, CParameter, DCtx, FrameFormat, ResetDirective};

use super::FAST_LEVEL_MAX;
use crate::error::SigmaError;
use crate::frame::{Cursor, FrameHeader, ZSTD_MAGIC, write_varint};

/// Shorter common beginnings are left to zstd.
const COPY_BYTES_MIN: usize = 1 << 10;
/// Largest window that the frame of a rest may declare.
const WINDOW_BYTES_MAX: u64 = 1 << 27;
/// Shorter rests are stored: a zstd frame would not be shorter.
const CODED_BYTES_MIN: usize = 12;
/// History on each side of the end of the copy: this many times the rest, within these bounds. What follows
/// in a grown context repeats what is near; more of the base costs time to index.
const HISTORY_FACTOR: usize = 8;
const HISTORY_BYTES_MIN: usize = 16 << 10;
const HISTORY_BYTES_MAX: usize = 1 << 20;

/// History and rest up to this length go through tables of 64 KiB in all: to clear larger ones takes longer
/// than to compress a turn.
const SHORT_BYTES_MAX: usize = 24 << 10;
const SHORT_TABLE_LOG: u32 = 13;

/// A payload taken apart.
#[derive(Debug)]
pub(crate) struct Grown<'p, 'b> {
    copied: &'b [u8],
    history: &'b [u8],
    rest: &'p [u8],
    /// Length of the rest's content if it is a zstd frame.
    coded: Option<usize>,
}

/// Compresses what came after the copy.
pub(crate) struct GrownEncoder<'b> {
    context: CCtx<'b>,
    /// Whether speed comes first.
    fast: bool,
}

impl fmt::Debug for GrownEncoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrownEncoder").finish_non_exhaustive()
    }
}

impl<'b> GrownEncoder<'b> {
    pub(crate) fn new(zstd_level: i32) -> Result<Self, SigmaError> {
        match CCtx::try_create() {
            Some(context) => GrownEncoder::with_context(context, zstd_level),
            None => Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            }),
        }
    }

    /// With a context that was used before.
    pub(crate) fn with_context(mut context: CCtx<'b>, zstd_level: i32) -> Result<Self, SigmaError> {
        for parameter in [
            CParameter::CompressionLevel(zstd_level),
            CParameter::Format(FrameFormat::Magicless),
            CParameter::DeterministicRefPrefix(true),
        ] {
            context
                .set_parameter(parameter)
                .map_err(|code| SigmaError::codec("set up a compressor", code))?;
        }
        Ok(GrownEncoder {
            context,
            fast: (1..=FAST_LEVEL_MAX).contains(&zstd_level),
        })
    }

    /// The context, with nothing set, to be used again for another base.
    pub(crate) fn into_context(self) -> Result<CCtx<'static>, SigmaError> {
        free_context(self.context)
    }

    /// Appends the payload of `content`, which begins with the `copied` bytes of `base` from `start` on.
    pub(crate) fn encode(
        &mut self,
        base: &'b [u8],
        start: usize,
        copied: usize,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        const COMPRESS: &str = "compress what follows a base";
        let rest = content.get(copied..).unwrap_or_default();
        write_varint(start as u64, out);
        write_varint(copied as u64, out);
        if rest.is_empty() {
            return Ok(());
        }
        let reach = (HISTORY_FACTOR * rest.len()).clamp(HISTORY_BYTES_MIN, HISTORY_BYTES_MAX);
        let history_start = (start + copied).saturating_sub(reach);
        let history_end = (start + copied).saturating_add(reach).min(base.len());
        let history = base.get(history_start..history_end).unwrap_or_default();
        write_varint(history_start as u64, out);
        write_varint(history.len() as u64, out);
        if rest.len() >= CODED_BYTES_MIN {
            let before = out.len();
            out.push(1);
            let body = out.len();
            let failed = |code| SigmaError::codec(COMPRESS, code);
            let bound = zstd_safe::compress_bound(rest.len());
            out.try_reserve(bound)
                .map_err(|_| SigmaError::AllocationFailed {
                    what: "output",
                    bytes: bound as u64,
                })?;
            if self.fast {
                // 0 stands for what the level says.
                let short = history.len() + rest.len() <= SHORT_BYTES_MAX;
                let log = if short { SHORT_TABLE_LOG } else { 0 };
                for parameter in [CParameter::HashLog(log), CParameter::ChainLog(log)] {
                    self.context.set_parameter(parameter).map_err(failed)?;
                }
            }
            self.context.ref_prefix(history).map_err(failed)?;
            let mut tail = IoCursor::new(&mut *out);
            tail.set_position(body as u64);
            let coded = self.context.compress2(&mut tail, rest).map_err(failed)?;
            if coded + 5 < rest.len() {
                return Ok(());
            }
            out.truncate(before);
        }
        out.push(0);
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// Resets a context and frees it of the life of its base. To make one takes 20 to 80 us on a virtual
/// machine, because zstd asks the processor what it is: longer than to compress a turn of a context.
#[allow(
    unsafe_code,
    reason = "the life of a parameter cannot be changed otherwise"
)]
pub(crate) fn free_context(mut context: CCtx<'_>) -> Result<CCtx<'static>, SigmaError> {
    context
        .reset(ResetDirective::SessionAndParameters)
        .map_err(|code| SigmaError::codec("reset a compressor", code))?;
    // SAFETY: the two types differ only in the life of what the context refers to, and the reset of
    // session and parameters, right before, dropped every reference (`ZSTD_CCtx_reset`).
    Ok(unsafe { std::mem::transmute::<CCtx<'_>, CCtx<'static>>(context) })
}

/// Length of the common beginning of `content` and of `base` from `start` on, if it is worth naming.
pub(crate) fn copied_bytes(base: &[u8], start: usize, content: &[u8]) -> Option<usize> {
    const BLOCK: usize = 256;
    let from = base.get(start..)?;
    let blocks = from.chunks(BLOCK).zip(content.chunks(BLOCK));
    let equal = blocks.take_while(|(own, other)| own == other).count() * BLOCK;
    let equal = equal.min(from.len()).min(content.len());
    let more = from.iter().zip(content).skip(equal);
    let copied = equal + more.take_while(|(own, other)| own == other).count();
    (copied >= COPY_BYTES_MIN && 2 * copied >= content.len()).then_some(copied)
}

/// Takes the payload of a frame of `content_bytes` apart. It begins at `offset`.
pub(crate) fn parse<'p, 'b>(
    payload: &'p [u8],
    offset: u64,
    base: Option<&'b [u8]>,
    content_bytes: usize,
) -> Result<Grown<'p, 'b>, SigmaError> {
    let corrupt = |detail| SigmaError::Corrupt {
        what: "payload of a frame",
        offset,
        detail,
    };
    let Some(base) = base else {
        return Err(corrupt(
            "frame copies from a base, and the header names none",
        ));
    };
    let mut cursor = Cursor::new(payload, offset);
    let mut part = |what| {
        let start = usize::try_from(cursor.varint(what)?).unwrap_or(usize::MAX);
        let bytes = usize::try_from(cursor.varint(what)?).unwrap_or(usize::MAX);
        let part = start
            .checked_add(bytes)
            .and_then(|end| base.get(start..end));
        part.ok_or_else(|| corrupt("part of the base reaches past its end"))
    };
    let copied = part("copied part of the base")?;
    if copied.is_empty() || copied.len() > content_bytes {
        return Err(corrupt("copied part is empty or longer than the content"));
    }
    if copied.len() == content_bytes {
        if cursor.rest().is_empty() {
            return Ok(Grown {
                copied,
                history: &[],
                rest: &[],
                coded: None,
            });
        }
        return Err(corrupt("bytes follow a whole copy"));
    }
    let history = part("history")?;
    let rest_bytes = content_bytes - copied.len();
    let coded = match cursor.u8("kind of the rest")? {
        0 => None,
        1 => Some(rest_bytes),
        _ => return Err(corrupt("kind of the rest is not 0 or 1")),
    };
    let rest = cursor.rest();
    if coded.is_none() && rest.len() != rest_bytes {
        return Err(corrupt("stored rest is not as long as the content needs"));
    }
    Ok(Grown {
        copied,
        history,
        rest,
        coded,
    })
}

impl<'b> Grown<'_, 'b> {
    /// Appends the content to `out`, which has room for it. On an error `out` may hold part of it.
    pub(crate) fn append(
        &self,
        context: &mut DCtx<'b>,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        out.extend_from_slice(self.copied);
        let Some(rest_bytes) = self.coded else {
            out.extend_from_slice(self.rest);
            return Ok(());
        };
        let corrupt = |detail| SigmaError::Corrupt {
            what: "payload of a frame",
            offset,
            detail,
        };
        let failed = |code| corrupt(zstd_safe::get_error_name(code));
        let mut frame = Vec::with_capacity(4 + self.rest.len());
        frame.extend_from_slice(&ZSTD_MAGIC.to_le_bytes());
        frame.extend_from_slice(self.rest);
        let header = FrameHeader::parse(&frame, offset)?;
        if header.content_bytes != Some(rest_bytes as u64) || header.window_bytes > WINDOW_BYTES_MAX
        {
            return Err(corrupt("rest states another length or too large a window"));
        }
        if zstd_safe::find_frame_compressed_size(&frame) != Ok(frame.len()) {
            return Err(corrupt("rest is not one zstd frame"));
        }
        context.ref_prefix(self.history).map_err(failed)?;
        // Room for exactly the rest: the buffer behind may be longer.
        let start = out.len();
        out.resize(start + rest_bytes, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let written = context.decompress(room, &frame).map_err(failed)?;
        if written != rest_bytes {
            return Err(corrupt("rest does not decode to its length"));
        }
        Ok(())
    }
}
