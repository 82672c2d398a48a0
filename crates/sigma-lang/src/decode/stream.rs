//! A container read piece by piece.

use std::io::{self, Read};

use super::decompressor::Decompressor;
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::{
    BLOCK_HEADER_BYTES, BlockHeader, FrameHeader, HEADER_FIXED_BYTES, Header, PartInfo,
    SEEK_ENTRY_BYTES, SEEK_TABLE_FIXED_BYTES, SeekEntry, SeekTable, TAGGED_MAGIC, TRAILER_BYTES,
    TRAILER_MAGIC, TaggedHead, Trailer, VARINT_BYTES_MAX, ZSTD_MAGIC, check_plain_header,
    check_tag, check_tagged_head, frame_bytes_max, header_bytes,
};
use crate::limits::Limits;
use std::sync::Arc;

/// Reads the content of a container from `R`.
///
/// Holds one compressed frame and its content, each at most
/// [`Limits::frame_bytes_max`](crate::Limits) plus one per cent, and 12 bytes per frame. A frame is
/// checked before any byte of it is given out. The end of the container (trailer and seek table) is
/// checked before the read that returns 0; bytes behind it stay unread. Errors reach the caller as
/// [`io::Error`] with a [`SigmaError`] inside. See [`Encoder`](crate::Encoder) for an example.
#[derive(Debug)]
pub struct Decoder<R: Read> {
    source: Source<R>,
    decompressor: Decompressor,
    state: State,
    dictionary: Option<Arc<Dictionary>>,
    header: Header,
    header_bytes: usize,
    frame: Vec<u8>,
    content: Vec<u8>,
    given: usize,
    content_bytes: u64,
    entries: Vec<SeekEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Frames,
    Ended,
    Failed,
}

impl<R: Read> Decoder<R> {
    /// A decoder with default limits and no dictionaries.
    pub fn new(inner: R) -> Decoder<R> {
        Decoder::with_decompressor(inner, Decompressor::new(Limits::default()))
    }

    /// A decoder with the limits and dictionaries of `decompressor`.
    pub fn with_decompressor(inner: R, decompressor: Decompressor) -> Decoder<R> {
        Decoder {
            source: Source { inner, offset: 0 },
            decompressor,
            state: State::Header,
            dictionary: None,
            header: Header::default(),
            header_bytes: 0,
            frame: Vec::new(),
            content: Vec::new(),
            given: 0,
            content_bytes: 0,
            entries: Vec::new(),
        }
    }

    /// The reader underneath.
    pub fn get_ref(&self) -> &R {
        &self.source.inner
    }

    /// Gives the reader back. After the end was read, it stands right behind the container.
    pub fn into_inner(self) -> R {
        self.source.inner
    }

    /// Makes the next piece of content available. False at the end.
    fn advance(&mut self) -> Result<bool, SigmaError> {
        if self.state == State::Failed {
            return Err(SigmaError::StreamFailed {
                operation: "read content",
            });
        }
        let before = std::mem::replace(&mut self.state, State::Failed);
        if before == State::Header {
            self.read_header()?;
        }
        let more = before != State::Ended && self.read_frame()?;
        self.state = if more { State::Frames } else { State::Ended };
        Ok(more)
    }

    fn read_header(&mut self) -> Result<(), SigmaError> {
        self.frame.clear();
        self.source
            .append(HEADER_FIXED_BYTES, "header", &mut self.frame)?;
        let payload_bytes = Header::payload_bytes(&self.frame)?;
        self.source
            .append(payload_bytes, "header", &mut self.frame)?;
        (self.header, self.header_bytes) = Header::parse(&self.frame)?;
        if let Some(expected) = self.header.base {
            return Err(SigmaError::BaseRequired { expected });
        }
        if let Some(content_bytes) = self.header.content_bytes {
            self.decompressor.limits().check_output(content_bytes)?;
        }
        self.dictionary = self.decompressor.context.dictionary_of(&self.header)?;
        Ok(())
    }

    /// Decodes the next frame into `content`, or checks the end and says false.
    fn read_frame(&mut self) -> Result<bool, SigmaError> {
        self.content.clear();
        self.given = 0;
        if !self.header.seek_table {
            let frames = u64::from(self.header.content_bytes != Some(0));
            if self.entries.len() as u64 == frames {
                return self.check_stated();
            }
        }
        let offset = self.source.offset;
        self.frame.clear();
        self.source.append(4, "frame", &mut self.frame)?;
        let magic = self.frame.first_chunk::<4>().copied().unwrap_or_default();
        if magic == ZSTD_MAGIC.to_le_bytes() {
            self.fetch_plain(offset)?;
        } else if magic == TAGGED_MAGIC {
            self.fetch_tagged(offset)?;
        } else if self.header.seek_table && magic == TRAILER_MAGIC.to_le_bytes() {
            return self.read_end(offset);
        } else {
            return Err(corrupt(offset, "magic of neither a frame nor the trailer"));
        }
        self.decode_frame(offset)?;
        Ok(true)
    }

    /// Holds what a frame states to the limits before its bytes are fetched.
    fn check_head(&self, content_bytes: u32, window_bytes: u64) -> Result<(), SigmaError> {
        let limits = self.decompressor.limits();
        limits.check_frames(self.entries.len() as u64 + 1)?;
        limits.check_output(self.content_bytes + u64::from(content_bytes))?;
        limits.check_frame(
            u64::from(content_bytes),
            window_bytes,
            u64::from(content_bytes),
        )
    }

