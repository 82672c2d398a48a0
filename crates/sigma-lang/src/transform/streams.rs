//! The streams of a transform's payload: byte strings, each stored or as one zstd frame.

use std::fmt;
use std::io::Cursor as IoCursor;

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, FrameFormat, ParamSwitch};

use super::tokens::TokenScratch;
use crate::error::SigmaError;
use crate::frame::{Cursor, LengthGap, write_varint};

/// zstd level at which nothing is searched: only the symbols are coded.
const NO_SEARCH: i32 = -131_072;
/// zstd level of [`Effort::Quick`], at most: where the level of the configuration is at most
/// [`FAST_LEVEL_MAX`], and else.
const QUICK_LEVELS_MAX: [i32; 2] = [1, 3];
/// Up to this level speed comes first.
pub(crate) const FAST_LEVEL_MAX: i32 = 3;
/// Shorter streams are stored: a zstd frame would not be shorter.
const CODED_BYTES_MIN: usize = 12;

/// How much to look for in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Nothing: the bytes are noise.
    Store,
    /// Frequencies of bytes only.
    Symbols,
    /// Repetitions at a fast level: for numbers, where more search hardly finds more.
    Quick,
    /// Repetitions at the level of the configuration.
    Matches,
}

/// Bytes that the streams of one payload may have in all, decoded.
pub(crate) fn stream_bytes_max(content_bytes: usize) -> usize {
    4 * content_bytes + 1024
}

/// Writes streams.
pub(crate) struct StreamEncoder {
    matches: CCtx<'static>,
    quick: CCtx<'static>,
    symbols: CCtx<'static>,
    /// Whether speed comes first.
    pub(crate) fast: bool,
    /// Buffers for streams before they are coded, to be used again.
    pub(crate) buffers: Vec<Vec<u8>>,
    /// The same of tokens.
    pub(super) tokens: TokenScratch,
}

impl fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEncoder").finish_non_exhaustive()
    }
}

impl StreamEncoder {
    pub(crate) fn new(zstd_level: i32) -> Result<Self, SigmaError> {
        let matches = context(&[CParameter::CompressionLevel(zstd_level)])?;
        let fast = zstd_level <= FAST_LEVEL_MAX;
        let [quick_fast, quick] = QUICK_LEVELS_MAX;
        let quick_level = zstd_level.min(if fast { quick_fast } else { quick });
        let quick = context(&[CParameter::CompressionLevel(quick_level)])?;
        let symbols = context(&[
            CParameter::CompressionLevel(NO_SEARCH),
            CParameter::LiteralCompressionMode(ParamSwitch::Enable),
        ])?;
        Ok(StreamEncoder {
            matches,
            quick,
            symbols,
            fast,
            buffers: Vec::new(),
            tokens: TokenScratch::default(),
        })
    }

    /// Appends one stream.
    pub(crate) fn write(
        &mut self,
        raw: &[u8],
        effort: Effort,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let context = match effort {
            Effort::Store => None,
            Effort::Symbols => Some(&mut self.symbols),
            Effort::Quick => Some(&mut self.quick),
            Effort::Matches => Some(&mut self.matches),
        };
        if let Some(context) = context.filter(|_| raw.len() >= CODED_BYTES_MIN) {
            let start = out.len();
            write_varint((raw.len() as u64) << 1 | 1, out);
            let gap = LengthGap::open(raw.len(), out);
            reserve(out, zstd_safe::compress_bound(raw.len()))?;
            let mut tail = IoCursor::new(&mut *out);
            tail.set_position(gap.body as u64);
            let coded = context
                .compress2(&mut tail, raw)
                .map_err(|code| SigmaError::codec("compress a stream", code))?;
            if coded + 5 < raw.len() {
                gap.close(out);
                return Ok(());
            }
            out.truncate(start);
        }
        reserve(out, raw.len() + 10)?;
        write_varint((raw.len() as u64) << 1, out);
        out.extend_from_slice(raw);
        Ok(())
    }

    /// Length of `raw` as a stream, for trials.
    pub(crate) fn measure(&mut self, raw: &[u8], effort: Effort) -> Result<usize, SigmaError> {
        let mut out = Vec::new();
        self.write(raw, effort, &mut out)?;
        Ok(out.len())
    }
}

fn context(parameters: &[CParameter]) -> Result<CCtx<'static>, SigmaError> {
    let Some(mut context) = CCtx::try_create() else {
        return Err(SigmaError::AllocationFailed {
            what: "a zstd context",
            bytes: 0,
        });
    };
    let format = CParameter::Format(FrameFormat::Magicless);
    for parameter in parameters.iter().copied().chain([format]) {
        context
            .set_parameter(parameter)
            .map_err(|code| SigmaError::codec("set up a compressor", code))?;
    }
    Ok(context)
}

/// Decodes streams.
pub(crate) struct StreamDecoder {
    context: DCtx<'static>,
    /// Buffers of earlier payloads, to be used again.
    buffers: Vec<Vec<u8>>,
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecoder").finish_non_exhaustive()
    }
}

impl StreamDecoder {
    pub(crate) fn new() -> Result<Self, SigmaError> {
        let Some(mut context) = DCtx::try_create() else {
            return Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            });
        };
        context
            .set_parameter(DParameter::Format(FrameFormat::Magicless))
            .map_err(|code| SigmaError::codec("set up a decompressor", code))?;
        Ok(StreamDecoder {
            context,
            buffers: Vec::new(),
        })
    }
}

