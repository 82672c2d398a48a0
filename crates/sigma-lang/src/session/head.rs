//! Front of a session record: head, number, start.

use super::config::{HISTORY_BYTES_MAX, WINDOW_LOG_MAX, WINDOW_LOG_MIN};
use crate::error::SigmaError;
use crate::frame::{Cursor, write_varint};

const FORM_BITS: u8 = 0b11;
const FLAG_CHECKSUM: u8 = 1 << 2;
const FLAG_START: u8 = 1 << 3;
const RESERVED: u8 = 0xF0;

/// Largest number of a start, far from an overflow.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

const START_DICTIONARY: u8 = 1;
const START_HISTORY: u8 = 2;

/// How the body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Any number of zstd blocks with their headers.
    Blocks,
    /// One compressed block without its header.
    Block,
    /// One raw block without its header: the content.
    Raw,
}

/// Front of a session record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) form: Form,
    pub(super) checksum: bool,
    /// Low 8 bits of the number of the record.
    pub(super) number_low: u8,
    pub(super) start: Option<Start>,
}

/// How a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) window_log: u32,
    pub(super) number: u64,
    pub(super) history_bytes: usize,
    pub(super) dictionary_id: Option<u64>,
    /// Hash of the history that the stream goes on from.
    pub(super) history_hash: Option<u64>,
}

impl Head {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut head = match self.form {
            Form::Blocks => 0,
            Form::Block => 1,
            Form::Raw => 2,
        };
        if self.checksum {
            head |= FLAG_CHECKSUM;
        }
        if self.start.is_some() {
            head |= FLAG_START;
        }
        out.extend_from_slice(&[head, self.number_low]);
        if let Some(start) = &self.start {
            start.write(out);
        }
    }

    /// Reads the front of a record and leaves `cursor` at the body.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Head, SigmaError> {
        let head = cursor.u8("session record")?;
        if head & RESERVED != 0 {
            return Err(corrupt(0, "reserved flag is set"));
        }
        let form = match head & FORM_BITS {
            0 => Form::Blocks,
            1 => Form::Block,
            2 => Form::Raw,
            tag => {
                return Err(SigmaError::UnknownTag {
                    what: "session record",
                    offset: 0,
                    tag,
                });
            }
        };
        let number_low = cursor.u8("number of a session record")?;
        let start = match head & FLAG_START {
            0 => None,
            _ => Some(Start::parse(cursor)?),
        };
        if start.is_some_and(|start| start.number & 0xFF != u64::from(number_low)) {
            return Err(corrupt(1, "numbers of the record differ"));
        }
        Ok(Head {
            form,
            checksum: head & FLAG_CHECKSUM != 0,
            number_low,
            start,
        })
    }
}

impl Start {
    fn write(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.dictionary_id.is_some() {
            flags |= START_DICTIONARY;
        }
        if self.history_hash.is_some() {
            flags |= START_HISTORY;
        }
        let window_log = u8::try_from(self.window_log).unwrap_or_default();
        out.extend_from_slice(&[window_log, flags]);
        write_varint(self.number, out);
        write_varint(self.history_bytes as u64, out);
        for field in [self.dictionary_id, self.history_hash]
            .into_iter()
            .flatten()
        {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Start, SigmaError> {
        const WHAT: &str = "start of a session";
        let at = cursor.offset();
        let window_log = u32::from(cursor.u8(WHAT)?);
        if !(WINDOW_LOG_MIN..=WINDOW_LOG_MAX).contains(&window_log) {
            return Err(corrupt(at, "window is not 2^17..=2^27 bytes"));
        }
        let flags = cursor.u8(WHAT)?;
        if flags & !(START_DICTIONARY | START_HISTORY) != 0 {
            return Err(corrupt(at + 1, "reserved flag of the start is set"));
        }
        let number = cursor.varint(WHAT)?;
        if number > NUMBER_MAX {
            return Err(corrupt(at, "number is over 2^62"));
        }
        let history_bytes = usize::try_from(cursor.varint(WHAT)?)
            .ok()
            .filter(|bytes| *bytes <= HISTORY_BYTES_MAX);
        let Some(history_bytes) = history_bytes else {
            return Err(corrupt(at, "history is over 16 MiB"));
        };
        let mut field = |flag| match flags & flag {
            0 => Ok(None),
            _ => cursor.u64(WHAT).map(Some),
        };
        Ok(Start {
            window_log,
            number,
            history_bytes,
            dictionary_id: field(START_DICTIONARY)?,
            history_hash: field(START_HISTORY)?,
        })
    }
}

pub(super) fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "session record",
        offset,
        detail,
    }
}
