//! Writes the records to keep into one new segment.

use std::sync::Arc;
use std::time::Instant;

use super::collect::Kept;
use super::rate::pause;
use crate::error::VaultError;
use crate::index::Files;
use crate::io::{StorageFile, read_exact_at, write_all_at};
use crate::log::record::{
    Checks, Draft, Form, Links, Place, UNIT_BYTES, append_record, open_record,
};
use crate::log::{Kind, Mark, SEGMENT_HEADER_BYTES, SegmentHead, create_segment, segment_name};
use crate::vault::{Vault, held};

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// A finished segment that no manifest names yet.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) mark: Mark,
    /// All its records have higher sequence numbers.
    pub(crate) base_sequence: u64,
    /// Where each record of `kept` went, in the same order.
    pub(crate) offsets: Vec<u64>,
}

/// Why nothing was copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// A record was sound when its segment was walked and is not any more.
    Damaged {
        segment: u64,
    },
    Vault(VaultError),
}

impl From<VaultError> for CopyError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl Vault {
    /// Copies `kept`, sorted by sequence number, into segment `number`, durably. On an error the
    /// new file is removed (or, where that fails too, by the next opening).
    pub(crate) fn copy_records(
        &self,
        files: &Files,
        number: u64,
        kept: &[Kept],
        bytes_per_s: Option<u64>,
    ) -> Result<Copied, CopyError> {
        let base_sequence = kept
            .first()
            .map_or(0, |first| first.sequence.saturating_sub(1));
        let head = SegmentHead {
            vault_id: self.vault_id,
            segment: number,
            base_sequence,
            seal: held(&self.log).manifest.seal,
        };
        let file = create_segment(&self.medium, head)?;
        let result = self.fill(files, &file, number, kept, bytes_per_s);
        match result {
            Ok((mark, offsets)) => Ok(Copied {
                file,
                mark,
                base_sequence,
                offsets,
            }),
            Err(error) => {
                // Best effort: no manifest names it, so the next opening removes it too.
                let _ = self.medium.storage.remove(&segment_name(number));
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        files: &Files,
        file: &Arc<dyn StorageFile>,
        number: u64,
        kept: &[Kept],
        bytes_per_s: Option<u64>,
    ) -> Result<(Mark, Vec<u64>), CopyError> {
        let start = Instant::now();
        let mut mark = Mark {
            segment: number,
            bytes: SEGMENT_HEADER_BYTES,
            ..Mark::default()
        };
        let mut offsets = Vec::with_capacity(kept.len());
        let (mut buffer, mut record) = (Vec::new(), Vec::new());
        let mut written = SEGMENT_HEADER_BYTES;
        for source in kept {
            self.read_source(files, source, &mut record)?;
            offsets.push(mark.bytes);
            self.reframe(source, &record, &mut mark, &mut buffer)?;
            if buffer.len() >= WRITE_BYTES {
                self.put_down(&**file, number, &mut written, &mut buffer)?;
                if let Some(rate) = bytes_per_s {
                    std::thread::sleep(pause(written, start.elapsed(), rate));
                }
            }
        }
        self.put_down(&**file, number, &mut written, &mut buffer)?;
        let name = segment_name(number);
        file.sync()
            .map_err(|source| self.medium.poisoned_by("sync", &name, source))?;
        Ok((mark, offsets))
    }

    fn put_down(
        &self,
        file: &dyn StorageFile,
        number: u64,
        written: &mut u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        let bytes = buffer.len() as u64;
        write_all_at(file, *written, buffer).map_err(|source| {
            self.medium
                .failed("write", &segment_name(number), bytes, source)
        })?;
        *written += bytes;
        buffer.clear();
        Ok(())
    }

    fn read_source(
        &self,
        files: &Files,
        source: &Kept,
        record: &mut Vec<u8>,
    ) -> Result<(), CopyError> {
        let damaged = CopyError::Damaged {
            segment: source.segment,
        };
        let Some(file) = files.get(source.segment) else {
            return Err(damaged);
        };
        record.resize(usize::try_from(source.bytes).unwrap_or(usize::MAX), 0);
        read_exact_at(&*file.file, source.offset, record).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                return damaged;
            }
            let name = segment_name(source.segment);
            CopyError::Vault(self.medium.failed("read", &name, 0, error))
        })
    }

    /// Verifies the record and frames it anew for its place in the new segment. A removal whose
    /// (empty) value is damaged is still a removal.
    fn reframe(
        &self,
        source: &Kept,
        record: &[u8],
        mark: &mut Mark,
        buffer: &mut Vec<u8>,
    ) -> Result<(), CopyError> {
        let place = |segment, offset| Place {
            vault_id: self.vault_id,
            segment,
            offset,
        };
        let from = place(source.segment, source.offset);
        let parts = open_record(record, from, None);
        let sealer = self.medium.sealer().filter(|_| source.kind == Kind::Put);
        let wrapped = match (sealer, &parts) {
            (Some(sealer), Ok(parts)) => sealer
                .open_value(&parts.header, parts.key, from, parts.stored)
                .map(|value| sealer.wrap(&value))
                .ok_or(CopyError::Damaged {
                    segment: source.segment,
                })?,
            _ => Vec::new(),
        };
        let (stored, raw_bytes, flags) = match (&parts, source.kind) {
            (Ok(parts), _) if parts.key == &*source.key => (
                if sealer.is_some() {
                    &wrapped[..]
                } else {
                    parts.stored
                },
                parts.header.raw_bytes,
                parts.header.form().map_or(0, Form::flags),
            ),
            (_, Kind::Delete) => (&[][..], 0, 0),
            _ => {
                return Err(CopyError::Damaged {
                    segment: source.segment,
                });
            }
        };
        let draft = Draft {
            kind: source.kind,
            space: source.space,
            key: &source.key,
            stored,
            raw_bytes,
            expires_s: source.expires_s,
            flags,
            checks: Checks::new(self.vault_id, source.space, &source.key, stored),
        };
        let links = Links {
            sequence: source.sequence,
            prev_key_hash: mark.last_key_hash,
            prev_units: mark.last_units,
            unsynced_units: 0,
        };
        let (start, to) = (buffer.len(), place(mark.segment, mark.bytes));
        let mut header = append_record(buffer, &draft, links, to);
        if let (Some(sealer), Some(record)) = (sealer, buffer.get_mut(start..)) {
            header = sealer.seal_record(record, header, to);
        }
        let bytes = header.record_bytes();
        mark.bytes += bytes;
        mark.last_sequence = source.sequence;
        mark.last_key_hash = header.key_hash;
        mark.last_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        Ok(())
    }
}
