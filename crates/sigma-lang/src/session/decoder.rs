//! The side that unpacks.

use std::fmt;
use std::sync::Arc;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::config::WINDOW_LOG_MAX;
use super::head::{Form, Head, Start, corrupt};
use super::history::History;
use super::snapshot::SessionSnapshot;
use crate::dictionary::{Dictionary, DictionaryRegistry};
use crate::error::SigmaError;
use crate::frame::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, Cursor, ZSTD_MAGIC,
};
use crate::limits::Limits;

/// Unpacks the records of a session in order. See [`SessionEncoder`](crate::SessionEncoder) for an
/// example.
///
/// A record out of order is refused and changes nothing: the right one may still come. A record that
/// turns out to be damaged while it is decoded ends the stream; the decoder goes on at the next fresh
/// start.
pub struct SessionDecoder {
    limits: Limits,
    dictionary: Option<Arc<Dictionary>>,
    dictionaries: DictionaryRegistry,
    context: Option<DCtx<'static>>,
    state: State,
    number: u64,
    history: History,
    /// Blocks of a record with their headers, to decode.
    blocks: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet, or the stream failed: only a fresh start helps.
    Lost,
    /// Restored: a start with history must come.
    Restored,
    InStep,
}

impl fmt::Debug for SessionDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDecoder")
            .field("state", &self.state)
            .field("records", &self.number)
            .finish_non_exhaustive()
    }
}

impl SessionDecoder {
    /// A decoder that waits for a fresh start. `limits.output_bytes_max` holds for each record,
    /// `limits.window_bytes_max` for the session.
    pub fn new(limits: Limits) -> SessionDecoder {
        SessionDecoder {
            limits,
            dictionary: None,
            dictionaries: DictionaryRegistry::new(),
            context: None,
            state: State::Lost,
            number: 0,
            history: History::default(),
            blocks: Vec::new(),
        }
    }

    /// Looks dictionaries up in `dictionaries`.
    pub fn with_dictionaries(mut self, dictionaries: DictionaryRegistry) -> Self {
        self.dictionaries = dictionaries;
        self
    }

