//! One frame of a container, plain or tagged: its shape, without decoding it.

use super::checksum::{append_with_noise_check32, check32, noise_check32};
use super::cursor::Cursor;
use super::varint::{LengthGap, write_varint};
use super::zstd_frame::{FrameHeader, ZSTD_MAGIC, frame_bytes_max, skip_blocks};
use crate::error::SigmaError;
use crate::limits::{FORMAT_FRAME_BYTES_MAX, FORMAT_RATIO_MAX};

/// Magic of a tagged frame.
pub(crate) const TAGGED_MAGIC: [u8; 4] = *b"SGF1";
/// A zstd frame.
pub(crate) const TAG_PLAIN: u8 = 0;
/// The content itself.
pub(crate) const TAG_STORED: u8 = 1;
/// Elements of equal width as byte planes.
pub(crate) const TAG_PLANES: u8 = 2;
/// Text as templates and columns.
pub(crate) const TAG_TEMPLATES: u8 = 3;
/// The content itself, with a faster check.
pub(crate) const TAG_NOISE: u8 = 4;
/// A part of the base, then what came after it.
pub(crate) const TAG_GROWN: u8 = 5;
/// Numbers as columns.
pub(crate) const TAG_NUMBERS: u8 = 6;
/// As [`TAG_PLANES`], with a faster check.
pub(crate) const TAG_CHECKED_PLANES: u8 = 7;
/// Whole tokens, what comes again as references.
pub(crate) const TAG_TOKENS: u8 = 8;
/// The last tag that this version knows.
const TAG_LAST: u8 = TAG_TOKENS;

/// Whether the payload of a frame with this tag is the content.
pub(crate) fn is_stored(tag: u8) -> bool {
    tag == TAG_STORED || tag == TAG_NOISE
}

/// Check of the content of a frame with this tag.
pub(crate) fn check_for(tag: u8, content: &[u8]) -> u32 {
    if matches!(tag, TAG_NOISE | TAG_NUMBERS..=TAG_TOKENS) {
        noise_check32(content)
    } else {
        check32(content)
    }
}

/// Shape of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartInfo {
    pub(crate) tag: u8,
    /// Length of the whole frame in the container.
    pub(crate) frame_bytes: usize,
    /// Where the payload begins in the frame.
    pub(crate) payload_start: usize,
    /// Length of the payload of a tagged frame.
    pub(crate) payload_bytes: usize,
    /// Length of the content.
    pub(crate) content_bytes: u32,
    /// Declared window; for a tagged frame the content.
    pub(crate) window_bytes: u64,
    /// Stored check of the content.
    pub(crate) check: u32,
}

impl PartInfo {
    /// Reads the frame at the start of `bytes`, which begin at `offset` in the whole.
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Result<PartInfo, SigmaError> {
        let magic = Cursor::new(bytes, offset).u32("frame")?;
        if magic == ZSTD_MAGIC {
            parse_plain(bytes, offset)
        } else if magic == u32::from_le_bytes(TAGGED_MAGIC) {
            parse_tagged(bytes, offset)
        } else {
            Err(corrupt(
                offset,
                "magic of neither a zstd frame nor a tagged frame",
            ))
        }
    }
}

/// Checks a plain frame's header against the format: the content length.
pub(crate) fn check_plain_header(header: &FrameHeader, offset: u64) -> Result<u32, SigmaError> {
    if !header.checksum {
        return Err(corrupt(offset, "zstd frame has no content checksum"));
    }
    let Some(content_bytes) = header.content_bytes else {
        return Err(corrupt(
            offset,
            "zstd frame does not state its content length",
        ));
    };
    check_content_bytes(content_bytes, offset)
}

/// Checks a stated content length against the format.
fn check_content_bytes(content_bytes: u64, offset: u64) -> Result<u32, SigmaError> {
    match u32::try_from(content_bytes) {
        Ok(bytes) if bytes > 0 && content_bytes <= FORMAT_FRAME_BYTES_MAX => Ok(bytes),
        _ => Err(corrupt(offset, "content length is not 1..=2^30 bytes")),
    }
}

fn parse_plain(bytes: &[u8], offset: u64) -> Result<PartInfo, SigmaError> {
    let header = FrameHeader::parse(bytes, offset)?;
    let content_bytes = check_plain_header(&header, offset)?;
    let mut cursor = Cursor::new(bytes, offset);
    cursor.take(header.header_bytes, "zstd frame header")?;
    skip_blocks(
        &mut cursor,
        offset + frame_bytes_max(u64::from(content_bytes)),
    )?;
    let check = cursor.u32("zstd frame checksum")?;
    let frame_bytes = bytes.len() - cursor.rest().len();
    if u64::from(content_bytes) > FORMAT_RATIO_MAX.saturating_mul(frame_bytes as u64) {
        return Err(corrupt(
            offset,
            "content length is more than zstd can expand to",
        ));
    }
    Ok(PartInfo {
        tag: TAG_PLAIN,
        frame_bytes,
        payload_start: 0,
        payload_bytes: frame_bytes,
        content_bytes,
        window_bytes: header.window_bytes,
        check,
    })
}

