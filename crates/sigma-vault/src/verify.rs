//! A full check of what is stored.

use std::sync::Arc;

use crate::error::VaultError;
use crate::index::{Entry, Files, SegmentFile};
use crate::log::record::Form;
use crate::log::{
    Found, Kind, Loss, MANIFEST_NAME, ManifestRead, Mark, SEGMENT_HEADER_BYTES, ScanError,
    read_manifest, read_segment_head, recover_sealed, segment_name,
};
use crate::losses::{Damage, DamageKind};
use crate::vault::{Vault, held, shared};

/// What [`Vault::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Segments read.
    pub segments: u64,
    /// Sound records.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Every damaged place, in file order.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// True when nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl Vault {
    /// Reads everything written so far, checks every checksum, opens every encrypted and unpacks
    /// every compressed value, and
    /// reports what is bad. Changes nothing; reads and writes go on meanwhile.
    ///
    /// Cost: reads every segment, those of compressed values twice.
    ///
    /// # Errors
    /// [`VaultError::Io`] when the medium fails. Damage is not an error but the result.
    pub fn verify(&self) -> Result<VerifyReport, VaultError> {
        let mut report = VerifyReport::default();
        let (marks, files) = {
            let mut log = held(&self.log);
            if self.medium.check_writable().is_ok() {
                log.flush(&self.medium)?;
            }
            let mut marks = log.manifest.marks.clone();
            if let Some(active) = marks.last_mut()
                && !log.must_roll
            {
                *active = Mark {
                    segment: log.segment,
                    bytes: log.tail.written(),
                    last_sequence: log.last_sequence,
                    last_key_hash: log.last_key_hash,
                    last_units: log.last_units,
                };
            }
            (marks, Arc::clone(&shared(&self.files)))
        };
        if !matches!(read_manifest(&self.medium, &[])?, ManifestRead::Read(_)) {
            let file = self.medium.path(MANIFEST_NAME);
            let kind = DamageKind::Manifest;
            report.damage.push(Damage {
                kind,
                file,
                offset: 0,
                bytes: 0,
                key: None,
            });
        }
        for mark in marks {
            self.verify_segment(&files, mark, &mut report)?;
        }
        Ok(report)
    }

    fn verify_segment(
        &self,
        files: &Files,
        mark: Mark,
        report: &mut VerifyReport,
    ) -> Result<(), VaultError> {
        let name = segment_name(mark.segment);
        let file = self.medium.path(&name);
        let handle = files.get(mark.segment).cloned();
        let Some(handle) = handle else {
            let (kind, bytes) = (DamageKind::SegmentMissing, mark.bytes);
            report.damage.push(Damage {
                kind,
                file,
                offset: 0,
                bytes,
                key: None,
            });
            return Ok(());
        };
        let head = read_segment_head(&self.medium, mark.segment, &*handle.file)?;
        if head.is_none_or(|head| head.vault_id != self.vault_id) {
            let (kind, bytes) = (DamageKind::SegmentHead, SEGMENT_HEADER_BYTES);
            let file = file.clone();
            report.damage.push(Damage {
                kind,
                file,
                offset: 0,
                bytes,
                key: None,
            });
        }
        let wrap = |source| self.medium.failed("read", &name, 0, source);
        let bytes = handle.file.len().map_err(wrap)?;
        let recovered = recover_sealed(&*handle.file, self.vault_id, mark, bytes).map_err(
            |error| match error {
                ScanError::Io(source) => wrap(source),
                ScanError::Unknown { what, found } => VaultError::UnsupportedVersion {
                    file: file.clone(),
                    what,
                    found,
                },
            },
        )?;
        report.segments += 1;
        report.bytes += bytes.min(mark.bytes);
        let first = report.damage.len();
        for lost in recovered.lost {
            let kind = match lost.loss {
                Loss::OfHash { .. } => DamageKind::Record,
                Loss::Unknown { .. } => DamageKind::Records,
            };
            let (offset, bytes) = (lost.start, lost.end - lost.start);
            report.damage.push(Damage {
                kind,
                file: file.clone(),
                offset,
                bytes,
                key: None,
            });
        }
        for found in recovered.records {
            if !found.intact {
                report.damage.push(found.damage(file.clone()));
            } else if self.unpacks(&handle, mark.segment, &found)? {
                report.records += 1;
            } else {
                let kind = DamageKind::Undecodable;
                report.damage.push(Damage {
                    kind,
                    ..found.damage(file.clone())
                });
            }
        }
        if let Some(damage) = report.damage.get_mut(first..) {
            damage.sort_by_key(|damage| damage.offset);
        }
        Ok(())
    }

    /// Whether a record whose checksums hold also decompresses to its recorded length.
    fn unpacks(&self, file: &SegmentFile, segment: u64, found: &Found) -> Result<bool, VaultError> {
        let sealed = found.header.kind == Kind::Put && self.medium.sealer().is_some();
        if found.header.form() == Some(Form::Plain) && !sealed {
            return Ok(true);
        }
        let entry = Entry {
            segment,
            offset: found.offset,
            bytes: found.header.record_bytes(),
            sequence: found.header.sequence,
            intact: true,
        };
        match self.read_from(file, &entry, found.header.space, &found.key) {
            Ok(_) => Ok(true),
            Err(error @ VaultError::Io { .. }) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
