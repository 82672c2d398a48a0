//! The header: a skippable zstd frame at the start of a container.

use super::checksum::check32;
use super::cursor::Cursor;
use super::varint::{VARINT_BYTES_MAX, write_varint};
use crate::error::SigmaError;

/// Skippable magic of the header frame.
const HEADER_MAGIC: u32 = 0x184D_2A53;
/// Magic of the container inside the header frame.
const CONTAINER_MAGIC: [u8; 3] = *b"SGL";
/// Version that this crate writes, and the latest that it reads.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// Skippable magic and payload length: what a stream reads before it knows the rest.
pub(crate) const HEADER_FIXED_BYTES: usize = 8;
/// Container magic, version, flags and checksum.
const PAYLOAD_BYTES_MIN: usize = 9;
const PAYLOAD_BYTES_MAX: usize = 64;

const FLAG_CONTENT: u8 = 1 << 0;
const FLAG_DICTIONARY: u8 = 1 << 1;
const FLAG_BASE: u8 = 1 << 2;
const FLAG_TABLE: u8 = 1 << 3;
const FLAGS: u8 = FLAG_CONTENT | FLAG_DICTIONARY | FLAG_BASE | FLAG_TABLE;

const _: () = assert!(PAYLOAD_BYTES_MIN + VARINT_BYTES_MAX + 16 <= PAYLOAD_BYTES_MAX);

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) content_bytes: Option<u64>,
    pub(crate) dictionary: Option<u128>,
    pub(crate) base: Option<u128>,
    pub(crate) seek_table: bool,
}

impl Header {
    /// Appends the header frame.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES_MAX);
        payload.extend_from_slice(&CONTAINER_MAGIC);
        payload.push(FORMAT_VERSION);
        payload.push(self.flags());
        if let Some(bytes) = self.content_bytes {
            write_varint(bytes, &mut payload);
        }
        for hash in [self.dictionary, self.base].into_iter().flatten() {
            payload.extend_from_slice(&hash.to_le_bytes());
        }
        let mut frame = Vec::with_capacity(HEADER_FIXED_BYTES + PAYLOAD_BYTES_MAX);
        frame.extend_from_slice(&HEADER_MAGIC.to_le_bytes());
        let payload_bytes = u32::try_from(payload.len() + 4).unwrap_or(u32::MAX);
        frame.extend_from_slice(&payload_bytes.to_le_bytes());
        frame.extend_from_slice(&payload);
        let check = check32(&frame);
        out.extend_from_slice(&frame);
        out.extend_from_slice(&check.to_le_bytes());
    }

    fn flags(&self) -> u8 {
        let bit = |set: bool, flag: u8| if set { flag } else { 0 };
        bit(self.content_bytes.is_some(), FLAG_CONTENT)
            | bit(self.dictionary.is_some(), FLAG_DICTIONARY)
            | bit(self.base.is_some(), FLAG_BASE)
            | bit(self.seek_table, FLAG_TABLE)
    }

    /// Length of the payload from the first [`HEADER_FIXED_BYTES`] bytes.
    pub(crate) fn payload_bytes(fixed: &[u8]) -> Result<usize, SigmaError> {
        let mut cursor = Cursor::new(fixed, 0);
        if cursor.u32("header")? != HEADER_MAGIC {
            return Err(SigmaError::NotSigma { offset: 0 });
        }
        let bytes = cursor.u32("header")?;
        match usize::try_from(bytes) {
            Ok(bytes) if (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&bytes) => Ok(bytes),
            _ => Err(corrupt(4, "payload length is not 9..=64 bytes")),
        }
    }

    /// Reads the header at the start of `bytes`: the header and its length.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Header, usize), SigmaError> {
        let payload_bytes = Header::payload_bytes(bytes)?;
        let total = HEADER_FIXED_BYTES + payload_bytes;
        let frame = Cursor::new(bytes, 0).take(total, "header")?;
        let mut cursor = Cursor::new(frame, 0);
        cursor.take(HEADER_FIXED_BYTES, "header")?;
        if cursor.take(3, "header")? != CONTAINER_MAGIC {
            return Err(SigmaError::NotSigma { offset: 8 });
        }
        let version = cursor.u8("header")?;
        if version != FORMAT_VERSION {
            return Err(SigmaError::UnsupportedVersion {
                version,
                supported: FORMAT_VERSION,
            });
        }
        let (covered, stored) = frame.split_at(total - 4);
        let computed = check32(covered);
        let stored = Cursor::new(stored, total as u64 - 4).u32("header")?;
        if stored != computed {
            return Err(SigmaError::ChecksumMismatch {
                what: "header",
                offset: 0,
                stored: u64::from(stored),
                computed: u64::from(computed),
            });
        }
        let header = Header::parse_fields(&mut cursor)?;
        if cursor.rest().len() != 4 {
            return Err(corrupt(
                cursor.offset(),
                "payload length does not fit the fields",
            ));
        }
        Ok((header, total))
    }

    fn parse_fields(cursor: &mut Cursor<'_>) -> Result<Header, SigmaError> {
        let flags_offset = cursor.offset();
        let flags = cursor.u8("header flags")?;
        if flags & !FLAGS != 0 {
            return Err(corrupt(flags_offset, "reserved flag is set"));
        }
        if flags & FLAG_DICTIONARY != 0 && flags & FLAG_BASE != 0 {
            return Err(corrupt(
                flags_offset,
                "dictionary and base exclude each other",
            ));
        }
        let mut header = Header {
            seek_table: flags & FLAG_TABLE != 0,
            ..Header::default()
        };
        if flags & FLAG_CONTENT != 0 {
            header.content_bytes = Some(cursor.varint("header content length")?);
        }
        if flags & FLAG_DICTIONARY != 0 {
            header.dictionary = Some(cursor.u128("header dictionary hash")?);
        }
        if flags & FLAG_BASE != 0 {
            header.base = Some(cursor.u128("header base hash")?);
        }
        Ok(header)
    }
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "header",
        offset,
        detail,
    }
}
