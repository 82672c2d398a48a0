//! Whole buffers.

use std::borrow::Cow;
use std::fmt;

use zstd_safe::CCtx;

use super::frame::{Encoded, FrameEncoder, STORED_FRAME_BYTES_MAX, append_grown, reserve};
use super::pieces::pieces;
use super::record::RecordEncoder;
use crate::config::Config;
use crate::error::SigmaError;
use crate::frame::{Header, SeekEntry, hash128, stored_frame_bytes, write_end, write_stored_frame};
use crate::parallel;
use crate::transform::grown::{self, GrownEncoder};

/// Compresses `data` into one container.
///
/// Cost: one pass over the data; the result plus, for more than one frame, a second copy of it in
/// memory. For many calls keep a [`Compressor`], which reuses its tables.
///
/// ```
/// use sigma_lang::{Config, Limits};
/// let text = "the same line again\n".repeat(1000);
/// let packed = sigma_lang::compress(text.as_bytes(), &Config::new())?;
/// assert!(packed.len() < 120);
/// assert_eq!(sigma_lang::decompress(&packed, &Limits::default())?, text.as_bytes());
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// [`SigmaError::InvalidConfig`] for a setting out of range; [`SigmaError::AllocationFailed`].
pub fn compress(data: &[u8], config: &Config) -> Result<Vec<u8>, SigmaError> {
    let mut out = Vec::new();
    Compressor::new(config)?.compress_into(data, &mut out)?;
    Ok(out)
}

