//! Headers of zstd frames and blocks (RFC 8878, sections 3.1.1.1 and 3.1.1.2), read and written.

use super::cursor::Cursor;
use crate::error::SigmaError;

/// Magic of a zstd frame.
pub(crate) const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// Most content bytes in one zstd block.
pub(crate) const BLOCK_BYTES_MAX: usize = 128 << 10;
/// Length of a block header.
pub(crate) const BLOCK_HEADER_BYTES: usize = 3;

/// What the header of a zstd frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the header, magic included.
    pub(crate) header_bytes: usize,
    pub(crate) single_segment: bool,
    pub(crate) checksum: bool,
    pub(crate) window_bytes: u64,
    pub(crate) content_bytes: Option<u64>,
}

/// Length of a frame header with this descriptor byte, magic included.
pub(crate) fn header_bytes(descriptor: u8) -> usize {
    let single_segment = descriptor & 0x20 != 0;
    5 + usize::from(!single_segment) + dictionary_bytes(descriptor) + content_field(descriptor)
}

fn dictionary_bytes(descriptor: u8) -> usize {
    match descriptor & 3 {
        3 => 4,
        size => usize::from(size),
    }
}

fn content_field(descriptor: u8) -> usize {
    match descriptor >> 6 {
        0 => usize::from(descriptor & 0x20 != 0),
        code => 1 << code,
    }
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`, which begin at `offset` in the whole.
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Result<FrameHeader, SigmaError> {
        const WHAT: &str = "zstd frame header";
        let mut cursor = Cursor::new(bytes, offset);
        if cursor.u32(WHAT)? != ZSTD_MAGIC {
            return Err(corrupt(offset, "magic is missing"));
        }
        let descriptor = cursor.u8(WHAT)?;
        if descriptor & 0x08 != 0 {
            return Err(corrupt(offset + 4, "reserved bit is set"));
        }
        let single_segment = descriptor & 0x20 != 0;
        let mut window_bytes = 0;
        if !single_segment {
            let window = cursor.u8(WHAT)?;
            let base = 1u64 << (10 + (window >> 3));
            window_bytes = base + base / 8 * u64::from(window & 7);
        }
        cursor.take(dictionary_bytes(descriptor), WHAT)?;
        let field = cursor.take(content_field(descriptor), WHAT)?;
        let content_bytes = match field.len() {
            0 => None,
            2 => Some(read_le(field) + 256),
            _ => Some(read_le(field)),
        };
        if single_segment {
            window_bytes = content_bytes.unwrap_or(0);
        }
        Ok(FrameHeader {
            header_bytes: header_bytes(descriptor),
            single_segment,
            checksum: descriptor & 0x04 != 0,
            window_bytes,
            content_bytes,
        })
    }

    /// Appends a header: window of 128 KiB (one block), no content length, checksum, dictionary id.
    pub(crate) fn write_one_block(out: &mut Vec<u8>) {
        out.extend_from_slice(&ZSTD_MAGIC.to_le_bytes());
        out.extend_from_slice(&[0, (17 - 10) << 3]);
    }

    /// Appends a header: single segment, no checksum, no dictionary id.
    pub(crate) fn write_single_segment(content_bytes: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&ZSTD_MAGIC.to_le_bytes());
        if let Ok(short) = u8::try_from(content_bytes) {
            out.extend_from_slice(&[0x20, short]);
        } else if let Ok(field) = u16::try_from(content_bytes - 256) {
            out.push(0x60);
            out.extend_from_slice(&field.to_le_bytes());
        } else {
            out.push(0xA0);
            out.extend_from_slice(&content_bytes.to_le_bytes());
        }
    }
}

/// Kind of a zstd block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Raw,
    RunLength,
    Compressed,
}

/// A zstd block header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) last: bool,
    pub(crate) kind: BlockKind,
    /// The size field: stored bytes, or for a run the bytes that it makes.
    pub(crate) size: usize,
}

impl BlockHeader {
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Result<BlockHeader, SigmaError> {
        let field = Cursor::new(bytes, offset).take(BLOCK_HEADER_BYTES, "zstd block header")?;
        let value = read_le(field);
        let kind = match (value >> 1) & 3 {
            0 => BlockKind::Raw,
            1 => BlockKind::RunLength,
            2 => BlockKind::Compressed,
            _ => return Err(corrupt(offset, "reserved block type")),
        };
        let size = usize::try_from(value >> 3).unwrap_or(usize::MAX);
        if size > BLOCK_BYTES_MAX {
            return Err(corrupt(offset, "block is over 128 KiB"));
        }
        Ok(BlockHeader {
            last: value & 1 != 0,
            kind,
            size,
        })
    }

    /// Bytes that follow the header.
    pub(crate) fn stored_bytes(&self) -> usize {
        match self.kind {
            BlockKind::RunLength => 1,
            BlockKind::Raw | BlockKind::Compressed => self.size,
        }
    }

    /// Appends the header of a block of `size` bytes that another one follows.
    pub(crate) fn write_open(kind: BlockKind, size: u32, out: &mut Vec<u8>) {
        let kind = match kind {
            BlockKind::Raw => 0,
            BlockKind::RunLength => 1,
            BlockKind::Compressed => 2,
        };
        let [a, b, c, _] = (size << 3 | kind << 1).to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
    }

    /// Appends the header of a last, compressed block of `size` bytes.
    pub(crate) fn write_last_compressed(size: u32, out: &mut Vec<u8>) {
        let [a, b, c, _] = (size << 3 | 2 << 1 | 1).to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
    }
}

/// Moves `cursor` from the first block of a frame to behind the last one. The blocks must end
/// before `offset_max`.
pub(crate) fn skip_blocks(cursor: &mut Cursor<'_>, offset_max: u64) -> Result<(), SigmaError> {
    loop {
        let at = cursor.offset();
        let block = BlockHeader::parse(cursor.take(BLOCK_HEADER_BYTES, "zstd block header")?, at)?;
        cursor.take(block.stored_bytes(), "zstd block")?;
        if cursor.offset() > offset_max {
            return Err(corrupt(at, "frame is longer than its content allows"));
        }
        if block.last {
            return Ok(());
        }
    }
}

/// Most bytes that a frame of this content may take: blocks that do not compress cost 3 bytes per
/// 128 KiB; the rest is slack, so that empty blocks cannot stretch a frame without bound.
pub(crate) fn frame_bytes_max(content_bytes: u64) -> u64 {
    content_bytes + content_bytes / 128 + 1024
}

fn read_le(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "zstd frame",
        offset,
        detail,
    }
}
