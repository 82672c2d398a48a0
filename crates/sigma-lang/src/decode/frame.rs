//! One frame to one piece of content.

use std::fmt;
use std::io::Cursor;

use zstd_safe::{DCtx, WriteBuf};

use super::room::Room;
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::{BLOCK_BYTES_MAX, PartInfo, TAG_GROWN, TAG_PLAIN, check_for, is_stored};
use crate::transform::{self, StreamDecoder, grown};

/// A zstd context for decoding; `'b` is the life of the base.
pub(crate) struct FrameDecoder<'b> {
    context: DCtx<'b>,
    base: Option<&'b [u8]>,
    /// Made when the first transformed frame comes.
    streams: Option<StreamDecoder>,
    scratch: Vec<u8>,
}

impl fmt::Debug for FrameDecoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("base_bytes", &self.base.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

impl<'b> FrameDecoder<'b> {
    pub(crate) fn new(base: Option<&'b [u8]>) -> Result<Self, SigmaError> {
        match DCtx::try_create() {
            Some(context) => Ok(FrameDecoder {
                context,
                base,
                streams: None,
                scratch: Vec::new(),
            }),
            None => Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            }),
        }
    }

    /// Appends the content of `frame`, whose shape is `info` and which begins at `offset`; `out`
    /// has room for it. On an error `out` may hold part of it.
    pub(crate) fn append(
        &mut self,
        frame: &[u8],
        info: &PartInfo,
        offset: u64,
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        if is_stored(info.tag) {
            out.extend_from_slice(stored_content(frame, info, offset)?);
            return Ok(());
        }
        if info.tag != TAG_PLAIN {
            return self.transformed(frame, info, offset, out);
        }
        let start = out.len() as u64;
        let mut tail = Cursor::new(out);
        tail.set_position(start);
        self.plain(frame, info, offset, dictionary, &mut tail)
    }

    /// Fills `out`, which has its exact length, with the content of `frame`.
    pub(super) fn fill(
        &mut self,
        frame: &[u8],
        info: &PartInfo,
        offset: u64,
        dictionary: Option<&Dictionary>,
        out: &mut Room<'_>,
    ) -> Result<(), SigmaError> {
        if is_stored(info.tag) {
            let content = stored_content(frame, info, offset)?;
            if !out.fill(content) {
                return Err(corrupt(offset, "content length changed"));
            }
            return Ok(());
        }
        if info.tag != TAG_PLAIN {
            let mut content = std::mem::take(&mut self.scratch);
            content.clear();
            content
                .try_reserve(out.bytes())
                .map_err(|_| SigmaError::AllocationFailed {
                    what: "content of a frame",
                    bytes: out.bytes() as u64,
                })?;
            self.transformed(frame, info, offset, &mut content)?;
            if !out.fill(&content) {
                return Err(corrupt(offset, "content length changed"));
            }
            self.scratch = content;
            return Ok(());
        }
        self.plain(frame, info, offset, dictionary, out)
    }

    /// Appends the content of a transformed frame.
    fn transformed(
        &mut self,
        frame: &[u8],
        info: &PartInfo,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let start = out.len();
        let payload_end = info.payload_start + info.payload_bytes;
        let payload = frame.get(info.payload_start..payload_end);
        let payload = payload.unwrap_or_default();
        let payload_offset = offset + info.payload_start as u64;
        let content_bytes = info.content_bytes as usize;
        if info.tag == TAG_GROWN {
            let grown = grown::parse(payload, payload_offset, self.base, content_bytes)?;
            grown.append(&mut self.context, payload_offset, out)?;
        } else {
            let streams = match &mut self.streams {
                Some(streams) => streams,
                none => none.insert(StreamDecoder::new()?),
            };
            transform::decode(
                info.tag,
                payload,
                payload_offset,
                content_bytes,
                streams,
                out,
            )?;
        }
        check_content(out.get(start..).unwrap_or_default(), info, offset)
    }

    fn plain<C: WriteBuf + ?Sized>(
        &mut self,
        frame: &[u8],
        info: &PartInfo,
        offset: u64,
        dictionary: Option<&Dictionary>,
        out: &mut C,
    ) -> Result<(), SigmaError> {
        let failed = |code| corrupt(offset, zstd_safe::get_error_name(code));
        if let Some(base) = self.base {
            self.context.ref_prefix(base).map_err(failed)?;
        }
        let written = match dictionary {
            Some(dictionary) => {
                self.context
                    .decompress_using_ddict(out, frame, dictionary.decoder())
            }
            None => self.context.decompress(out, frame),
        };
        if written.map_err(failed)? != info.content_bytes as usize {
            return Err(corrupt(
                offset,
                "content is not as long as the frame states",
            ));
        }
        Ok(())
    }

    /// Appends the content of a zstd frame of one block, whose length only decoding shows, if `allow`
    /// takes the length.
    pub(crate) fn append_block(
        &mut self,
        frame: &[u8],
        dictionary: Option<&Dictionary>,
        allow: impl FnOnce(u64) -> Result<(), SigmaError>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let room = &mut self.scratch;
        room.clear();
        let refused = |bytes: usize| SigmaError::AllocationFailed {
            what: "content of a record",
            bytes: bytes as u64,
        };
        room.try_reserve(BLOCK_BYTES_MAX)
            .map_err(|_| refused(BLOCK_BYTES_MAX))?;
        let written = match dictionary {
            Some(dictionary) => {
                self.context
                    .decompress_using_ddict(room, frame, dictionary.decoder())
            }
            None => self.context.decompress(room, frame),
        };
        written.map_err(|code| SigmaError::Corrupt {
            what: "record",
            offset: 0,
            detail: zstd_safe::get_error_name(code),
        })?;
        allow(room.len() as u64)?;
        out.try_reserve(room.len())
            .map_err(|_| refused(room.len()))?;
        out.extend_from_slice(room);
        Ok(())
    }

    /// Appends the content of a zstd frame that came out of a record.
    pub(crate) fn append_record(
        &mut self,
        frame: &[u8],
        content_bytes: usize,
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let failed = |code| SigmaError::Corrupt {
            what: "record",
            offset: 0,
            detail: zstd_safe::get_error_name(code),
        };
        let start = out.len() as u64;
        let mut tail = Cursor::new(out);
        tail.set_position(start);
        let written = match dictionary {
            Some(dictionary) => {
                self.context
                    .decompress_using_ddict(&mut tail, frame, dictionary.decoder())
            }
            None => self.context.decompress(&mut tail, frame),
        };
        if written.map_err(failed)? != content_bytes {
            return Err(SigmaError::Corrupt {
                what: "record",
                offset: 0,
                detail: "content is not as long as the record states",
            });
        }
        Ok(())
    }
}

fn stored_content<'f>(
    frame: &'f [u8],
    info: &PartInfo,
    offset: u64,
) -> Result<&'f [u8], SigmaError> {
    let end = info.payload_start + info.content_bytes as usize;
    let content = frame.get(info.payload_start..end).unwrap_or_default();
    check_content(content, info, offset)?;
    Ok(content)
}

fn check_content(content: &[u8], info: &PartInfo, offset: u64) -> Result<(), SigmaError> {
    let computed = check_for(info.tag, content);
    if computed != info.check {
        return Err(SigmaError::ChecksumMismatch {
            what: "content of a frame",
            offset,
            stored: u64::from(info.check),
            computed: u64::from(computed),
        });
    }
    Ok(())
}

fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: "frame",
        offset,
        detail,
    }
}
