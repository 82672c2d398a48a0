//! Parts of a container, without the rest.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use super::decompressor::Decompressor;
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::{
    HEADER_FIXED_BYTES, Header, Layout, PartInfo, SEEK_ENTRY_BYTES, SEEK_FOOTER_BYTES,
    SEEK_TABLE_FIXED_BYTES, SeekEntry, SeekTable, TRAILER_BYTES, Trailer, check_stated,
};
use crate::limits::Limits;

/// Random access to the content of a container.
///
/// Opening reads the header and the seek table; [`Reader::read_range`] reads and checks only the
/// frames that the range touches. The frame read last is kept. A container of one frame without a
/// seek table is read whole on opening.
///
/// ```
/// use std::io::Cursor;
/// use sigma_lang::{Config, Reader};
/// let data: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
/// let packed = sigma_lang::compress(&data, &Config::new().frame_bytes(64 << 10))?;
/// let mut reader = Reader::open(Cursor::new(packed))?;
/// assert_eq!(reader.content_bytes(), 800_000);
/// assert_eq!(reader.read_range(400_000..400_010)?, &data[400_000..400_010]);
/// assert_eq!(reader.frames_read(), 1);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R: Read + Seek> {
    inner: R,
    decompressor: Decompressor,
    dictionary: Option<Arc<Dictionary>>,
    frames: Vec<Located>,
    content_bytes: u64,
    frame: Vec<u8>,
    content: Vec<u8>,
    held: Option<usize>,
    frames_read: u64,
}

/// A frame, its place in the container and in the content.
#[derive(Debug, Clone, Copy)]
struct Located {
    offset: u64,
    content_start: u64,
    entry: SeekEntry,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a container that begins at the start of `inner` and ends with it; default limits, no
    /// dictionaries.
    ///
    /// # Errors
    /// As [`decompress`](crate::decompress), and [`SigmaError::Io`].
    pub fn open(inner: R) -> Result<Reader<R>, SigmaError> {
        Reader::open_with(inner, Decompressor::new(Limits::default()))
    }

