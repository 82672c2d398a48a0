//! The plain twin of the session decoder: it keeps every block and decodes the whole zstd frame
//! anew for every record.

use std::io::Read;

use xxhash_rust::xxh64::xxh64;

use super::head::corrupt;
use crate::dictionary::DictionaryRegistry;
use crate::error::SigmaError;
use crate::limits::Limits;

/// Decodes the records of a session from its beginning, slowly. Gives the contents up to the first
/// record that is refused, and why it was.
///
/// ```
/// use sigma_lang::{DictionaryRegistry, Limits, SessionConfig, SessionEncoder, reference};
/// let mut encoder = SessionEncoder::new(&SessionConfig::new())?;
/// let mut records = vec![Vec::new(), Vec::new()];
/// encoder.encode_into(b"one turn", &mut records[0])?;
/// encoder.encode_into(b"one more turn", &mut records[1])?;
/// let (contents, error) =
///     reference::decompress_session(&records, &Limits::default(), &DictionaryRegistry::new());
/// assert_eq!(contents, [b"one turn".to_vec(), b"one more turn".to_vec()]);
/// assert!(error.is_none());
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
pub fn decompress_session(
    records: &[impl AsRef<[u8]>],
    limits: &Limits,
    dictionaries: &DictionaryRegistry,
) -> (Vec<Vec<u8>>, Option<SigmaError>) {
    let mut session = Session::default();
    let mut contents = Vec::new();
    for record in records {
        match session.record(record.as_ref(), limits, dictionaries) {
            Ok(content) => contents.push(content),
            Err(error) => return (contents, Some(error)),
        }
    }
    (contents, None)
}

#[derive(Default)]
struct Session {
    /// The zstd frame of the stream so far, without an end.
    frame: Vec<u8>,
    primer: Vec<u8>,
    /// Content of the stream so far.
    stream: Vec<u8>,
    /// Content of all records since the last fresh start.
    all: Vec<u8>,
    history_bytes: usize,
    number: u64,
    chain: u64,
}

impl Session {
    fn record(
        &mut self,
        record: &[u8],
        limits: &Limits,
        dictionaries: &DictionaryRegistry,
    ) -> Result<Vec<u8>, SigmaError> {
        let mut rest = record;
        let head = number(&mut rest, 1)?;
        let low = number(&mut rest, 1)?;
        if head & 0xF0 != 0 || head & 3 == 3 {
            return Err(corrupt(0, "head"));
        }
        let body_bytes = |rest: &[u8]| {
            let check_bytes = if head & 4 != 0 { 4 } else { 0 };
            let bytes = rest.len().checked_sub(check_bytes);
            bytes.ok_or(corrupt(0, "record is too short"))
        };
        let form = head & 3;
        if head & 8 != 0 {
            self.start(&mut rest, low, limits, dictionaries)?;
            body_bytes(rest)?;
        } else if self.frame.is_empty() {
            return Err(SigmaError::SessionStartRequired { expected: 0 });
        } else if low != self.number & 0xFF {
            return Err(SigmaError::SessionOutOfStep {
                expected: self.number,
                found: low,
            });
        }
        let bytes = body_bytes(rest)?;
        let body = take(&mut rest, bytes)?;
        self.append_blocks(form, body)?;
        let content = self.decode(limits, body.len())?;
        if head & 4 != 0 {
            self.chain = xxh64(&content, self.chain);
            if number(&mut rest, 4)? != self.chain & 0xFFFF_FFFF {
                return Err(corrupt(0, "checksum"));
            }
        } else {
            self.chain = 0;
        }
        self.stream.extend_from_slice(&content);
        self.all.extend_from_slice(&content);
        self.number += 1;
        Ok(content)
    }