const WRONG_LENGTH: &str = "stream has another length than its elements need";

/// A stream in the payload.
enum Found<'p> {
    Stored(&'p [u8]),
    Coded(CodedStream<'p>),
}

/// A zstd frame that decodes to `bytes` bytes, at `offset` in the container.
struct CodedStream<'p> {
    frame: &'p [u8],
    offset: u64,
    bytes: usize,
}

/// Reads a payload: fields and streams, within a budget.
#[derive(Debug)]
pub(crate) struct PayloadReader<'p, 'd> {
    pub(crate) cursor: Cursor<'p>,
    decoder: &'d mut StreamDecoder,
    budget: usize,
}

impl<'p, 'd> PayloadReader<'p, 'd> {
    /// `payload` begins at `offset` in the container and makes `content_bytes` bytes.
    pub(crate) fn new(
        payload: &'p [u8],
        offset: u64,
        content_bytes: usize,
        decoder: &'d mut StreamDecoder,
    ) -> Self {
        PayloadReader {
            cursor: Cursor::new(payload, offset),
            decoder,
            budget: stream_bytes_max(content_bytes),
        }
    }

    /// `count` buffers to decode streams into, with room from earlier use.
    pub(crate) fn take_buffers(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut buffers = std::mem::take(&mut self.decoder.buffers);
        buffers.resize_with(count.max(buffers.len()), Vec::new);
        buffers
    }

    /// Gives buffers back for the next payload.
    pub(crate) fn give_buffers(&mut self, buffers: Vec<Vec<u8>>) {
        self.decoder.buffers = buffers;
    }

    /// The next stream: borrowed where it is stored, else decoded into `scratch`.
    pub(crate) fn stream<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], SigmaError>
    where
        'p: 's,
    {
        match self.find()? {
            Found::Stored(stream) => Ok(stream),
            Found::Coded(coded) => {
                self.decode(coded, scratch)?;
                Ok(scratch)
            }
        }
    }

    /// The next stream, which must be `bytes` long, in `buffer`.
    pub(crate) fn stream_into(
        &mut self,
        bytes: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let corrupt = self.corrupt(WRONG_LENGTH);
        match self.find()? {
            Found::Stored(stream) => {
                buffer.clear();
                reserve(buffer, stream.len())?;
                buffer.extend_from_slice(stream);
            }
            Found::Coded(coded) => self.decode(coded, buffer)?,
        }
        if buffer.len() != bytes {
            return Err(corrupt);
        }
        Ok(())
    }

    fn find(&mut self) -> Result<Found<'p>, SigmaError> {
        let head = self.cursor.varint("length of a stream")?;
        let bytes = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if bytes > self.budget {
            return Err(self.corrupt("streams are longer than the content allows"));
        }
        self.budget -= bytes;
        if head & 1 == 0 {
            return Ok(Found::Stored(self.cursor.take(bytes, "stored stream")?));
        }
        let coded = self.cursor.varint("coded length of a stream")?;
        let coded = usize::try_from(coded).unwrap_or(usize::MAX);
        let offset = self.cursor.offset();
        let frame = self.cursor.take(coded, "coded stream")?;
        Ok(Found::Coded(CodedStream {
            frame,
            offset,
            bytes,
        }))
    }

    fn decode(&mut self, coded: CodedStream<'_>, out: &mut Vec<u8>) -> Result<(), SigmaError> {
        out.clear();
        reserve(out, coded.bytes)?;
        // The buffer may have more room from earlier use: the length is checked afterwards.
        let written = self.decoder.context.decompress(out, coded.frame);
        if written != Ok(coded.bytes) {
            return Err(SigmaError::Corrupt {
                what: "stream",
                offset: coded.offset,
                detail: "zstd frame does not decode to the stated length",
            });
        }
        Ok(())
    }

    /// The next stream, which must be `bytes` long.
    pub(crate) fn stream_of<'s>(
        &mut self,
        bytes: usize,
        scratch: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], SigmaError>
    where
        'p: 's,
    {
        let corrupt = self.corrupt(WRONG_LENGTH);
        let stream = self.stream(scratch)?;
        if stream.len() != bytes {
            return Err(corrupt);
        }
        Ok(stream)
    }

    /// A varint that must not be over `max`.
    pub(crate) fn number(&mut self, max: usize, what: &'static str) -> Result<usize, SigmaError> {
        let offset = self.cursor.offset();
        let value = self.cursor.varint(what)?;
        match usize::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(SigmaError::Corrupt {
                what,
                offset,
                detail: "number is over what the content allows",
            }),
        }
    }

    /// Refuses bytes behind the last field.
    pub(crate) fn end(&self) -> Result<(), SigmaError> {
        if self.cursor.rest().is_empty() {
            return Ok(());
        }
        Err(self.corrupt("bytes follow the last stream"))
    }

    pub(crate) fn corrupt(&self, detail: &'static str) -> SigmaError {
        SigmaError::Corrupt {
            what: "payload of a frame",
            offset: self.cursor.offset(),
            detail,
        }
    }
}

/// Reserves room behind what is there.
pub(crate) fn reserve(out: &mut Vec<u8>, bytes: usize) -> Result<(), SigmaError> {
    out.try_reserve(bytes)
        .map_err(|_| SigmaError::AllocationFailed {
            what: "streams of a frame",
            bytes: bytes as u64,
        })
}
