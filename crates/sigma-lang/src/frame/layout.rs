//! Where the frames of a container in memory are.

use super::cursor::Cursor;
use super::header::Header;
use super::part::PartInfo;
use super::seek_table::{
    SEEK_ENTRY_BYTES, SEEK_FOOTER_BYTES, SEEK_TABLE_FIXED_BYTES, SeekTable, TRAILER_BYTES, Trailer,
};
use crate::error::SigmaError;
use crate::limits::Limits;

/// A frame and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// Where the frame begins in the container.
    pub(crate) offset: usize,
    pub(crate) info: PartInfo,
}

/// A container taken apart, nothing decoded.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) frames: Vec<Placed>,
    pub(crate) content_bytes: u64,
}

impl Layout {
    /// Takes apart a whole container. Every length is checked against its bytes; total content is
    /// not held to `limits.output_bytes_max` here.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Layout, SigmaError> {
        let (header, header_bytes) = Header::parse(bytes)?;
        if header.seek_table {
            return Layout::parse_with_table(bytes, header, header_bytes, limits);
        }
        let mut cursor = Cursor::new(bytes, 0);
        cursor.take(header_bytes, "header")?;
        let mut frames = Vec::new();
        let mut content_bytes = 0;
        if header.content_bytes != Some(0) {
            limits.check_frames(1)?;
            let info = PartInfo::parse(cursor.rest(), cursor.offset())?;
            cursor.take(info.frame_bytes, "frame")?;
            content_bytes = u64::from(info.content_bytes);
            frames.push(Placed {
                offset: header_bytes,
                info,
            });
        }
        if !cursor.rest().is_empty() {
            return Err(corrupt(cursor.offset(), "bytes follow the end"));
        }
        check_stated(&header, content_bytes)?;
        Ok(Layout {
            header,
            frames,
            content_bytes,
        })
    }

    fn parse_with_table(
        bytes: &[u8],
        header: Header,
        header_bytes: usize,
        limits: &Limits,
    ) -> Result<Layout, SigmaError> {
        let end = bytes.len();
        let footer_at = end.saturating_sub(SEEK_FOOTER_BYTES).max(header_bytes);
        let footer = bytes.get(footer_at..).unwrap_or_default();
        let entries = SeekTable::entries_in_footer(footer, footer_at as u64, limits)?;
        let table_bytes = SEEK_TABLE_FIXED_BYTES + entries as usize * SEEK_ENTRY_BYTES;
        let trailer_at = end
            .checked_sub(table_bytes + TRAILER_BYTES)
            .filter(|&at| at >= header_bytes);
        let Some(trailer_at) = trailer_at else {
            return Err(SigmaError::Truncated {
                what: "trailer and seek table",
                offset: header_bytes as u64,
                needed: (table_bytes + TRAILER_BYTES) as u64,
                available: (end - header_bytes) as u64,
            });
        };
        let tail = bytes.get(trailer_at..).unwrap_or_default();
        let (trailer, table) = tail.split_at_checked(TRAILER_BYTES).unwrap_or_default();
        let trailer = Trailer::parse(trailer, trailer_at as u64)?;
        let table_at = (trailer_at + TRAILER_BYTES) as u64;
        let table = SeekTable::parse(table, table_at, &trailer, limits)?;
        if table.header_bytes as usize != header_bytes {
            return Err(corrupt(
                table_at,
                "seek table contradicts the header length",
            ));
        }
        check_stated(&header, trailer.content_bytes)?;
        let frames = place(bytes, header_bytes, trailer_at, &table)?;
        Ok(Layout {
            header,
            frames,
            content_bytes: trailer.content_bytes,
        })
    }
}

/// Finds each frame of the table and holds it to its entry.
fn place(
    bytes: &[u8],
    header_bytes: usize,
    trailer_at: usize,
    table: &SeekTable,
) -> Result<Vec<Placed>, SigmaError> {
    let mut frames = Vec::with_capacity(table.frames.len());
    let mut offset = header_bytes;
    for entry in &table.frames {
        let end = offset.saturating_add(entry.frame_bytes as usize);
        let frame = bytes.get(offset..end).filter(|_| end <= trailer_at);
        let Some(frame) = frame else {
            return Err(corrupt(
                offset as u64,
                "frame of the seek table reaches past the frames",
            ));
        };
        let info = PartInfo::parse(frame, offset as u64)?;
        if info.frame_bytes != frame.len()
            || info.content_bytes != entry.content_bytes
            || info.check != entry.check
        {
            return Err(corrupt(
                offset as u64,
                "frame contradicts its seek table entry",
            ));
        }
        frames.push(Placed { offset, info });
        offset = end;
    }
    if offset != trailer_at {
        return Err(corrupt(
            offset as u64,
            "bytes between the frames and the trailer",
        ));
    }
    Ok(frames)
}

/// Holds the header's content length, where stated, to the real one.
pub(crate) fn check_stated(header: &Header, content_bytes: u64) -> Result<(), SigmaError> {
    match header.content_bytes {
        Some(stated) if stated != content_bytes => Err(corrupt(
            0,
            "content length of the header is not that of the frames",
        )),
        _ => Ok(()),
    }
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "container",
        offset,
        detail,
    }
}
