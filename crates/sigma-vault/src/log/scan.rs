//! Walks a segment record by record, whatever state it is in.
//!
//! Where a header does not hold, the walk searches the following 8-byte boundaries for the next
//! one that does (headers are bound to segment and offset, so bytes inside a value are not taken
//! for one). A header whose sequence number does not exceed its predecessor's is left over from a
//! write that was taken back, and counts as no header.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::io;

use super::key::ShortKey;
use super::manifest::Mark;
use super::record::{
    Header, HeaderFault, Place, RECORD_HEADER_BYTES, RECORD_MAGIC, UNIT_BYTES, key_hash,
    value_check, value_hasher,
};
use super::segment::SEGMENT_HEADER_BYTES;
use crate::io::{StorageFile, read_exact_at};

/// How much is read at once; more than the longest header and key together.
const WINDOW_BYTES: u64 = 256 << 10;
/// What a disk reads or fails to read at once.
const PIECE_BYTES: usize = 512;
const HEADER_BYTES: u64 = RECORD_HEADER_BYTES as u64;

/// What the walk met, in file order.
#[derive(Debug)]
pub(crate) enum Item {
    /// Header and key hold; `intact` says whether the value does.
    Record {
        offset: u64,
        header: Header,
        key: ShortKey,
        intact: bool,
    },
    /// The header holds, the key does not.
    KeyDamaged { offset: u64, header: Header },
    /// The header holds, the record runs past the end; the key is known if it still fitted.
    Overrun {
        offset: u64,
        header: Header,
        key: Option<ShortKey>,
    },
    /// No header holds from `start` to `end`.
    Gap { start: u64, end: u64 },
}

impl Item {
    pub(crate) fn header(&self) -> Option<&Header> {
        match self {
            Self::Record { header, .. }
            | Self::KeyDamaged { header, .. }
            | Self::Overrun { header, .. } => Some(header),
            Self::Gap { .. } => None,
        }
    }

    pub(crate) fn start(&self) -> u64 {
        match self {
            Self::Record { offset, .. }
            | Self::KeyDamaged { offset, .. }
            | Self::Overrun { offset, .. } => *offset,
            Self::Gap { start, .. } => *start,
        }
    }

    /// Where the item ends, or would end if the file were long enough.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Gap { end, .. } => *end,
            _ => self.start() + self.header().map_or(0, Header::record_bytes),
        }
    }
}

#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    /// A sound record of a later version.
    Unknown {
        what: &'static str,
        found: u32,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn StorageFile,
    vault_id: u64,
    segment: u64,
    offset: u64,
    end: u64,
    last_sequence: u64,
    window: Vec<u8>,
    window_start: u64,
    unreadable_end: u64,
}

impl<'a> Scanner<'a> {
    /// A walk over the records of `segment` up to byte `end` of `file`.
    pub(crate) fn new(file: &'a dyn StorageFile, vault_id: u64, segment: u64, end: u64) -> Self {
        Self {
            file,
            vault_id,
            segment,
            offset: SEGMENT_HEADER_BYTES,
            end,
            last_sequence: 0,
            window: Vec::new(),
            window_start: 0,
            unreadable_end: 0,
        }
    }

    /// As [`new`](Self::new), behind the record that `mark` describes.
    pub(crate) fn behind(file: &'a dyn StorageFile, vault_id: u64, mark: Mark, end: u64) -> Self {
        Self {
            offset: mark.bytes.max(SEGMENT_HEADER_BYTES),
            last_sequence: mark.last_sequence,
            ..Self::new(file, vault_id, mark.segment, end)
        }
    }

