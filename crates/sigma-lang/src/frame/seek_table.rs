//! Trailer and seek table: the end of a container with more than one frame.

use super::checksum::{check32, check64};
use super::cursor::Cursor;
use crate::error::SigmaError;
use crate::limits::Limits;

/// Skippable magic of the trailer frame.
pub(crate) const TRAILER_MAGIC: u32 = 0x184D_2A54;
/// Length of the trailer frame.
pub(crate) const TRAILER_BYTES: usize = 24;
const SEEK_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// Descriptor: checksums present, nothing else.
const DESCRIPTOR: u8 = 0x80;
/// Length of one entry.
pub(crate) const SEEK_ENTRY_BYTES: usize = 12;
/// Number of entries, descriptor, magic.
pub(crate) const SEEK_FOOTER_BYTES: usize = 9;
/// The seek table frame without its entries.
pub(crate) const SEEK_TABLE_FIXED_BYTES: usize = 8 + SEEK_FOOTER_BYTES;
const ENTRIES_MAX: u32 = 1 << 27;
// The same lengths as they are stored.
const ENTRY_LENGTH: u32 = 12;
const FOOTER_LENGTH: u32 = 9;
const TRAILER_LENGTH: u32 = 24;
const _: () = assert!(
    ENTRY_LENGTH as usize == SEEK_ENTRY_BYTES
        && FOOTER_LENGTH as usize == SEEK_FOOTER_BYTES
        && TRAILER_LENGTH as usize == TRAILER_BYTES
);

/// One entry of the seek table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeekEntry {
    pub(crate) frame_bytes: u32,
    pub(crate) content_bytes: u32,
    pub(crate) check: u32,
}

impl SeekEntry {
    /// Lengths are those of a frame, which the format keeps below 2^32.
    pub(crate) fn new(frame_bytes: usize, content_bytes: usize, check: u32) -> Self {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        SeekEntry {
            frame_bytes: length(frame_bytes),
            content_bytes: length(content_bytes),
            check,
        }
    }
}

/// Appends trailer and seek table for a container whose header has `header_bytes` bytes.
pub(crate) fn write_end(
    header_bytes: usize,
    frames: &[SeekEntry],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let entries = u64::try_from(frames.len())
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    let count = match u32::try_from(entries) {
        Ok(count) if count <= ENTRIES_MAX => count,
        _ => {
            return Err(SigmaError::LimitExceeded {
                what: "number of frames",
                value: entries - 2,
                allowed: u64::from(ENTRIES_MAX) - 2,
                unit: "frames",
            });
        }
    };
    let empty = |frame_bytes| SeekEntry::new(frame_bytes, 0, check32(&[]));
    let mut table =
        Vec::with_capacity(SEEK_TABLE_FIXED_BYTES + SEEK_ENTRY_BYTES * frames.len() + 24);
    table.extend_from_slice(&SEEK_MAGIC.to_le_bytes());
    let payload = count * ENTRY_LENGTH + FOOTER_LENGTH;
    table.extend_from_slice(&payload.to_le_bytes());
    let ends = [empty(header_bytes)].into_iter();
    for entry in ends
        .chain(frames.iter().copied())
        .chain([empty(TRAILER_BYTES)])
    {
        table.extend_from_slice(&entry.frame_bytes.to_le_bytes());
        table.extend_from_slice(&entry.content_bytes.to_le_bytes());
        table.extend_from_slice(&entry.check.to_le_bytes());
    }
    table.extend_from_slice(&count.to_le_bytes());
    table.push(DESCRIPTOR);
    table.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());

    let content_bytes: u64 = frames
        .iter()
        .map(|entry| u64::from(entry.content_bytes))
        .sum();
    out.extend_from_slice(&TRAILER_MAGIC.to_le_bytes());
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&content_bytes.to_le_bytes());
    out.extend_from_slice(&trailer_check(content_bytes, &table).to_le_bytes());
    out.extend_from_slice(&table);
    Ok(())
}

fn trailer_check(content_bytes: u64, table: &[u8]) -> u64 {
    let mut covered = Vec::with_capacity(8 + table.len());
    covered.extend_from_slice(&content_bytes.to_le_bytes());
    covered.extend_from_slice(table);
    check64(&covered)
}

/// The trailer frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trailer {
    pub(crate) content_bytes: u64,
    check: u64,
    offset: u64,
}

impl Trailer {
    /// Reads the trailer at the start of `bytes`, which begin at `offset` in the whole.
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Result<Trailer, SigmaError> {
        let mut cursor = Cursor::new(bytes, offset);
        if cursor.u32("trailer")? != TRAILER_MAGIC {
            return Err(SigmaError::Corrupt {
                what: "trailer",
                offset,
                detail: "magic is missing",
            });
        }
        if cursor.u32("trailer")? != 16 {
            let detail = "payload length is not 16 bytes";
            return Err(SigmaError::Corrupt {
                what: "trailer",
                offset: offset + 4,
                detail,
            });
        }
        let content_bytes = cursor.u64("trailer content length")?;
        let check = cursor.u64("trailer checksum")?;
        Ok(Trailer {
            content_bytes,
            check,
            offset,
        })
    }
}

