//! The state of a session as bytes.

use super::config::HISTORY_BYTES_MAX;
use super::head::NUMBER_MAX;
use super::history::History;
use crate::error::SigmaError;
use crate::frame::{Cursor, check32, write_varint};

const MAGIC: [u8; 4] = *b"SGSS";
const VERSION: u8 = 1;

/// The state of a session between two records: what either side needs to go on from a checkpoint.
///
/// Holds the content of the last records: keep it as secret as the records themselves. See
/// [`SessionEncoder::checkpoint`](crate::SessionEncoder::checkpoint) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSnapshot {
    pub(super) number: u64,
    pub(super) history: History,
}

impl SessionSnapshot {
    /// Number of the record that comes next.
    pub fn records(&self) -> u64 {
        self.number
    }

    /// The snapshot as bytes, see the format page.
    pub fn to_bytes(&self) -> Vec<u8> {
        let content = self.history.content();
        let mut out = Vec::with_capacity(content.len() + 48);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        write_varint(self.number, &mut out);
        out.extend_from_slice(&self.history.chain.to_le_bytes());
        write_varint(self.history.bytes_max as u64, &mut out);
        write_varint(content.len() as u64, &mut out);
        out.extend_from_slice(content);
        let check = check32(&out);
        out.extend_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads what [`SessionSnapshot::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`SigmaError::NotSigma`], [`SigmaError::UnsupportedVersion`], [`SigmaError::Truncated`],
    /// [`SigmaError::Corrupt`], [`SigmaError::ChecksumMismatch`].
    pub fn from_bytes(bytes: &[u8]) -> Result<SessionSnapshot, SigmaError> {
        const WHAT: &str = "session snapshot";
        let mut cursor = Cursor::new(bytes, 0);
        if cursor.take(MAGIC.len(), WHAT)? != MAGIC {
            return Err(SigmaError::NotSigma { offset: 0 });
        }
        let version = cursor.u8(WHAT)?;
        if version != VERSION {
            return Err(SigmaError::UnsupportedVersion {
                version,
                supported: VERSION,
            });
        }
        let corrupt = |offset, detail| SigmaError::Corrupt {
            what: WHAT,
            offset,
            detail,
        };
        let number = cursor.varint(WHAT)?;
        let chain = cursor.u64(WHAT)?;
        let at = cursor.offset();
        let [bytes_max, length] = [cursor.varint(WHAT)?, cursor.varint(WHAT)?];
        if length > bytes_max || bytes_max > HISTORY_BYTES_MAX as u64 || number > NUMBER_MAX {
            return Err(corrupt(at, "number or history is over its bound"));
        }
        let content = cursor.take(usize::try_from(length).unwrap_or(usize::MAX), WHAT)?;
        let covered = bytes.len() - cursor.rest().len();
        let stored = cursor.u32(WHAT)?;
        let computed = check32(bytes.get(..covered).unwrap_or_default());
        if stored != computed {
            return Err(SigmaError::ChecksumMismatch {
                what: WHAT,
                offset: 0,
                stored: u64::from(stored),
                computed: u64::from(computed),
            });
        }
        if !cursor.rest().is_empty() {
            return Err(corrupt(cursor.offset(), "bytes follow the end"));
        }
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Ok(SessionSnapshot {
            number,
            history: History::restored(bytes_max, content.to_vec(), chain),
        })
    }
}
