//! The compact form of small values.

use std::fmt;
use std::sync::Arc;

use zstd_safe::{CCtx, CDict};

use super::frame::reserve;
use crate::config::Config;
use crate::dictionary::{Dictionary, DictionaryRegistry, Follower};
use crate::error::SigmaError;
use crate::frame::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, FrameHeader, VARINT_BYTES_MAX,
    check32, write_varint,
};
use crate::limits::FORMAT_FRAME_BYTES_MAX;
use crate::record::{
    FLAG_CHECKSUM, FLAG_DICTIONARY, FLAG_DICTIONARY_ID, FLAG_DICTIONARY_VERSION, Form, pack,
};

/// How a record names its dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Nothing,
    Id(u64),
    Version(u32),
}

impl Name {
    fn flags(self) -> u8 {
        FLAG_DICTIONARY
            | match self {
                Name::Nothing => 0,
                Name::Id(_) => FLAG_DICTIONARY_ID,
                Name::Version(_) => FLAG_DICTIONARY_VERSION,
            }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Name::Nothing => {}
            Name::Id(id) => out.extend_from_slice(&id.to_le_bytes()),
            Name::Version(version) => write_varint(u64::from(version), out),
        }
    }
}

/// A dictionary, its tables and its name in records.
struct InUse {
    prepared: Arc<CDict<'static>>,
    name: Name,
}

/// Makes records with one context.
pub(super) struct RecordEncoder {
    level: i32,
    checksum: bool,
    dictionary_id: bool,
    dictionary: Option<Arc<Dictionary>>,
    /// Where the current dictionary comes from, if not from `dictionary`.
    follower: Option<Follower>,
    in_use: Option<InUse>,
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
            follower: config
                .record_dictionaries
                .as_ref()
                .map(DictionaryRegistry::follow),
            in_use: None,
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
        reserve(
            out,
            zstd_safe::compress_bound(data.len()) + VARINT_BYTES_MAX + 8,
        )?;
        let start = out.len();
        if !data.is_empty() {
            self.compress(data)?;
            self.write_coded(out);
        }
        // At least as long as the stored form, or nothing at all.
        if data.is_empty() || out.len() - start > data.len() {
            out.truncate(start);
            out.push(Form::Stored.bits());
            out.extend_from_slice(data);
        }
        if let (Some(check), Some(head)) = (check, out.get_mut(start)) {
            *head |= FLAG_CHECKSUM;
            out.extend_from_slice(&check.to_le_bytes());
        }
        Ok(())
    }

    /// Appends head, dictionary name and body for the zstd frame in `scratch`: the shortest form
    /// that takes it.
    fn write_coded(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let name = self.in_use.as_ref().map(|in_use| in_use.name);
        let flags = name.map_or(0, Name::flags);
        out.push(flags);
        if let Some(name) = name {
            name.write(out);
        }
        let form = match single_block(&self.scratch) {
            Some(block) => {
                let packed = name.and_then(|_| pack(block, out));
                packed.unwrap_or_else(|| {
                    out.extend_from_slice(block);
                    Form::Bare
                })
            }
            None => {
                out.extend_from_slice(self.scratch.get(4..).unwrap_or_default());
                Form::Frame
            }
        };
        if let Some(head) = out.get_mut(start) {
            *head = flags | form.bits();
        }
    }

    /// Takes the dictionary that is current now.
    fn refresh(&mut self) -> Result<(), SigmaError> {
        if let Some(follower) = &mut self.follower {
            if let Some(current) = follower.changed() {
                self.in_use = match current {
                    Some((version, dictionary)) => Some(InUse {
                        prepared: dictionary.encoder(self.level)?,
                        name: Name::Version(version),
                    }),
                    None => None,
                };
            }
        } else if let (Some(dictionary), None) = (&self.dictionary, &self.in_use) {
            let name = if self.dictionary_id {
                Name::Id(dictionary.id())
            } else {
                Name::Nothing
            };
            self.in_use = Some(InUse {
                prepared: dictionary.encoder(self.level)?,
                name,
            });
        }
        Ok(())
    }

    /// Leaves the zstd frame of `data` in `scratch`.
    fn compress(&mut self, data: &[u8]) -> Result<(), SigmaError> {
        self.refresh()?;
        if self.context.is_none() {
            self.context = CCtx::try_create();
        }
        let Some(context) = &mut self.context else {
            return Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            });
        };
        self.scratch.clear();
        reserve(&mut self.scratch, zstd_safe::compress_bound(data.len()))?;
        let written = match &self.in_use {
            Some(InUse { prepared, .. }) => {
                context.compress_using_cdict(&mut self.scratch, data, prepared)
            }
            None => context.compress(&mut self.scratch, data, self.level),
        };
        written.map_err(|code| SigmaError::codec("compress a record", code))?;
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