/// Compresses many buffers and records with one set of tables.
///
/// ```
/// use sigma_lang::{Compressor, Config, Decompressor, Limits};
/// let mut compressor = Compressor::new(&Config::new())?;
/// let mut decompressor = Decompressor::new(Limits::default());
/// let (mut packed, mut out) = (Vec::new(), Vec::new());
/// for message in ["first message", "second message"] {
///     packed.clear();
///     out.clear();
///     compressor.compress_into(message.as_bytes(), &mut packed)?;
///     decompressor.decompress_into(&packed, &mut out)?;
///     assert_eq!(out, message.as_bytes());
/// }
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
pub struct Compressor {
    config: Config,
    frames: Vec<FrameEncoder<'static>>,
    /// Rooms for frames of several, to be used again.
    rooms: Vec<Vec<u8>>,
    /// With nothing set, to be used for the next base.
    spare: Option<CCtx<'static>>,
    records: RecordEncoder,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Compressor {
    /// Checks the settings. Tables are made on first use.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] names the setting that is out of range.
    pub fn new(config: &Config) -> Result<Compressor, SigmaError> {
        config.validate()?;
        Ok(Compressor {
            config: config.clone(),
            frames: Vec::new(),
            rooms: Vec::new(),
            spare: None,
            records: RecordEncoder::new(config),
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Appends the container of `data` to `out`. On an error `out` is as before.
    ///
    /// # Errors
    /// [`SigmaError::AllocationFailed`]; [`SigmaError::CodecFailed`] should zstd refuse.
    pub fn compress_into(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        let header = Header {
            dictionary: self
                .config
                .dictionary
                .as_ref()
                .map(|dictionary| dictionary.hash()),
            ..Header::default()
        };
        let (frames, rooms) = (&mut self.frames, &mut self.rooms);
        compress_frames(&self.config, frames, rooms, None, header, data, out)
    }

    /// Appends the container of `data` against `base` to `out`, as
    /// [`compress_with_base`](crate::compress_with_base) makes it. On an error `out` is as before.
    ///
    /// Cost: where `data` begins with the beginning of `base` and that is half of it or more, a comparison
    /// and a hash of both, and zstd for what follows with up to 1 MiB of the base around that place as history;
    /// else each frame indexes the base anew.
    ///
    /// # Errors
    /// As [`Compressor::compress_into`].
    pub fn compress_with_base_into(
        &mut self,
        base: &[u8],
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let header = Header {
            base: Some(hash128(base)),
            ..Header::default()
        };
        // zstd takes content that lies in the base's own memory for an overwritten base and ignores the
        // base, so a grown buffer against its own beginning needs a base of its own.
        let apart = if overlap(base, data) {
            Cow::Owned(base.to_vec())
        } else {
            Cow::Borrowed(base)
        };
        let start = out.len();
        let grown = self.compress_grown(&apart, &header, data, out);
        if !matches!(grown, Ok(true)) {
            out.truncate(start);
        }
        if grown? {
            return Ok(());
        }
        let mut encoders = Vec::new();
        if let Some(context) = self.spare.take() {
            encoders.push(FrameEncoder::with_context(
                context,
                &self.config,
                Some(&apart),
            )?);
        }
        let rooms = &mut self.rooms;
        let base = Some(&*apart);
        let result = compress_frames(&self.config, &mut encoders, rooms, base, header, data, out);
        if let Some(encoder) = encoders.pop() {
            self.spare = encoder.into_context().ok();
        }
        result
    }

    /// The case of one frame that begins with the beginning of the base, with a context that is kept.
    /// False, and nothing of use appended, if that is not the case.
    fn compress_grown(
        &mut self,
        base: &[u8],
        header: &Header,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, SigmaError> {
        let config = &self.config;
        if data.len() > config.frame_bytes || !config.transforms || config.plain_frames_only {
            return Ok(false);
        }
        let Some(copied) = grown::copied_bytes(base, 0, data) else {
            return Ok(false);
        };
        let level = config.level.zstd_level();
        let mut encoder = match self.spare.take() {
            Some(context) => GrownEncoder::with_context(context, level)?,
            None => GrownEncoder::new(level)?,
        };
        header.write(out);
        let check = append_grown(&mut encoder, base, 0, copied, data, out)?;
        self.spare = Some(encoder.into_context()?);
        Ok(check.is_some())
    }

    /// Appends the record of `data` to `out`: the compact form for small values whose beginning and
    /// end the caller keeps (see the format page). On an error `out` is as before.
    ///
    /// Cost beyond the compressed bytes: 1 to 4 bytes, plus 4 with a checksum, plus 8 with a
    /// dictionary id.
    ///
    /// # Errors
    /// [`SigmaError::LimitExceeded`] for more than 1 GiB; [`SigmaError::AllocationFailed`].
    pub fn compress_record_into(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let start = out.len();
        let result = self.records.encode(data, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}

/// Compresses `data` frame by frame and appends the container. `header` names dictionary or base.
fn compress_frames<'b>(
    config: &Config,
    encoders: &mut Vec<FrameEncoder<'b>>,
    rooms: &mut Vec<Vec<u8>>,
    base: Option<&'b [u8]>,
    header: Header,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let start = out.len();
    let pieces = pieces(data, config.frame_bytes);
    let result = if let [(_, piece)] = pieces.as_slice() {
        if encoders.is_empty() {
            encoders.push(FrameEncoder::new(config, base)?);
        }
        let Some(encoder) = encoders.first_mut() else {
            return Ok(());
        };
        header.write(out);
        encoder.encode_any(piece, 0, out).map(|_| ())
    } else {
        let make = || FrameEncoder::new(config, base);
        let work = |encoder: &mut FrameEncoder<'b>,
                    (position, piece): (usize, &[u8]),
                    room: &mut Vec<u8>| {
            let kind = encoder.encode(piece, position, room)?;
            Ok((kind, piece.len()))
        };
        let mut container = ContainerWriter::new(header, data, out);
        let sink = |(kind, content_bytes), frame: &[u8]| container.add(kind, frame, content_bytes);
        parallel::in_order(pieces, config.threads, encoders, rooms, make, work, sink)
            .and_then(|()| container.finish())
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Writes header, frames and end, frame by frame. Neighbouring stored pieces become one stored frame of up to
/// [`STORED_FRAME_BYTES_MAX`], so the last of them waits for what follows.
struct ContainerWriter<'a> {
    header: Header,
    data: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Of the header, once it is written.
    header_bytes: usize,
    entries: Vec<SeekEntry>,
    /// Where the next piece begins in the data, and where the stored pieces begin that are not written yet.
    position: usize,
    stored_from: Option<usize>,
}

impl<'a> ContainerWriter<'a> {
    fn new(header: Header, data: &'a [u8], out: &'a mut Vec<u8>) -> ContainerWriter<'a> {
        ContainerWriter {
            header,
            data,
            out,
            header_bytes: 0,
            entries: Vec::new(),
            position: 0,
            stored_from: None,
        }
    }

    /// Takes the next piece of the data and its frame.
    fn add(&mut self, kind: Encoded, frame: &[u8], content_bytes: usize) -> Result<(), SigmaError> {
        let start = self.position;
        let end = start + content_bytes;
        match kind {
            Encoded::Written { check } => {
                self.write_header();
                self.write_stored(start)?;
                reserve(self.out, frame.len())?;
                self.out.extend_from_slice(frame);
                self.entries
                    .push(SeekEntry::new(frame.len(), content_bytes, check));
            }
            Encoded::Stored => match self.stored_from {
                Some(from) if end - from <= STORED_FRAME_BYTES_MAX => {}
                Some(_) => {
                    self.write_header();
                    self.write_stored(start)?;
                    self.stored_from = Some(start);
                }
                None => self.stored_from = Some(start),
            },
        }
        self.position = end;
        Ok(())
    }

    /// Writes the header of more than one frame, unless it is there.
    fn write_header(&mut self) {
        if self.header_bytes > 0 {
            return;
        }
        self.header.content_bytes = Some(self.data.len() as u64);
        self.header.seek_table = true;
        let start = self.out.len();
        self.header.write(self.out);
        self.header_bytes = self.out.len() - start;
    }

    /// Writes the stored pieces that wait, which end here.
    fn write_stored(&mut self, end: usize) -> Result<(), SigmaError> {
        let Some(from) = self.stored_from.take() else {
            return Ok(());
        };
        let content = self.data.get(from..end).unwrap_or_default();
        let bytes = stored_frame_bytes(content.len());
        reserve(self.out, bytes)?;
        let check = write_stored_frame(content, self.out);
        self.entries
            .push(SeekEntry::new(bytes, content.len(), check));
        Ok(())
    }

    fn finish(mut self) -> Result<(), SigmaError> {
        let is_one = self.header_bytes == 0 && self.stored_from.is_some();
        if is_one {
            self.header.write(self.out);
            return self.write_stored(self.position);
        }
        if self.data.is_empty() {
            self.header.content_bytes = Some(0);
            self.header.write(self.out);
            return Ok(());
        }
        self.write_stored(self.position)?;
        reserve(self.out, 64 + 12 * self.entries.len())?;
        write_end(self.header_bytes, &self.entries, self.out)
    }
}