/// The frames that a seek table lists, header and trailer left out.
#[derive(Debug)]
pub(crate) struct SeekTable {
    pub(crate) header_bytes: u32,
    pub(crate) frames: Vec<SeekEntry>,
}

impl SeekTable {
    /// Number of entries from the last [`SEEK_FOOTER_BYTES`] bytes of a container.
    pub(crate) fn entries_in_footer(
        footer: &[u8],
        offset: u64,
        limits: &Limits,
    ) -> Result<u32, SigmaError> {
        let mut cursor = Cursor::new(footer, offset);
        let entries = cursor.u32("seek table footer")?;
        let descriptor = cursor.u8("seek table footer")?;
        if cursor.u32("seek table footer")? != SEEKABLE_MAGIC {
            return Err(corrupt(offset, "seekable magic is missing at the end"));
        }
        if descriptor != DESCRIPTOR {
            return Err(corrupt(offset + 4, "descriptor is not 0x80"));
        }
        if !(2..=ENTRIES_MAX).contains(&entries) {
            return Err(corrupt(offset, "number of entries is not 2..=2^27"));
        }
        limits.check_frames(u64::from(entries) - 2)?;
        Ok(entries)
    }

    /// Number of entries from the first 8 bytes of the seek table frame.
    pub(crate) fn entries_in_head(
        head: &[u8],
        offset: u64,
        limits: &Limits,
    ) -> Result<u32, SigmaError> {
        let mut cursor = Cursor::new(head, offset);
        if cursor.u32("seek table")? != SEEK_MAGIC {
            return Err(corrupt(offset, "magic is missing"));
        }
        let payload = cursor.u32("seek table")?;
        let Some(entries_bytes) = payload.checked_sub(FOOTER_LENGTH) else {
            return Err(corrupt(offset + 4, "payload length is too short"));
        };
        if !entries_bytes.is_multiple_of(ENTRY_LENGTH) {
            return Err(corrupt(
                offset + 4,
                "payload length does not fit the entries",
            ));
        }
        let entries = entries_bytes / ENTRY_LENGTH;
        if !(2..=ENTRIES_MAX).contains(&entries) {
            return Err(corrupt(offset + 4, "number of entries is not 2..=2^27"));
        }
        limits.check_frames(u64::from(entries) - 2)?;
        Ok(entries)
    }

    /// Reads the whole seek table frame and checks it against the trailer.
    pub(crate) fn parse(
        table: &[u8],
        offset: u64,
        trailer: &Trailer,
        limits: &Limits,
    ) -> Result<SeekTable, SigmaError> {
        let computed = trailer_check(trailer.content_bytes, table);
        if computed != trailer.check {
            return Err(SigmaError::ChecksumMismatch {
                what: "trailer and seek table",
                offset: trailer.offset,
                stored: trailer.check,
                computed,
            });
        }
        let entries = SeekTable::entries_in_head(table, offset, limits)?;
        let mut cursor = Cursor::new(table, offset);
        cursor.take(8, "seek table")?;
        let header_bytes = read_end(&mut cursor)?;
        let mut frames = Vec::with_capacity(entries as usize - 2);
        let mut content_bytes = 0u64;
        for _ in 2..entries {
            let at = cursor.offset();
            let entry = read_entry(&mut cursor)?;
            if entry.content_bytes == 0 || entry.frame_bytes == 0 {
                return Err(corrupt(at, "entry of a frame is empty"));
            }
            content_bytes += u64::from(entry.content_bytes);
            frames.push(entry);
        }
        let at = cursor.offset();
        if read_end(&mut cursor)? != TRAILER_LENGTH {
            return Err(corrupt(at, "last entry is not the trailer"));
        }
        let footer = cursor.take(SEEK_FOOTER_BYTES, "seek table footer")?;
        let at = cursor.offset() - SEEK_FOOTER_BYTES as u64;
        if SeekTable::entries_in_footer(footer, at, limits)? != entries || !cursor.rest().is_empty()
        {
            return Err(corrupt(
                at,
                "number of entries does not fit the payload length",
            ));
        }
        if content_bytes != trailer.content_bytes {
            return Err(corrupt(
                offset,
                "entries do not add up to the content length",
            ));
        }
        Ok(SeekTable {
            header_bytes,
            frames,
        })
    }
}

fn read_entry(cursor: &mut Cursor<'_>) -> Result<SeekEntry, SigmaError> {
    Ok(SeekEntry {
        frame_bytes: cursor.u32("seek table entry")?,
        content_bytes: cursor.u32("seek table entry")?,
        check: cursor.u32("seek table entry")?,
    })
}

/// Reads the entry of the header or the trailer: its length.
fn read_end(cursor: &mut Cursor<'_>) -> Result<u32, SigmaError> {
    let at = cursor.offset();
    let entry = read_entry(cursor)?;
    if entry.content_bytes != 0 || entry.check != check32(&[]) {
        return Err(corrupt(at, "entry of header or trailer is not empty"));
    }
    Ok(entry.frame_bytes)
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "seek table",
        offset,
        detail,
    }
}