    fn start(
        &mut self,
        rest: &mut &[u8],
        low: u64,
        limits: &Limits,
        dictionaries: &DictionaryRegistry,
    ) -> Result<(), SigmaError> {
        let window_log = number(rest, 1)?;
        let flags = number(rest, 1)?;
        let number_of = varint(rest)?;
        let history_bytes = varint(rest)?;
        if !(17..=27).contains(&window_log)
            || flags > 3
            || number_of > 1 << 62
            || history_bytes > 16 << 20
            || number_of & 0xFF != low
        {
            return Err(corrupt(2, "start"));
        }
        if 1 << window_log > limits.window_bytes_max {
            return Err(corrupt(2, "window"));
        }
        if !self.frame.is_empty() && number_of != self.number {
            return Err(SigmaError::SessionOutOfStep {
                expected: self.number,
                found: number_of,
            });
        }
        self.primer.clear();
        if flags & 1 != 0 {
            let id = number(rest, 8)?;
            let dictionary = dictionaries.get(id);
            let dictionary = dictionary.ok_or(SigmaError::DictionaryMissing { id })?;
            self.primer.extend_from_slice(dictionary.as_bytes());
        }
        if flags & 2 != 0 {
            let tail = self.all.len().saturating_sub(self.history_bytes);
            let history = self.all.get(tail..).unwrap_or_default();
            let same = self.history_bytes as u64 == history_bytes;
            if self.frame.is_empty() || !same || number(rest, 8)? != xxh64(history, self.chain) {
                return Err(SigmaError::SessionHistoryMismatch { number: number_of });
            }
            if flags & 1 == 0 {
                self.primer.extend_from_slice(&[0; 8]);
            }
            self.primer.extend_from_slice(history);
        } else {
            self.all.clear();
            self.chain = 0;
        }
        self.history_bytes = usize::try_from(history_bytes).unwrap_or(0);
        self.number = number_of;
        self.stream.clear();
        self.frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0];
        let window = u8::try_from((window_log - 10) << 3).unwrap_or_default();
        self.frame.push(window);
        Ok(())
    }

    fn append_blocks(&mut self, form: u64, body: &[u8]) -> Result<(), SigmaError> {
        if form != 0 {
            if !(1..=131_072).contains(&body.len()) {
                return Err(corrupt(0, "block length"));
            }
            let kind = if form == 1 { 2 << 1 } else { 0 };
            let header = (body.len() as u64) << 3 | kind;
            let header = header.to_le_bytes();
            self.frame
                .extend_from_slice(header.get(..3).unwrap_or_default());
        }
        let mut blocks = if form == 0 { body } else { &[] };
        while !blocks.is_empty() {
            let header = number(&mut blocks, 3)?;
            let (kind, size) = (header >> 1 & 3, header >> 3);
            if header & 1 != 0 || kind == 3 || size > 131_072 {
                return Err(corrupt(0, "block header"));
            }
            let stored = if kind == 1 { 1 } else { size };
            take(&mut blocks, usize::try_from(stored).unwrap_or(usize::MAX))?;
        }
        self.frame.extend_from_slice(body);
        Ok(())
    }

    /// The content that the last blocks made: decodes the frame from its beginning, closed by an
    /// empty last block.
    fn decode(&self, limits: &Limits, body_bytes: usize) -> Result<Vec<u8>, SigmaError> {
        let closed = [self.frame.as_slice(), &[1, 0, 0]].concat();
        let failed = |_| corrupt(0, "zstd stream");
        let mut decoder =
            zstd::stream::read::Decoder::with_dictionary(closed.as_slice(), &self.primer)
                .map_err(failed)?
                .single_frame();
        decoder.window_log_max(27).map_err(failed)?;
        let mut content = Vec::new();
        let allowed = limits.output_bytes_max.min(limits.frame_bytes_max);
        (&mut decoder)
            .take(
                (self.stream.len() as u64)
                    .saturating_add(allowed)
                    .saturating_add(1),
            )
            .read_to_end(&mut content)
            .map_err(failed)?;
        let content = content.split_off(self.stream.len().min(content.len()));
        let ratio = (content.len() as u64).div_ceil((body_bytes as u64).max(1));
        if content.len() as u64 > allowed || ratio > limits.ratio_max {
            return Err(corrupt(0, "content is over a limit"));
        }
        Ok(content)
    }
}

fn take<'b>(rest: &mut &'b [u8], bytes: usize) -> Result<&'b [u8], SigmaError> {
    let (front, back) = rest
        .split_at_checked(bytes)
        .ok_or(corrupt(0, "record is too short"))?;
    *rest = back;
    Ok(front)
}

fn number(rest: &mut &[u8], bytes: usize) -> Result<u64, SigmaError> {
    let field = take(rest, bytes)?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn varint(rest: &mut &[u8]) -> Result<u64, SigmaError> {
    let mut value = 0;
    for index in 0..10 {
        let byte = number(rest, 1)?;
        value |= (byte & 0x7F) << (7 * index);
        let overflows = index == 9 && byte > 1;
        if byte & 0x80 == 0 {
            return match overflows || (byte == 0 && index > 0) {
                true => Err(corrupt(0, "varint")),
                false => Ok(value),
            };
        }
    }
    Err(corrupt(0, "varint"))
}