    /// As [`Reader::open`] with the limits and dictionaries of `decompressor`. `output_bytes_max`
    /// holds for each range, not for the whole content.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_with(mut inner: R, decompressor: Decompressor) -> Result<Reader<R>, SigmaError> {
        let end = inner.seek(SeekFrom::End(0)).map_err(read_failed)?;
        let mut front = Vec::new();
        let fixed = (HEADER_FIXED_BYTES as u64).min(end);
        read_at(&mut inner, 0, fixed, "header", &mut front)?;
        let payload_bytes = Header::payload_bytes(&front)?;
        read_at(
            &mut inner,
            0,
            (HEADER_FIXED_BYTES + payload_bytes) as u64,
            "header",
            &mut front,
        )?;
        let (header, header_bytes) = Header::parse(&front)?;
        if let Some(expected) = header.base {
            return Err(SigmaError::BaseRequired { expected });
        }
        let dictionary = decompressor.context.dictionary_of(&header)?;
        let limits = *decompressor.limits();
        let (entries, content_bytes) = if header.seek_table {
            read_table(&mut inner, &header, header_bytes, end, &limits)?
        } else {
            read_single(&mut inner, end, &limits)?
        };
        let mut frames = Vec::with_capacity(entries.len());
        let (mut offset, mut content_start) = (header_bytes as u64, 0);
        for entry in entries {
            frames.push(Located {
                offset,
                content_start,
                entry,
            });
            offset += u64::from(entry.frame_bytes);
            content_start += u64::from(entry.content_bytes);
        }
        Ok(Reader {
            inner,
            decompressor,
            dictionary,
            frames,
            content_bytes,
            frame: Vec::new(),
            content: Vec::new(),
            held: None,
            frames_read: 0,
        })
    }

    /// Length of the content in bytes.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Number of frames in the container.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Frames read and decoded since opening.
    pub fn frames_read(&self) -> u64 {
        self.frames_read
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.decompressor.limits()
    }

    /// The content from `range.start` up to `range.end`, in bytes.
    ///
    /// # Errors
    /// [`SigmaError::RangeOutside`] if the range is not inside the content; as
    /// [`decompress`](crate::decompress) for damaged frames; [`SigmaError::Io`].
    pub fn read_range(&mut self, range: Range<u64>) -> Result<Vec<u8>, SigmaError> {
        let mut out = Vec::new();
        self.read_range_into(range, &mut out)?;
        Ok(out)
    }

    /// As [`Reader::read_range`], appended to `out`. On an error `out` is as before.
    ///
    /// # Errors
    /// As [`Reader::read_range`].
    pub fn read_range_into(
        &mut self,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let Range { start, end } = range;
        if start > end || end > self.content_bytes {
            let content_bytes = self.content_bytes;
            return Err(SigmaError::RangeOutside {
                start,
                end,
                content_bytes,
            });
        }
        self.decompressor.limits().check_output(end - start)?;
        let before = out.len();
        let result = self.append_range(start, end, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn append_range(&mut self, start: u64, end: u64, out: &mut Vec<u8>) -> Result<(), SigmaError> {
        if start == end {
            return Ok(());
        }
        let first = self.frames.partition_point(|frame| {
            frame.content_start + u64::from(frame.entry.content_bytes) <= start
        });
        let mut index = first;
        while let Some(frame) = self
            .frames
            .get(index)
            .copied()
            .filter(|f| f.content_start < end)
        {
            self.hold(index, frame)?;
            let from = start.saturating_sub(frame.content_start);
            let to = (end - frame.content_start).min(u64::from(frame.entry.content_bytes));
            // Both lie within the frame, whose length is 32 bits.
            let (from, to) = (usize::try_from(from), usize::try_from(to));
            if let (Ok(from), Ok(to)) = (from, to) {
                out.extend_from_slice(self.content.get(from..to).unwrap_or_default());
            }
            index += 1;
        }
        Ok(())
    }

    /// Makes `content` the content of this frame.
    fn hold(&mut self, index: usize, located: Located) -> Result<(), SigmaError> {
        if self.held == Some(index) {
            return Ok(());
        }
        self.held = None;
        self.content.clear();
        let Located { offset, entry, .. } = located;
        let frame_bytes = u64::from(entry.frame_bytes);
        read_at(
            &mut self.inner,
            offset,
            frame_bytes,
            "frame",
            &mut self.frame,
        )?;
        self.frames_read += 1;
        let info = PartInfo::parse(&self.frame, offset)?;
        if SeekEntry::new(info.frame_bytes, info.content_bytes as usize, info.check) != entry {
            let detail = "frame contradicts its seek table entry";
            return Err(SigmaError::Corrupt {
                what: "frame",
                offset,
                detail,
            });
        }
        let content_bytes = u64::from(info.content_bytes);
        self.decompressor
            .limits()
            .check_frame(content_bytes, info.window_bytes, frame_bytes)?;
        self.content
            .try_reserve(info.content_bytes as usize)
            .map_err(|_| SigmaError::AllocationFailed {
                what: "content of a frame",
                bytes: content_bytes,
            })?;
        let dictionary = self.dictionary.as_deref();
        let decoder = self.decompressor.frame_decoder()?;
        decoder.append(&self.frame, &info, offset, dictionary, &mut self.content)?;
        self.held = Some(index);
        Ok(())
    }
}

/// Reads and checks trailer and seek table: the frames and the content length.
fn read_table<R: Read + Seek>(
    inner: &mut R,
    header: &Header,
    header_bytes: usize,
    end: u64,
    limits: &Limits,
) -> Result<(Vec<SeekEntry>, u64), SigmaError> {
    let mut bytes = Vec::new();
    let footer_at = end.saturating_sub(SEEK_FOOTER_BYTES as u64);
    read_at(
        inner,
        footer_at,
        SEEK_FOOTER_BYTES as u64,
        "seek table footer",
        &mut bytes,
    )?;
    let entries = SeekTable::entries_in_footer(&bytes, footer_at, limits)?;
    let table_bytes = (SEEK_TABLE_FIXED_BYTES + entries as usize * SEEK_ENTRY_BYTES) as u64;
    let end_bytes = table_bytes + TRAILER_BYTES as u64;
    let available = end.saturating_sub(header_bytes as u64);
    if end_bytes > available {
        return Err(SigmaError::Truncated {
            what: "trailer and seek table",
            offset: header_bytes as u64,
            needed: end_bytes,
            available,
        });
    }
    let trailer_at = end - end_bytes;
    read_at(
        inner,
        trailer_at,
        end_bytes,
        "trailer and seek table",
        &mut bytes,
    )?;
    let (trailer, table) = bytes.split_at_checked(TRAILER_BYTES).unwrap_or_default();
    let trailer = Trailer::parse(trailer, trailer_at)?;
    let table_at = trailer_at + TRAILER_BYTES as u64;
    let table = SeekTable::parse(table, table_at, &trailer, limits)?;
    let frames_bytes: u64 = table
        .frames
        .iter()
        .map(|entry| u64::from(entry.frame_bytes))
        .sum();
    if table.header_bytes as usize != header_bytes
        || header_bytes as u64 + frames_bytes != trailer_at
    {
        let detail = "entries do not add up to the place of the trailer";
        return Err(SigmaError::Corrupt {
            what: "seek table",
            offset: table_at,
            detail,
        });
    }
    check_stated(header, trailer.content_bytes)?;
    Ok((table.frames, trailer.content_bytes))
}

/// Reads a container without a seek table whole: its frame, if any, and the content length.
fn read_single<R: Read + Seek>(
    inner: &mut R,
    end: u64,
    limits: &Limits,
) -> Result<(Vec<SeekEntry>, u64), SigmaError> {
    // One frame and its header are no longer than the content allows.
    let bytes_max = crate::frame::frame_bytes_max(limits.frame_bytes_max);
    if end > bytes_max {
        return Err(SigmaError::LimitExceeded {
            what: "container of one frame",
            value: end,
            allowed: bytes_max,
            unit: "bytes",
        });
    }
    let mut bytes = Vec::new();
    read_at(inner, 0, end, "container", &mut bytes)?;
    let layout = Layout::parse(&bytes, limits)?;
    let entry = |placed: &crate::frame::Placed| {
        let info = placed.info;
        SeekEntry::new(info.frame_bytes, info.content_bytes as usize, info.check)
    };
    Ok((
        layout.frames.iter().map(entry).collect(),
        layout.content_bytes,
    ))
}

/// Replaces `out` by `bytes` bytes from `offset`. Memory grows only as bytes arrive.
fn read_at<R: Read + Seek>(
    inner: &mut R,
    offset: u64,
    bytes: u64,
    what: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    out.clear();
    inner.seek(SeekFrom::Start(offset)).map_err(read_failed)?;
    let available = inner.take(bytes).read_to_end(out).map_err(read_failed)? as u64;
    if available < bytes {
        return Err(SigmaError::Truncated {
            what,
            offset,
            needed: bytes,
            available,
        });
    }
    Ok(())
}

fn read_failed(source: std::io::Error) -> SigmaError {
    SigmaError::Io {
        operation: "read a container",
        source,
    }
}
