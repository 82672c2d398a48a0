//! Reading little-endian values with a running offset and a known end.

use std::io::Read;

use super::{FORMAT, limits};
use crate::error::{InferError, Result};

/// A reader that knows how many bytes are left.
pub(super) struct Cursor<R> {
    reader: R,
    offset: u64,
    end: u64,
}

impl<R: Read> Cursor<R> {
    /// `file_bytes` is the size of the whole file, of which at most the header cap is read.
    pub(super) fn new(reader: R, file_bytes: u64) -> Self {
        Self {
            reader,
            offset: 0,
            end: file_bytes,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Checks that `bytes` more can be read, within the file and within the header cap.
    pub(super) fn need(&self, what: &'static str, bytes: u64) -> Result<()> {
        let available = self.end.saturating_sub(self.offset);
        if bytes > available {
            return Err(InferError::Truncated {
                format: FORMAT,
                what,
                offset: self.offset,
                needed: bytes,
                available,
            });
        }
        let value = self.offset.saturating_add(bytes);
        over("header size in bytes", value, limits::HEADER_BYTES_MAX)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        self.need(what, N as u64)?;
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, what: &'static str, bytes: &mut [u8]) -> Result<()> {
        let needed = bytes.len() as u64;
        self.reader
            .read_exact(bytes)
            .map_err(|source| match source.kind() {
                // the file is shorter than it said
                std::io::ErrorKind::UnexpectedEof => InferError::Truncated {
                    format: FORMAT,
                    what,
                    offset: self.offset,
                    needed,
                    available: 0,
                },
                _ => InferError::Io {
                    operation: "read",
                    path: "gguf header".into(),
                    source,
                },
            })?;
        self.offset += needed;
        Ok(())
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count that is at most `limit` and whose elements of at least `element_bytes` can be there.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        limit: u64,
        element_bytes: u64,
    ) -> Result<usize> {
        let count = self.u64(what)?;
        over(what, count, limit)?;
        self.need(what, count.saturating_mul(element_bytes))?;
        usize::try_from(count).map_err(|_| over_limit(what, count, limit))
    }

    /// A string of at most `limit` bytes; bytes that are not UTF-8 are an error.
    pub(super) fn string(&mut self, what: &'static str, limit: u64) -> Result<String> {
        let len = self.count(what, limit, 1)?;
        let mut bytes = vec![0; len];
        let start = self.offset;
        self.fill(what, &mut bytes)?;
        String::from_utf8(bytes).map_err(|e| InferError::BadField {
            format: FORMAT,
            field: what.to_owned(),
            value: format!(
                "not UTF-8 from byte {}",
                start.saturating_add(e.utf8_error().valid_up_to() as u64)
            ),
            allowed: "UTF-8 text".to_owned(),
        })
    }

    /// `count` fixed-size elements, converted one by one.
    pub(super) fn elements<const N: usize, T>(
        &mut self,
        count: usize,
        convert: impl Fn([u8; N]) -> Result<T>,
    ) -> Result<Vec<T>> {
        // the caller has checked that count * N bytes are there
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(convert(self.array("array element")?)?);
        }
        Ok(values)
    }
}

pub(super) fn over(what: &'static str, value: u64, limit: u64) -> Result<()> {
    if value > limit {
        Err(over_limit(what, value, limit))
    } else {
        Ok(())
    }
}

fn over_limit(what: &'static str, value: u64, limit: u64) -> InferError {
    InferError::OverLimit {
        format: FORMAT,
        what,
        value,
        limit,
    }
}