    /// The next item, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, ScanError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let offset = self.offset;
        let item = match self.header_at(offset)? {
            Some(header) => self.record(offset, header)?,
            None => Item::Gap {
                start: offset,
                end: self.resync(offset)?,
            },
        };
        self.offset = item.end().min(self.end);
        if let Some(header) = item.header() {
            self.last_sequence = header.sequence;
        }
        Ok(Some(item))
    }

    fn record(&mut self, offset: u64, header: Header) -> Result<Item, ScanError> {
        let key_at = offset + HEADER_BYTES;
        let key_end = key_at + u64::from(header.key_bytes);
        if key_end > self.end {
            return Ok(Item::Overrun {
                offset,
                header,
                key: None,
            });
        }
        let key = ShortKey::new(self.view(key_at, u64::from(header.key_bytes))?);
        if key_hash(self.vault_id, header.space, &key) != header.key_hash {
            return Ok(Item::KeyDamaged { offset, header });
        }
        if offset + header.record_bytes() > self.end {
            return Ok(Item::Overrun {
                offset,
                header,
                key: Some(key),
            });
        }
        let intact = self.value_holds(key_end, &header)?;
        Ok(Item::Record {
            offset,
            header,
            key,
            intact,
        })
    }

    fn value_holds(&mut self, mut offset: u64, header: &Header) -> Result<bool, ScanError> {
        let mut left = header.value_region_bytes();
        if left <= WINDOW_BYTES {
            return Ok(value_check(self.view(offset, left)?) == header.value_check);
        }
        let mut hasher = value_hasher();
        while left > 0 {
            let count = left.min(WINDOW_BYTES);
            hasher.update(self.view(offset, count)?);
            offset += count;
            left -= count;
        }
        Ok(hasher.digest() == header.value_check)
    }

    /// The header at `offset` if one holds there and continues the segment.
    fn header_at(&mut self, offset: u64) -> Result<Option<Header>, ScanError> {
        if offset + HEADER_BYTES > self.end {
            return Ok(None);
        }
        let place = Place {
            vault_id: self.vault_id,
            segment: self.segment,
            offset,
        };
        let bytes = self.view(offset, HEADER_BYTES)?;
        let Some(bytes) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(None);
        };
        match Header::decode(bytes, place) {
            Ok(header) if header.sequence > self.last_sequence => Ok(Some(header)),
            Ok(_) | Err(HeaderFault::Damaged) => Ok(None),
            Err(HeaderFault::Unknown { what, found }) => Err(ScanError::Unknown { what, found }),
        }
    }

    /// The first boundary after `start` at which a header holds, or the end.
    fn resync(&mut self, start: u64) -> Result<u64, ScanError> {
        let magic = RECORD_MAGIC.to_le_bytes();
        let mut offset = start + UNIT_BYTES;
        while offset + HEADER_BYTES <= self.end {
            let count = (self.end - offset).min(WINDOW_BYTES);
            let view = self.view(offset, count)?;
            let hit = view.chunks(8).position(|unit| unit.starts_with(&magic));
            let Some(hit) = hit else {
                offset += count.next_multiple_of(UNIT_BYTES);
                continue;
            };
            offset += hit as u64 * UNIT_BYTES;
            if self.header_at(offset)?.is_some() {
                return Ok(offset);
            }
            offset += UNIT_BYTES;
        }
        Ok(self.end)
    }

    /// The end of the last bytes that the medium refused to give, or 0. They read as zeros, which
    /// no checksum takes for what was there.
    pub(crate) fn unreadable_end(&self) -> u64 {
        self.unreadable_end
    }

    /// Reads the window piece by piece, each once more.
    fn salvage(&mut self) {
        let mut offset = self.window_start;
        for piece in self.window.chunks_mut(PIECE_BYTES) {
            let end = offset + piece.len() as u64;
            if read_exact_at(self.file, offset, piece).is_err() {
                piece.fill(0);
                self.unreadable_end = self.unreadable_end.max(end);
            }
            offset = end;
        }
    }

    /// `count` bytes at `offset`; the range lies below `end` and `count` within a window.
    fn view(&mut self, offset: u64, count: u64) -> io::Result<&[u8]> {
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + count > window_end {
            let bytes = count.max(WINDOW_BYTES).min(self.end.saturating_sub(offset));
            self.window.resize(usize::try_from(bytes).unwrap_or(0), 0);
            self.window_start = offset;
            if let Err(error) = read_exact_at(self.file, offset, &mut self.window) {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    self.window.clear();
                    return Err(error);
                }
                self.salvage();
            }
        }
        let from = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        let length = usize::try_from(count).unwrap_or(usize::MAX);
        self.window
            .get(from..)
            .and_then(|rest| rest.get(..length))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
