//! Whole buffers.

use std::borrow::Cow;
use std::fmt;

use zstd_safe::CCtx;

use super::frame::{Encoded, FrameEncoder, STORED_FRAME_BYTES_MAX, append_grown, reserve};
use super::record::RecordEncoder;
use crate::config::Config;
use crate::error::SigmaError;
use crate::frame::{Header, SeekEntry, hash128, write_end, write_stored_frame};
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
        compress_frames(&self.config, &mut self.frames, None, header, data, out)
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
        let result = compress_frames(&self.config, &mut encoders, Some(&apart), header, data, out);
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
    base: Option<&'b [u8]>,
    header: Header,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let start = out.len();
    let pieces: Vec<(usize, &[u8])> = (0..)
        .step_by(config.frame_bytes)
        .zip(data.chunks(config.frame_bytes))
        .collect();
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
        let work = |encoder: &mut FrameEncoder<'b>, (position, piece): (usize, &[u8])| {
            let (kind, frame) =
                encoder.encode_apart(|encoder, room| encoder.encode(piece, position, room))?;
            Ok((kind, frame, piece.len()))
        };
        let encoded = parallel::map(pieces, config.threads, encoders, make, work);
        encoded.and_then(|encoded| write_container(header, data, encoded, out))
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends header, frames and end. Neighbouring stored pieces become one stored frame.
fn write_container(
    mut header: Header,
    data: &[u8],
    encoded: Vec<(Encoded, Vec<u8>, usize)>,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let frames = gather(data, encoded);
    let compressed: usize = frames.iter().map(|frame| frame.bytes_max()).sum();
    reserve(out, compressed + 64 + 12 * frames.len() + 64)?;
    if frames.len() != 1 {
        header.content_bytes = Some(data.len() as u64);
        header.seek_table = !frames.is_empty();
    }
    let start = out.len();
    header.write(out);
    let header_bytes = out.len() - start;
    let mut entries = Vec::with_capacity(frames.len());
    for frame in &frames {
        let frame_start = out.len();
        let (content_bytes, check) = match frame {
            Gathered::Written {
                bytes,
                check,
                content_bytes,
            } => {
                out.extend_from_slice(bytes);
                (*content_bytes, *check)
            }
            Gathered::Stored(content) => {
                let check = write_stored_frame(content, out);
                (content.len(), check)
            }
        };
        entries.push(SeekEntry::new(
            out.len() - frame_start,
            content_bytes,
            check,
        ));
    }
    if header.seek_table {
        write_end(header_bytes, &entries, out)?;
    }
    Ok(())
}

enum Gathered<'d> {
    Written {
        bytes: Vec<u8>,
        check: u32,
        content_bytes: usize,
    },
    Stored(&'d [u8]),
}

impl Gathered<'_> {
    fn bytes_max(&self) -> usize {
        match self {
            Gathered::Written { bytes, .. } => bytes.len(),
            Gathered::Stored(content) => content.len() + 16,
        }
    }
}

/// Joins neighbouring stored pieces up to [`STORED_FRAME_BYTES_MAX`].
fn gather(data: &[u8], encoded: Vec<(Encoded, Vec<u8>, usize)>) -> Vec<Gathered<'_>> {
    let mut frames: Vec<Gathered<'_>> = Vec::with_capacity(encoded.len());
    let mut position = 0;
    // Where the stored frame at the end of `frames` begins in the data.
    let mut stored_from = None;
    for (kind, bytes, content_bytes) in encoded {
        let end = position + content_bytes;
        match kind {
            Encoded::Written { check } => {
                stored_from = None;
                frames.push(Gathered::Written {
                    bytes,
                    check,
                    content_bytes,
                });
            }
            Encoded::Stored => {
                match stored_from {
                    Some(from) if end - from <= STORED_FRAME_BYTES_MAX => drop(frames.pop()),
                    _ => stored_from = Some(position),
                }
                let from = stored_from.unwrap_or(position);
                frames.push(Gathered::Stored(data.get(from..end).unwrap_or_default()));
            }
        }
        position = end;
    }
    frames
}
