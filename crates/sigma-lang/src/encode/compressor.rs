//! Whole buffers.

use super::frame::{Encoded, FrameEncoder, STORED_FRAME_BYTES_MAX, reserve};
use super::record::RecordEncoder;
use crate::config::Config;
use crate::error::SigmaError;
use crate::frame::{Header, SeekEntry, check32, write_end, write_stored_frame};
use crate::parallel;

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
#[derive(Debug)]
pub struct Compressor {
    config: Config,
    frames: Vec<FrameEncoder<'static>>,
    records: RecordEncoder,
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

/// Compresses `data` frame by frame and appends the container. `header` names dictionary or base.
pub(crate) fn compress_frames<'b>(
    config: &Config,
    encoders: &mut Vec<FrameEncoder<'b>>,
    base: Option<&'b [u8]>,
    header: Header,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let start = out.len();
    let pieces: Vec<&[u8]> = data.chunks(config.frame_bytes).collect();
    let result = if let [piece] = pieces.as_slice() {
        if encoders.is_empty() {
            encoders.push(FrameEncoder::new(config, base)?);
        }
        let Some(encoder) = encoders.first_mut() else {
            return Ok(());
        };
        header.write(out);
        encoder.encode_any(piece, out).map(|_| ())
    } else {
        let make = || FrameEncoder::new(config, base);
        let encoded = parallel::map(pieces, config.threads, encoders, make, |encoder, piece| {
            let mut frame = Vec::new();
            let kind = encoder.encode(piece, &mut frame)?;
            frame.shrink_to_fit();
            Ok((kind, frame, piece.len()))
        });
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
                let check = check32(content);
                write_stored_frame(content, check, out);
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
