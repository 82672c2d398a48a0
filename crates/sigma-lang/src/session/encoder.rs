//! The side that packs.

use std::fmt;

use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, zstd_sys};

use super::config::SessionConfig;
use super::head::{Form, Head, Start};
use super::history::History;
use super::snapshot::SessionSnapshot;
use crate::error::SigmaError;
use crate::frame::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind, header_bytes};
use crate::limits::FORMAT_FRAME_BYTES_MAX;

/// Packs values in order, each against the values before it.
///
/// ```
/// use sigma_lang::{Limits, SessionConfig, SessionDecoder, SessionEncoder};
/// let mut encoder = SessionEncoder::new(&SessionConfig::new())?;
/// let mut decoder = SessionDecoder::new(Limits::default());
/// let (mut packed, mut out) = (Vec::new(), Vec::new());
/// for n in 0..100 {
///     let value = format!("{{\"role\":\"assistant\",\"content\":\"step {n} of the plan is done\"}}");
///     packed.clear();
///     out.clear();
///     encoder.encode_into(value.as_bytes(), &mut packed)?;
///     decoder.decode_into(&packed, &mut out)?;
///     assert_eq!(out, value.as_bytes());
/// }
/// assert!(packed.len() < 24);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
pub struct SessionEncoder {
    config: SessionConfig,
    context: CCtx<'static>,
    /// What the next record has to begin with, if it is a start.
    next_start: Option<StartKind>,
    /// Whether the frame header of the stream was not seen yet.
    header_due: bool,
    number: u64,
    history: History,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartKind {
    Fresh,
    WithHistory,
}

impl fmt::Debug for SessionEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEncoder")
            .field("config", &self.config)
            .field("records", &self.number)
            .finish_non_exhaustive()
    }
}

impl SessionEncoder {
    /// A session without history. Cost of the first record: the tables of the dictionary, about 0.2 ms
    /// for 110 KB.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] names the setting that is out of range;
    /// [`SigmaError::AllocationFailed`].
    pub fn new(config: &SessionConfig) -> Result<SessionEncoder, SigmaError> {
        let history = History::new(config.history_bytes);
        SessionEncoder::with(config, StartKind::Fresh, 0, history)
    }

    /// Goes on where `snapshot` was taken; the next record is a start with that history, or a fresh
    /// one where there is none, so that a decoder which has seen what was forgotten can follow. The
    /// snapshot's own bound on the history holds, not the one of `config`.
    ///
    /// # Errors
    /// As [`SessionEncoder::new`].
    pub fn resume(
        config: &SessionConfig,
        snapshot: SessionSnapshot,
    ) -> Result<SessionEncoder, SigmaError> {
        let SessionSnapshot { number, history } = snapshot;
        let start = if history.content().is_empty() && history.chain == 0 {
            StartKind::Fresh
        } else {
            StartKind::WithHistory
        };
        SessionEncoder::with(config, start, number, history)
    }