    /// Uses `dictionary` for sessions that name it.
    pub fn with_dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.dictionary = Some(dictionary);
        self
    }

    /// Goes on from `snapshot`, which was taken where the next record is a start.
    pub fn resume(mut self, snapshot: SessionSnapshot) -> Self {
        self.state = State::Restored;
        self.number = snapshot.number;
        self.history = snapshot.history;
        self
    }

    /// Number of the record that is expected next.
    pub fn records(&self) -> u64 {
        self.number
    }

    /// The state now. To go on from it, the next record must be a start, that is, the encoder made a
    /// checkpoint here.
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            number: self.number,
            history: self.history.trimmed(),
        }
    }

    /// Gives up the records in between: takes the next fresh start, whatever its number.
    pub fn skip_to_start(&mut self) {
        self.state = State::Lost;
    }

    /// Appends the content of the next record to `out`. On an error `out` is as before.
    ///
    /// # Errors
    /// [`SigmaError::SessionOutOfStep`] for a gap or a record that came too early or twice (nothing
    /// changes); [`SigmaError::SessionStartRequired`] where a start must come first;
    /// [`SigmaError::SessionHistoryMismatch`]; [`SigmaError::DictionaryMissing`];
    /// [`SigmaError::LimitExceeded`]; [`SigmaError::Corrupt`], [`SigmaError::Truncated`],
    /// [`SigmaError::UnknownTag`] and [`SigmaError::ChecksumMismatch`] for damage.
    pub fn decode_into(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        let mut cursor = Cursor::new(record, 0);
        let head = Head::parse(&mut cursor)?;
        let stored = if head.checksum {
            let Some((_, check)) = cursor.rest().split_last_chunk::<4>() else {
                cursor.take(4, "checksum of a session record")?;
                return Ok(());
            };
            Some(u32::from_le_bytes(*check))
        } else {
            None
        };
        let body_bytes = cursor.rest().len() - if head.checksum { 4 } else { 0 };
        let body = cursor.take(body_bytes, "session record")?;
        self.check_step(&head)?;
        self.frame_body(head.form, body)?;
        let before = out.len();
        let result = self.decode(&head, stored, body_bytes, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// Whether this record is the one that comes next.
    fn check_step(&self, head: &Head) -> Result<(), SigmaError> {
        let expected = self.number;
        let required = SigmaError::SessionStartRequired { expected };
        match (&head.start, self.state) {
            (Some(start), State::Lost) if start.history_hash.is_none() => return Ok(()),
            (_, State::Lost) | (None, State::Restored) => return Err(required),
            (Some(start), _) if start.number != expected => {
                let found = start.number;
                return Err(SigmaError::SessionOutOfStep { expected, found });
            }
            (Some(_), _) => {}
            #[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
            (None, State::InStep) if head.number_low != expected as u8 => {
                let found = nearest(expected, head.number_low);
                return Err(SigmaError::SessionOutOfStep { expected, found });
            }
            (None, State::InStep) => {}
        }
        let Some(start) = &head.start else {
            return Ok(());
        };
        let same = start.history_bytes == self.history.bytes_max;
        match start.history_hash {
            Some(stated) if !same || stated != self.history.hash() => {
                Err(SigmaError::SessionHistoryMismatch { number: expected })
            }
            _ => Ok(()),
        }
    }

    /// Leaves the blocks of a record with their headers in `blocks`.
    fn frame_body(&mut self, form: Form, body: &[u8]) -> Result<(), SigmaError> {
        let blocks = &mut self.blocks;
        blocks.clear();
        blocks
            .try_reserve(body.len() + BLOCK_HEADER_BYTES)
            .map_err(|_| SigmaError::AllocationFailed {
                what: "a session record",
                bytes: body.len() as u64,
            })?;
        if form == Form::Blocks {
            check_blocks(body)?;
        } else {
            let size = u32::try_from(body.len())
                .ok()
                .filter(|size| (1..=BLOCK_BYTES_MAX as u64).contains(&u64::from(*size)));
            let Some(size) = size else {
                return Err(corrupt(0, "block is not 1..=131072 bytes"));
            };
            let kind = match form {
                Form::Raw => BlockKind::Raw,
                _ => BlockKind::Compressed,
            };
            BlockHeader::write_open(kind, size, blocks);
        }
        blocks.extend_from_slice(body);
        Ok(())
    }

    /// Decodes `blocks` as the record that was found to be next.
    fn decode(
        &mut self,
        head: &Head,
        stored: Option<u32>,
        body_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let start = out.len();
        if let Some(begins) = &head.start {
            self.start_stream(begins)?;
        }
        // From here on the zstd stream moves: whatever fails leaves it somewhere in between.
        self.state = State::Lost;
        self.stream(body_bytes, out)?;
        let content = out.get(start..).unwrap_or_default();
        let mut chain = 0;
        if let Some(stored) = stored {
            chain = self.history.chain_with(content);
            #[expect(clippy::cast_possible_truncation, reason = "the low half is stored")]
            let computed = chain as u32;
            if stored != computed {
                return Err(SigmaError::ChecksumMismatch {
                    what: "content of a session record",
                    offset: 0,
                    stored: u64::from(stored),
                    computed: u64::from(computed),
                });
            }
        }
        self.history.push(content, chain);
        self.number += 1;
        self.state = State::InStep;
        Ok(())
    }

    /// Begins a new zstd stream. Where this fails, the session is as before.
    fn start_stream(&mut self, start: &Start) -> Result<(), SigmaError> {
        self.limits.check_window(1 << start.window_log)?;
        let dictionary = match start.dictionary_id {
            None => None,
            Some(id) => Some(self.find(id)?),
        };
        if self.context.is_none() {
            self.context = DCtx::try_create();
        }
        let Some(context) = &mut self.context else {
            return Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            });
        };
        self.state = State::Lost;
        let failed = |code| SigmaError::codec("start a session", code);
        context
            .reset(ResetDirective::SessionAndParameters)
            .map_err(failed)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(failed)?;
        if start.history_hash.is_some() {
            let primer = self.history.primer(dictionary.as_deref());
            context.load_dictionary(&primer).map_err(failed)?;
        } else {
            self.history = History::new(start.history_bytes);
            let bytes = dictionary.as_deref().map_or(&[][..], Dictionary::as_bytes);
            context.load_dictionary(bytes).map_err(failed)?;
        }
        self.number = start.number;
        let mut header = ZSTD_MAGIC.to_le_bytes().to_vec();
        let window = u8::try_from((start.window_log - 10) << 3).unwrap_or_default();
        header.extend_from_slice(&[0, window]);
        let mut nothing = [0u8; 1];
        let mut output = OutBuffer::around(&mut nothing[..]);
        context
            .decompress_stream(&mut output, &mut InBuffer::around(&header))
            .map_err(failed)?;
        Ok(())
    }

    fn find(&self, id: u64) -> Result<Arc<Dictionary>, SigmaError> {
        match &self.dictionary {
            Some(dictionary) if dictionary.id() == id => Ok(Arc::clone(dictionary)),
            _ => self
                .dictionaries
                .get(id)
                .ok_or(SigmaError::DictionaryMissing { id }),
        }
    }

    /// Runs `blocks` through the zstd stream and appends what comes out, within the limits.
    fn stream(&mut self, body_bytes: usize, out: &mut Vec<u8>) -> Result<(), SigmaError> {
        let Some(context) = &mut self.context else {
            return Err(SigmaError::SessionStartRequired {
                expected: self.number,
            });
        };
        if self.blocks.is_empty() {
            return Ok(());
        }
        let start = out.len();
        let mut input = InBuffer::around(&self.blocks);
        loop {
            let written = out.len();
            // A block makes at most 128 KiB; most make little, and `out` is the caller's.
            let room = (2 * self.blocks.len()).clamp(256, BLOCK_BYTES_MAX);
            out.try_reserve(room)
                .map_err(|_| SigmaError::AllocationFailed {
                    what: "content of a session record",
                    bytes: room as u64,
                })?;
            let (capacity, given) = (out.capacity(), input.pos());
            let mut output = OutBuffer::around_pos(out, written);
            let hint = context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| corrupt(0, zstd_safe::get_error_name(code)))?;
            if hint == 0 {
                return Err(corrupt(0, "zstd stream ended"));
            }
            let content_bytes = (out.len() - start) as u64;
            self.limits.check_output(content_bytes)?;
            self.limits
                .check_frame(content_bytes, 0, (body_bytes as u64).max(1))?;
            let full = out.len() == capacity;
            let moved = out.len() > written || input.pos() > given;
            if input.pos() == self.blocks.len() && !full {
                return Ok(());
            }
            if !moved && !full {
                return Err(corrupt(0, "zstd stream does not move"));
            }
        }
    }
}

/// The record number nearest to `expected` with these low 8 bits.
fn nearest(expected: u64, low: u8) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
    let ahead = low.wrapping_sub(expected as u8);
    if ahead < 128 {
        expected.saturating_add(u64::from(ahead))
    } else {
        expected.saturating_sub(256 - u64::from(ahead))
    }
}

/// Holds a body to whole zstd blocks, none of them the last of a frame.
fn check_blocks(body: &[u8]) -> Result<(), SigmaError> {
    let mut cursor = Cursor::new(body, 0);
    while !cursor.rest().is_empty() {
        let at = cursor.offset();
        let block = BlockHeader::parse(cursor.take(BLOCK_HEADER_BYTES, "zstd block header")?, at)?;
        cursor.take(block.stored_bytes(), "zstd block")?;
        if block.last {
            return Err(corrupt(at, "block is the last of its frame"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn numbers_are_completed_to_the_nearest() {
        assert_eq!(nearest(5, 7), 7);
        assert_eq!(nearest(1000, 231), 999);
        assert_eq!(nearest(255, 0), 256);
        assert_eq!(nearest(256, 255), 255);
        assert_eq!(nearest(0, 255), 0);
    }
}