    fn fetch_plain(&mut self, offset: u64) -> Result<(), SigmaError> {
        self.source
            .append(1, "zstd frame header", &mut self.frame)?;
        let head_bytes = header_bytes(self.frame.last().copied().unwrap_or_default());
        self.source.append(
            head_bytes - self.frame.len(),
            "zstd frame header",
            &mut self.frame,
        )?;
        let header = FrameHeader::parse(&self.frame, offset)?;
        let content_bytes = check_plain_header(&header, offset)?;
        self.check_head(content_bytes, header.window_bytes)?;
        let bytes_max = frame_bytes_max(u64::from(content_bytes));
        loop {
            let at = self.source.offset;
            let start = self.frame.len();
            self.source
                .append(BLOCK_HEADER_BYTES, "zstd block header", &mut self.frame)?;
            let block = BlockHeader::parse(self.frame.get(start..).unwrap_or_default(), at)?;
            if (self.frame.len() + block.stored_bytes()) as u64 > bytes_max {
                return Err(corrupt(offset, "frame is longer than its content allows"));
            }
            self.source
                .append(block.stored_bytes(), "zstd block", &mut self.frame)?;
            if block.last {
                break;
            }
        }
        self.source
            .append(4, "zstd frame checksum", &mut self.frame)
    }

    fn fetch_tagged(&mut self, offset: u64) -> Result<(), SigmaError> {
        self.source.append(1, "frame tag", &mut self.frame)?;
        let tag = self.frame.last().copied().unwrap_or_default();
        check_tag(tag, offset + 4)?;
        for _ in 0..TaggedHead::lengths(tag) {
            self.append_varint()?;
        }
        let head = check_tagged_head(&self.frame, offset)?;
        self.check_head(head.content_bytes, u64::from(head.content_bytes))?;
        self.source.append(
            head.payload_bytes as usize + 4,
            "tagged frame",
            &mut self.frame,
        )
    }

    /// Fetches the bytes of one varint, not checked.
    fn append_varint(&mut self) -> Result<(), SigmaError> {
        for _ in 0..VARINT_BYTES_MAX {
            self.source
                .append(1, "length of a tagged frame", &mut self.frame)?;
            if self.frame.last().is_none_or(|byte| byte & 0x80 == 0) {
                break;
            }
        }
        Ok(())
    }

    fn decode_frame(&mut self, offset: u64) -> Result<(), SigmaError> {
        let info = PartInfo::parse(&self.frame, offset)?;
        let content_bytes = u64::from(info.content_bytes);
        let limits = self.decompressor.limits();
        limits.check_frame(content_bytes, info.window_bytes, info.frame_bytes as u64)?;
        self.content
            .try_reserve(info.content_bytes as usize)
            .map_err(|_| SigmaError::AllocationFailed {
                what: "content of a frame",
                bytes: content_bytes,
            })?;
        let dictionary = self.dictionary.as_deref();
        let decoder = self.decompressor.frame_decoder()?;
        let decoded = decoder.append(&self.frame, &info, offset, dictionary, &mut self.content);
        if decoded.is_err() {
            self.content.clear();
        }
        decoded?;
        self.content_bytes += content_bytes;
        self.entries.push(SeekEntry::new(
            info.frame_bytes,
            info.content_bytes as usize,
            info.check,
        ));
        Ok(())
    }

    /// Reads trailer and seek table and holds them to the frames that were read.
    fn read_end(&mut self, offset: u64) -> Result<bool, SigmaError> {
        self.source
            .append(TRAILER_BYTES - 4, "trailer", &mut self.frame)?;
        let trailer = Trailer::parse(&self.frame, offset)?;
        let table_at = self.source.offset;
        self.frame.clear();
        self.source.append(8, "seek table", &mut self.frame)?;
        let limits = *self.decompressor.limits();
        let entries = SeekTable::entries_in_head(&self.frame, table_at, &limits)? as usize;
        if entries != self.entries.len() + 2 {
            return Err(corrupt(
                table_at,
                "seek table lists another number of frames",
            ));
        }
        let rest = SEEK_TABLE_FIXED_BYTES - 8 + entries * SEEK_ENTRY_BYTES;
        self.source.append(rest, "seek table", &mut self.frame)?;
        let table = SeekTable::parse(&self.frame, table_at, &trailer, &limits)?;
        if table.header_bytes as usize != self.header_bytes || table.frames != self.entries {
            return Err(corrupt(table_at, "seek table contradicts the frames"));
        }
        self.check_stated()
    }

    fn check_stated(&self) -> Result<bool, SigmaError> {
        crate::frame::check_stated(&self.header, self.content_bytes)?;
        Ok(false)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.given == self.content.len() && !self.advance()? {
            return Ok(0);
        }
        let mut rest = self.content.get(self.given..).unwrap_or_default();
        let bytes = rest.read(out)?;
        self.given += bytes;
        Ok(bytes)
    }
}

/// A reader that knows its offset.
#[derive(Debug)]
struct Source<R> {
    inner: R,
    offset: u64,
}

impl<R: Read> Source<R> {
    /// Appends exactly `bytes` bytes. Memory grows only as bytes arrive.
    fn append(
        &mut self,
        bytes: usize,
        what: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let read = (&mut self.inner)
            .take(bytes as u64)
            .read_to_end(out)
            .map_err(|source| SigmaError::Io {
                operation: "read a container",
                source,
            })?;
        if read < bytes {
            return Err(SigmaError::Truncated {
                what,
                offset: self.offset,
                needed: bytes as u64,
                available: read as u64,
            });
        }
        self.offset += bytes as u64;
        Ok(())
    }
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "container",
        offset,
        detail,
    }
}