/// What a tagged frame says before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaggedHead {
    pub(crate) tag: u8,
    pub(crate) content_bytes: u32,
    pub(crate) payload_bytes: u32,
}

impl TaggedHead {
    /// Varints between the tag and the payload.
    pub(crate) fn lengths(tag: u8) -> usize {
        if is_stored(tag) { 1 } else { 2 }
    }
}

/// Reads a tagged frame up to its payload.
pub(crate) fn check_tagged_head(bytes: &[u8], offset: u64) -> Result<TaggedHead, SigmaError> {
    read_tagged_head(&mut Cursor::new(bytes, offset))
}

fn read_tagged_head(cursor: &mut Cursor<'_>) -> Result<TaggedHead, SigmaError> {
    let offset = cursor.offset();
    cursor.take(TAGGED_MAGIC.len(), "tagged frame")?;
    let tag = cursor.u8("frame tag")?;
    check_tag(tag, offset + 4)?;
    let content_bytes = check_content_bytes(cursor.varint("frame content length")?, offset)?;
    let mut payload_bytes = content_bytes;
    if !is_stored(tag) {
        let stated = cursor.varint("frame payload length")?;
        payload_bytes = match u32::try_from(stated) {
            Ok(bytes) if bytes <= content_bytes => bytes,
            _ => return Err(corrupt(offset, "payload is longer than the content")),
        };
        if u64::from(content_bytes) > FORMAT_RATIO_MAX * (stated + 1) {
            return Err(corrupt(offset, "content is over 32768 times the payload"));
        }
    }
    Ok(TaggedHead {
        tag,
        content_bytes,
        payload_bytes,
    })
}

/// Refuses a tag that this version does not know, at `offset`.
pub(crate) fn check_tag(tag: u8, offset: u64) -> Result<(), SigmaError> {
    if (TAG_STORED..=TAG_LAST).contains(&tag) {
        return Ok(());
    }
    Err(SigmaError::UnknownTag {
        what: "frame",
        offset,
        tag,
    })
}

fn parse_tagged(bytes: &[u8], offset: u64) -> Result<PartInfo, SigmaError> {
    let mut cursor = Cursor::new(bytes, offset);
    let head = read_tagged_head(&mut cursor)?;
    let payload_start = bytes.len() - cursor.rest().len();
    cursor.take(head.payload_bytes as usize, "frame payload")?;
    let check = cursor.u32("frame checksum")?;
    Ok(PartInfo {
        tag: head.tag,
        frame_bytes: bytes.len() - cursor.rest().len(),
        payload_start,
        payload_bytes: head.payload_bytes as usize,
        content_bytes: head.content_bytes,
        window_bytes: u64::from(head.content_bytes),
        check,
    })
}

/// Length of a stored frame of this content.
pub(crate) fn stored_frame_bytes(content_bytes: usize) -> usize {
    let bits = usize::BITS - content_bytes.max(1).leading_zeros();
    TAGGED_MAGIC.len() + 1 + (bits as usize).div_ceil(7) + content_bytes + 4
}

/// Appends a frame that holds `content` as it is; gives its check.
pub(crate) fn write_stored_frame(content: &[u8], out: &mut Vec<u8>) -> u32 {
    write_stored_frame_with(content, out, |_| {})
}

/// The same, with a look at each block of [`NOISE_BLOCK_BYTES`](super::NOISE_BLOCK_BYTES) on the way.
pub(crate) fn write_stored_frame_with(
    content: &[u8],
    out: &mut Vec<u8>,
    look: impl FnMut(&[u8]),
) -> u32 {
    out.extend_from_slice(&TAGGED_MAGIC);
    out.push(TAG_NOISE);
    write_varint(content.len() as u64, out);
    let check = append_with_noise_check32(content, out, look);
    out.extend_from_slice(&check.to_le_bytes());
    check
}

/// Appends the frame of a transform up to its payload, with room for the payload's length, which is
/// at most that of the content. Behind the payload follows the check of the content.
pub(crate) fn open_transformed_frame(
    tag: u8,
    content_bytes: usize,
    out: &mut Vec<u8>,
) -> LengthGap {
    out.extend_from_slice(&TAGGED_MAGIC);
    out.push(tag);
    write_varint(content_bytes as u64, out);
    LengthGap::open(content_bytes, out)
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "frame",
        offset,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_length_is_exact() {
        for bytes in [
            1usize, 127, 128, 240, 241, 1024, 1025, 4096, 4097, 5121, 16_383, 16_384, 100_000,
        ] {
            let content: Vec<u8> = (0..bytes).map(|n| (n * n / 7).to_le_bytes()[0]).collect();
            let mut out = Vec::new();
            let check = write_stored_frame(&content, &mut out);
            assert_eq!(out.len(), stored_frame_bytes(bytes));
            assert_eq!(check, noise_check32(&content));
        }
    }
}