    fn with(
        config: &SessionConfig,
        start: StartKind,
        number: u64,
        history: History,
    ) -> Result<SessionEncoder, SigmaError> {
        config.validate()?;
        let Some(context) = CCtx::try_create() else {
            return Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            });
        };
        Ok(SessionEncoder {
            config: config.clone(),
            context,
            next_start: Some(start),
            header_due: false,
            number,
            history,
            scratch: Vec::new(),
        })
    }

    /// Records made so far: the number of the next one.
    pub fn records(&self) -> u64 {
        self.number
    }

    /// Forgets the history: the next record is a start that a decoder may join at.
    pub fn reset(&mut self) {
        self.history = History::new(self.history.bytes_max);
        self.next_start = Some(StartKind::Fresh);
    }

    /// Makes the next record a start that goes on with the history (as much of it as
    /// [`SessionConfig::history_bytes`]), and gives the state that either side can be restored from
    /// to go on there. Cost: the tables of dictionary and history with the next record.
    ///
    /// ```
    /// use sigma_lang::{Limits, SessionConfig, SessionDecoder, SessionEncoder};
    /// let mut encoder = SessionEncoder::new(&SessionConfig::new())?;
    /// let (mut first, mut second) = (Vec::new(), Vec::new());
    /// encoder.encode_into(b"the plan: read, think, write", &mut first)?;
    /// let snapshot = encoder.checkpoint();
    /// encoder.encode_into(b"the plan: read, think, write again", &mut second)?;
    ///
    /// // A decoder that never saw the first record.
    /// let mut decoder = SessionDecoder::new(Limits::default()).resume(snapshot);
    /// let mut out = Vec::new();
    /// decoder.decode_into(&second, &mut out)?;
    /// assert_eq!(out, b"the plan: read, think, write again");
    /// # Ok::<(), sigma_lang::SigmaError>(())
    /// ```
    pub fn checkpoint(&mut self) -> SessionSnapshot {
        if self.next_start.is_none() {
            self.next_start = Some(StartKind::WithHistory);
        }
        SessionSnapshot {
            number: self.number,
            history: self.history.trimmed(),
        }
    }

    /// Appends the record of `data` to `out`. After an error `out` is as before, and the next record
    /// is a fresh start.
    ///
    /// # Errors
    /// [`SigmaError::LimitExceeded`] for more than 1 GiB; [`SigmaError::AllocationFailed`];
    /// [`SigmaError::CodecFailed`] should zstd refuse.
    pub fn encode_into(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        let before = out.len();
        let result = self.encode(data, out);
        if result.is_err() {
            out.truncate(before);
            self.reset();
        }
        result
    }

    fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        if data.len() as u64 > FORMAT_FRAME_BYTES_MAX {
            return Err(SigmaError::LimitExceeded {
                what: "content of a session record",
                value: data.len() as u64,
                allowed: FORMAT_FRAME_BYTES_MAX,
                unit: "bytes",
            });
        }
        let start = match self.next_start {
            Some(kind) => Some(self.start_stream(kind)?),
            None => None,
        };
        self.compress(data)?;
        let (form, body) = self.body();
        #[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
        let head = Head {
            form,
            checksum: self.config.checksum,
            number_low: self.number as u8,
            start,
        };
        let needed = body.len() + 64;
        out.try_reserve(needed)
            .map_err(|_| SigmaError::AllocationFailed {
                what: "a session record",
                bytes: needed as u64,
            })?;
        head.write(out);
        out.extend_from_slice(body);
        let mut chain = 0;
        if self.config.checksum {
            chain = self.history.chain_with(data);
            out.extend_from_slice(chain.to_le_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
        }
        self.history.push(data, chain);
        self.header_due &= self.scratch.is_empty();
        self.next_start = None;
        self.number += 1;
        Ok(())
    }

    /// Begins a new zstd stream and says what its first record states.
    fn start_stream(&mut self, kind: StartKind) -> Result<Start, SigmaError> {
        let failed = |code| SigmaError::codec("start a session", code);
        let config = &self.config;
        let context = &mut self.context;
        context
            .reset(ResetDirective::SessionAndParameters)
            .map_err(failed)?;
        for parameter in [
            CParameter::CompressionLevel(config.level.zstd_level()),
            CParameter::WindowLog(config.window_log()),
            CParameter::ContentSizeFlag(false),
            CParameter::ChecksumFlag(false),
            CParameter::DictIdFlag(false),
        ] {
            context.set_parameter(parameter).map_err(failed)?;
        }
        let dictionary = config.dictionary.as_deref();
        let history_hash = match (kind, dictionary) {
            (StartKind::WithHistory, _) => {
                let primer = self.history.primer(dictionary);
                context.load_dictionary(&primer).map_err(failed)?;
                Some(self.history.hash())
            }
            (StartKind::Fresh, Some(dictionary)) => {
                context
                    .load_dictionary(dictionary.as_bytes())
                    .map_err(failed)?;
                None
            }
            (StartKind::Fresh, None) => None,
        };
        self.header_due = true;
        Ok(Start {
            window_log: config.window_log(),
            number: self.number,
            history_bytes: self.history.bytes_max,
            dictionary_id: dictionary.map(|dictionary| dictionary.id()),
            history_hash,
        })
    }

    /// Leaves what the stream makes of `data` in `scratch`, flushed.
    fn compress(&mut self, data: &[u8]) -> Result<(), SigmaError> {
        let scratch = &mut self.scratch;
        scratch.clear();
        let mut input = InBuffer::around(data);
        let mut room = zstd_safe::compress_bound(data.len()) + 64;
        loop {
            scratch
                .try_reserve(room)
                .map_err(|_| SigmaError::AllocationFailed {
                    what: "a session record",
                    bytes: room as u64,
                })?;
            let written = scratch.len();
            let mut output = OutBuffer::around_pos(scratch, written);
            let left = self
                .context
                .compress_stream2(
                    &mut output,
                    &mut input,
                    zstd_sys::ZSTD_EndDirective::ZSTD_e_flush,
                )
                .map_err(|code| SigmaError::codec("compress a session record", code))?;
            if left == 0 {
                return Ok(());
            }
            room = left.max(1024);
        }
    }

    /// The shortest form of what is in `scratch`.
    fn body(&self) -> (Form, &[u8]) {
        let mut blocks = self.scratch.as_slice();
        if self.header_due {
            let descriptor = blocks.get(4).copied().unwrap_or_default();
            blocks = blocks.get(header_bytes(descriptor)..).unwrap_or_default();
        }
        let content = blocks.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
        match BlockHeader::parse(blocks, 0) {
            Ok(block) if !block.last && block.size == content.len() => match block.kind {
                BlockKind::Compressed => (Form::Block, content),
                BlockKind::Raw => (Form::Raw, content),
                BlockKind::RunLength => (Form::Blocks, blocks),
            },
            _ => (Form::Blocks, blocks),
        }
    }
}
