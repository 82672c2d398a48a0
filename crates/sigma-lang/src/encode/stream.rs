//! A container written piece by piece.

use std::io::{self, Write};

use super::frame::FrameEncoder;
use crate::config::Config;
use crate::error::SigmaError;
use crate::frame::{Header, SeekEntry, write_end};
use crate::parallel;

/// Writes a container to `W` as content comes in.
///
/// Holds at most one frame of content and one compressed frame for each of [`Config::threads`], the tables
/// of zstd (for each thread about 1 MiB at the default level, up to 100 MiB at the slowest ones), 256 KiB of samples
/// and streams for the choice of a transform plus twice a frame where one is used, and 12 bytes per frame for
/// the seek table. [`Write::flush`] ends the current frame, so that a reader can have everything
/// written so far; frames that are ended early compress less. A container of at most one frame, which
/// no flush ended, has no seek table. [`Encoder::finish`] must be called:
/// without it the container has no end, and a decoder says so. With more than one thread, frames are
/// gathered and compressed together; the bytes are the same.
///
/// ```
/// use std::io::{Read, Write};
/// use sigma_lang::{Config, Decoder, Encoder};
/// let mut encoder = Encoder::new(Vec::new(), &Config::new())?;
/// encoder.write_all(b"one record\n")?;
/// encoder.flush()?;
/// encoder.write_all(b"another record\n")?;
/// let packed = encoder.finish()?;
///
/// let mut text = String::new();
/// Decoder::new(packed.as_slice()).read_to_string(&mut text)?;
/// assert_eq!(text, "one record\nanother record\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder<W: Write> {
    inner: W,
    config: Config,
    encoders: Vec<FrameEncoder<'static>>,
    header: Header,
    header_bytes: usize,
    content: Vec<u8>,
    packed: Vec<u8>,
    entries: Vec<SeekEntry>,
    failed: bool,
}

impl<W: Write> Encoder<W> {
    /// Starts a container. Nothing is written before the first frame is complete.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] for a setting out of range; [`SigmaError::AllocationFailed`].
    pub fn new(inner: W, config: &Config) -> Result<Encoder<W>, SigmaError> {
        config.validate()?;
        let header = Header {
            dictionary: config
                .dictionary
                .as_ref()
                .map(|dictionary| dictionary.hash()),
            seek_table: true,
            ..Header::default()
        };
        Ok(Encoder {
            inner,
            config: config.clone(),
            encoders: vec![FrameEncoder::new(config, None)?],
            header,
            header_bytes: 0,
            content: Vec::new(),
            packed: Vec::new(),
            entries: Vec::new(),
            failed: false,
        })
    }

    /// The writer underneath.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Ends the container, flushes the writer and gives it back.
    ///
    /// # Errors
    /// [`SigmaError::Io`] if the writer fails; [`SigmaError::StreamFailed`] if it failed before.
    pub fn finish(mut self) -> Result<W, SigmaError> {
        self.guard("finish a container")?;
        if self.header_bytes == 0 {
            // Nothing is written yet: where at most one frame follows, it needs no seek table.
            self.header.seek_table = self.content.len() > self.config.frame_bytes;
            self.header.content_bytes = self.content.is_empty().then_some(0);
        }
        self.end_frames()?;
        self.packed.clear();
        self.start();
        if self.header.seek_table {
            write_end(self.header_bytes, &self.entries, &mut self.packed)?;
        }
        self.emit()?;
        self.inner.flush().map_err(write_failed)?;
        Ok(self.inner)
    }

    /// Puts the header into `packed` if nothing was written yet.
    fn start(&mut self) {
        if self.header_bytes == 0 {
            self.header.write(&mut self.packed);
            self.header_bytes = self.packed.len();
        }
    }

    /// Compresses and writes what is held, if anything.
    fn end_frames(&mut self) -> Result<(), SigmaError> {
        if self.content.is_empty() {
            return Ok(());
        }
        self.packed.clear();
        self.failed = true;
        self.start();
        if self.content.len() <= self.config.frame_bytes {
            let frame_start = self.packed.len();
            if let Some(encoder) = self.encoders.first_mut() {
                let check = encoder.encode_any(&self.content, 0, &mut self.packed)?;
                let frame_bytes = self.packed.len() - frame_start;
                self.entries
                    .push(SeekEntry::new(frame_bytes, self.content.len(), check));
            }
        } else {
            self.encode_together()?;
        }
        self.content.clear();
        self.emit()?;
        self.failed = false;
        Ok(())
    }

    /// Compresses the frames that are held, on as many threads as there may be.
    fn encode_together(&mut self) -> Result<(), SigmaError> {
        let pieces: Vec<&[u8]> = self.content.chunks(self.config.frame_bytes).collect();
        let config = &self.config;
        let make = || FrameEncoder::new(config, None);
        let work = |encoder: &mut FrameEncoder<'static>, piece: &[u8]| {
            let (check, frame) =
                encoder.encode_apart(|encoder, room| encoder.encode_any(piece, 0, room))?;
            Ok((frame, piece.len(), check))
        };
        let frames = parallel::map(pieces, config.threads, &mut self.encoders, make, work)?;
        for (frame, content_bytes, check) in frames {
            self.entries
                .push(SeekEntry::new(frame.len(), content_bytes, check));
            self.packed.extend_from_slice(&frame);
        }
        Ok(())
    }

    fn emit(&mut self) -> Result<(), SigmaError> {
        self.inner.write_all(&self.packed).map_err(write_failed)
    }

    fn guard(&self, operation: &'static str) -> Result<(), SigmaError> {
        if self.failed {
            return Err(SigmaError::StreamFailed { operation });
        }
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.guard("write content")?;
        let held_max = self.config.frame_bytes.saturating_mul(self.config.threads);
        if self.content.len() >= held_max {
            self.end_frames()?;
        }
        let room = held_max - self.content.len();
        let (taken, _) = data.split_at_checked(room).unwrap_or((data, &[]));
        self.content.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.guard("flush content")?;
        self.end_frames()?;
        self.inner.flush()
    }
}

fn write_failed(source: io::Error) -> SigmaError {
    SigmaError::Io {
        operation: "write a container",
        source,
    }
}
