//! Bounded little-endian reading with offsets for error messages.

use super::varint::{VarintError, read_varint};
use crate::error::SigmaError;

/// Reads fields from `bytes`, which begin at `start` in the whole.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], start: u64) -> Self {
        Cursor {
            rest: bytes,
            offset: start,
        }
    }

    /// Offset of the next byte in the whole.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(
        &mut self,
        bytes: usize,
        what: &'static str,
    ) -> Result<&'a [u8], SigmaError> {
        let Some((head, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(SigmaError::Truncated {
                what,
                offset: self.offset,
                needed: bytes as u64,
                available: self.rest.len() as u64,
            });
        };
        self.rest = rest;
        self.offset += bytes as u64;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], SigmaError> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N, what)?);
        Ok(value)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, SigmaError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, SigmaError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, SigmaError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, SigmaError> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, SigmaError> {
        match read_varint(self.rest) {
            Ok((value, bytes)) => {
                self.take(bytes, what)?;
                Ok(value)
            }
            Err(VarintError::Short) => Err(SigmaError::Truncated {
                what,
                offset: self.offset,
                needed: self.rest.len() as u64 + 1,
                available: self.rest.len() as u64,
            }),
            Err(VarintError::Illegal) => Err(SigmaError::Corrupt {
                what,
                offset: self.offset,
                detail: "varint is too long or not in its shortest form",
            }),
        }
    }
}
