//! The compact form of small values.

use std::fmt;
use std::sync::Arc;

use zstd_safe::{CCtx, CDict};

use super::frame::reserve;
use crate::config::Config;
use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::frame::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, FrameHeader, check32, write_varint,
};
use crate::limits::FORMAT_FRAME_BYTES_MAX;
use crate::record::{FLAG_CHECKSUM, FLAG_DICTIONARY, FLAG_DICTIONARY_ID, Form};

/// Longest content length of the block form in bytes.
const LENGTH_BYTES_MAX: usize = 3;

/// Makes records with one context.
pub(super) struct RecordEncoder {
    level: i32,
    checksum: bool,
    dictionary_id: bool,
    dictionary: Option<Arc<Dictionary>>,
    prepared: Option<Arc<CDict<'static>>>,
    context: Option<CCtx<'static>>,
    scratch: Vec<u8>,
}

impl fmt::Debug for RecordEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordEncoder")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl RecordEncoder {
    pub(super) fn new(config: &Config) -> Self {
        RecordEncoder {
            level: config.level.zstd_level(),
            checksum: config.record_checksum,
            dictionary_id: config.record_dictionary_id,
            dictionary: config.dictionary.clone(),
            prepared: None,
            context: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        if data.len() as u64 > FORMAT_FRAME_BYTES_MAX {
            return Err(SigmaError::LimitExceeded {
                what: "content of a record",
                value: data.len() as u64,
                allowed: FORMAT_FRAME_BYTES_MAX,
                unit: "bytes",
            });
        }
        let check = self.checksum.then(|| check32(data));
        if data.is_empty() {
            return self.write(Form::Stored, 0, &[], check, out);
        }
        self.compress(data)?;
        let frame = std::mem::take(&mut self.scratch);
        // What naming the dictionary costs, which the stored form does not pay.
        let named = self
            .dictionary
            .as_ref()
            .filter(|_| self.dictionary_id)
            .map_or(0, |_| 8);
        let body_max = data.len().saturating_sub(named);
        let result = match (single_block(&frame), frame.get(4..)) {
            (Some(block), _) if block.len() + LENGTH_BYTES_MAX < body_max => {
                self.write(Form::Block, data.len() as u64, block, check, out)
            }
            (_, Some(body)) if body.len() < body_max => {
                self.write(Form::Frame, 0, body, check, out)
            }
            _ => self.write(Form::Stored, 0, data, check, out),
        };
        self.scratch = frame;
        result
    }

    /// Leaves the zstd frame of `data` in `scratch`.
    fn compress(&mut self, data: &[u8]) -> Result<(), SigmaError> {
        if self.context.is_none() {
            self.context = CCtx::try_create();
        }
        let Some(context) = &mut self.context else {
            return Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            });
        };
        if let (Some(dictionary), None) = (&self.dictionary, &self.prepared) {
            self.prepared = Some(dictionary.encoder(self.level)?);
        }
        self.scratch.clear();
        reserve(&mut self.scratch, zstd_safe::compress_bound(data.len()))?;
        let written = match &self.prepared {
            Some(prepared) => context.compress_using_cdict(&mut self.scratch, data, prepared),
            None => context.compress(&mut self.scratch, data, self.level),
        };
        written.map_err(|code| SigmaError::codec("compress a record", code))?;
        Ok(())
    }

    fn write(
        &self,
        form: Form,
        content_bytes: u64,
        body: &[u8],
        check: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        reserve(out, body.len() + 24)?;
        let dictionary = self.dictionary.as_ref().filter(|_| form != Form::Stored);
        let mut head = form.bits();
        if check.is_some() {
            head |= FLAG_CHECKSUM;
        }
        if dictionary.is_some() {
            head |= FLAG_DICTIONARY;
            if self.dictionary_id {
                head |= FLAG_DICTIONARY_ID;
            }
        }
        out.push(head);
        if let Some(dictionary) = dictionary.filter(|_| self.dictionary_id) {
            out.extend_from_slice(&dictionary.id().to_le_bytes());
        }
        if form == Form::Block {
            write_varint(content_bytes, out);
        }
        out.extend_from_slice(body);
        if let Some(check) = check {
            out.extend_from_slice(&check.to_le_bytes());
        }
        Ok(())
    }
}

/// The data of the only block of a zstd frame, if the frame is of the kind that the block form
/// rebuilds.
fn single_block(frame: &[u8]) -> Option<&[u8]> {
    let header = FrameHeader::parse(frame, 0).ok()?;
    let content_bytes = header.content_bytes?;
    if !header.single_segment || header.checksum || content_bytes > BLOCK_BYTES_MAX as u64 {
        return None;
    }
    let rest = frame.get(header.header_bytes..)?;
    let block = BlockHeader::parse(rest, 0).ok()?;
    let body = rest.get(BLOCK_HEADER_BYTES..)?;
    (block.last && block.kind == BlockKind::Compressed && body.len() == block.size).then_some(body)
}
