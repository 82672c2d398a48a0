//! First byte of a record.

use crate::error::SigmaError;

pub(crate) const FLAG_CHECKSUM: u8 = 1 << 3;
pub(crate) const FLAG_DICTIONARY: u8 = 1 << 4;
pub(crate) const FLAG_DICTIONARY_ID: u8 = 1 << 5;
pub(crate) const FLAG_DICTIONARY_VERSION: u8 = 1 << 6;
const FORM_BITS: u8 = 0b111;
const RESERVED: u8 = 1 << 7;

/// How the body of a record is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The content.
    Stored,
    /// Content length and one zstd block.
    Block,
    /// A zstd frame without its magic.
    Frame,
    /// One zstd block.
    Bare,
    /// One zstd block with raw literals and short section headers.
    PackedRaw,
    /// One zstd block with literals by the dictionary's table and short section headers.
    PackedTreeless,
}

impl Form {
    pub(crate) fn bits(self) -> u8 {
        match self {
            Form::Stored => 0,
            Form::Block => 1,
            Form::Frame => 2,
            Form::Bare => 3,
            Form::PackedRaw => 4,
            Form::PackedTreeless => 5,
        }
    }

    /// Form of a record with this first byte.
    pub(crate) fn parse(head: u8) -> Result<Form, SigmaError> {
        let corrupt = |detail| SigmaError::Corrupt {
            what: "record",
            offset: 0,
            detail,
        };
        if head & RESERVED != 0 {
            return Err(corrupt("reserved flag is set"));
        }
        if head & (FLAG_DICTIONARY_ID | FLAG_DICTIONARY_VERSION) != 0 && head & FLAG_DICTIONARY == 0
        {
            return Err(corrupt("dictionary id or version without dictionary"));
        }
        if head & FLAG_DICTIONARY_ID != 0 && head & FLAG_DICTIONARY_VERSION != 0 {
            return Err(corrupt("dictionary id and version"));
        }
        match head & FORM_BITS {
            0 if head & FLAG_DICTIONARY != 0 => Err(corrupt("stored form with a dictionary")),
            0 => Ok(Form::Stored),
            1 => Ok(Form::Block),
            2 => Ok(Form::Frame),
            3 => Ok(Form::Bare),
            4 | 5 if head & FLAG_DICTIONARY == 0 => Err(corrupt("packed form without dictionary")),
            4 => Ok(Form::PackedRaw),
            5 => Ok(Form::PackedTreeless),
            tag => Err(SigmaError::UnknownTag {
                what: "record",
                offset: 0,
                tag,
            }),
        }
    }
}
