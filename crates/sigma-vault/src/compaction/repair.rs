//! Gives up what is lost, and says exactly what that was.

use std::io;
use std::sync::Arc;

use super::collect::Kept;
use super::copy::{Copied, CopyError};
use crate::error::VaultError;
use crate::index::Files;
use crate::log::{
    COPY_BIT, Item, Kind, Mark, SEGMENT_HEADER_BYTES, ScanError, Scanner, Space, read_segment_head,
    segment_name,
};
use crate::losses::{Damage, DamageKind};
use crate::rsu::wants_kv;
use crate::vault::{Vault, exclusive, held, shared};

/// What [`Vault::repair`] gave up and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Every damaged place, with the key where it is known; the files named are gone now.
    pub lost: Vec<Damage>,
    /// Live keys that were found by hash only, in places that cannot be read any more.
    pub lost_keys_unnamed: u64,
    /// RSUs removed as a whole because their KV state was lost.
    pub units_without_kv: Vec<Vec<u8>>,
    /// Records of the damaged segments that are kept.
    pub records_kept: u64,
    /// Segments rewritten or, where nothing of them was left, dropped.
    pub segments_repaired: u64,
}

/// A segment in which something is wrong.
struct Patient {
    mark: Mark,
    kept: Vec<Kept>,
    lost: Vec<Damage>,
}

impl Vault {
    /// Accepts every loss: copies what is sound out of the damaged segments, removes those, and
    /// ends the refusals ([`VaultError::Corrupt`], [`VaultError::Uncertain`]) that came from them.
    /// A key whose newest value was damaged reads as absent from then on. **A key whose newest
    /// record was lost without a trace of its name reads as the last state that is known, which
    /// may be an older value**: that is what is accepted. Call [`verify`](Self::verify) first to
    /// see what would be given up; the report says what was.
    ///
    /// Cost: reads every segment, rewrites the damaged ones. Writers wait for each switch only.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sigma_vault::{Durability, Options, Vault, VaultError, io::SimulatedStorage};
    ///
    /// let disk = SimulatedStorage::new(1);
    /// let vault = Vault::open_with(Arc::new(disk.clone()), Options::new())?;
    /// vault.put(b"kept", b"sound", Durability::Synced)?;
    /// vault.put(b"lost", b"the last byte of this rots", Durability::Synced)?;
    /// disk.damage("0000000000000001.seg", |bytes| {
    ///     let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    ///     bytes[last] ^= 1;
    /// });
    /// assert!(matches!(vault.get(b"lost"), Err(VaultError::Corrupt { .. })));
    /// let report = vault.repair()?;
    /// assert_eq!(report.lost[0].key.as_deref(), Some(&b"lost"[..]));
    /// assert_eq!(vault.get(b"lost")?, None);
    /// assert_eq!(vault.get(b"kept")?.as_deref(), Some(&b"sound"[..]));
    /// assert!(vault.verify()?.is_sound());
    /// # Ok::<(), VaultError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`compact`](Self::compact). What was repaired before stays repaired.
    pub fn repair(&self) -> Result<RepairReport, VaultError> {
        let mut pinned = held(&self.compaction);
        self.medium.check_writable()?;
        let mut report = RepairReport::default();
        let units = self.rsu_ids();
        let marks = {
            let mut log = held(&self.log);
            if log.must_roll || log.end > SEGMENT_HEADER_BYTES {
                log.roll(&self.medium)?;
                self.show_active(&log, 0)?;
            }
            let marks = &log.manifest.marks;
            marks.iter().rev().skip(1).copied().collect::<Vec<_>>()
        };
        for mark in marks.into_iter().rev() {
            let files = Arc::clone(&shared(&self.files));
            if let Some(patient) = self.examine(&files, mark)? {
                self.operate(&files, patient, &mut report)?;
                pinned.remove(&mark.segment);
            }
        }
        exclusive(&self.losses).clear();
        self.give_up_halves(&mut report)?;
        let mut similar = exclusive(&self.rsu);
        for id in units {
            let found = self.index.keyed(|table, _| table.get(Space::Rsu, &id));
            if found.is_none() {
                similar.remove(&id);
            }
        }
        drop(similar);
        Ok(report)
    }

    /// `None` for a segment in which all is well.
    fn examine(&self, files: &Files, mark: Mark) -> Result<Option<Patient>, VaultError> {
        let name = segment_name(mark.segment);
        let path = self.medium.path(&name);
        let damage = |kind, offset, bytes, key| Damage {
            kind,
            file: path.clone(),
            offset,
            bytes,
            key,
        };
        let mut patient = Patient {
            mark,
            kept: Vec::new(),
            lost: Vec::new(),
        };
        let Some(file) = files.get(mark.segment) else {
            let lost = damage(DamageKind::SegmentMissing, 0, mark.bytes, None);
            patient.lost.push(lost);
            return Ok(Some(patient));
        };
        let head = read_segment_head(&self.medium, mark.segment, &*file.file)?;
        if head.is_none_or(|head| head.vault_id != self.vault_id) {
            let lost = damage(DamageKind::SegmentHead, 0, SEGMENT_HEADER_BYTES, None);
            patient.lost.push(lost);
        }
        let wrap = |source: io::Error| self.medium.failed("read", &name, 0, source);
        let end = file.file.len().map_err(wrap)?.min(mark.bytes);
        let mut scanner = Scanner::new(&*file.file, self.vault_id, mark.segment, end);
        loop {
            let item = match scanner.next() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(ScanError::Io(source)) => return Err(wrap(source)),
                Err(ScanError::Unknown { what, found }) => {
                    let file = path;
                    return Err(VaultError::UnsupportedVersion { file, what, found });
                }
            };
            let (start, bytes) = (item.start(), item.end() - item.start());
            match item {
                Item::Record {
                    offset,
                    header,
                    key,
                    intact,
                } => {
                    let live = self
                        .index
                        .points_at(header.space, &key, mark.segment, offset);
                    if !intact {
                        let lost = damage(DamageKind::Value, start, bytes, Some(key.to_vec()));
                        patient.lost.push(lost);
                    }
                    // A removal has no value to lose.
                    if live && intact || header.kind == Kind::Delete {
                        patient.kept.push(Kept {
                            sequence: header.sequence,
                            segment: mark.segment,
                            offset,
                            bytes,
                            key_hash: header.key_hash,
                            expires_s: header.expires_s,
                            kind: header.kind,
                            space: header.space,
                            key: key.into(),
                        });
                    }
                }
                Item::KeyDamaged { .. } | Item::Overrun { .. } => {
                    patient
                        .lost
                        .push(damage(DamageKind::Record, start, bytes, None));
                }
                Item::Gap { .. } => {
                    patient
                        .lost
                        .push(damage(DamageKind::Records, start, bytes, None));
                }
            }
        }
        if end < mark.bytes {
            let lost = damage(DamageKind::Records, end, mark.bytes - end, None);
            patient.lost.push(lost);
        }
        Ok((!patient.lost.is_empty()).then_some(patient))
    }

    fn operate(
        &self,
        files: &Files,
        patient: Patient,
        report: &mut RepairReport,
    ) -> Result<(), VaultError> {
        let Patient { mark, kept, lost } = patient;
        // Removals first, durably: no older value of a named key comes back with the next opening.
        for damage in &lost {
            if let Some(key) = &damage.key
                && damage.kind == DamageKind::Value
            {
                self.give_up(mark.segment, damage.offset, key)?;
            }
        }
        self.sync_log()?;
        let copied = self.copy_out(files, &kept)?;
        self.switch_repaired(mark, &kept, copied.as_ref(), report)?;
        self.remove_sources(&[mark])?;
        report.records_kept += kept.len() as u64;
        report.segments_repaired += 1;
        report.lost.extend(lost);
        Ok(())
    }

    /// Removes the key of a damaged record, if that is its newest. An RSU goes as a whole: without
    /// its KV state it would not be the one that was stored.
    fn give_up(&self, segment: u64, offset: u64, key: &[u8]) -> Result<(), VaultError> {
        for space in [Space::Plain, Space::Rsu, Space::RsuKv] {
            self.remove_at(space, key, segment, offset)?;
        }
        Ok(())
    }

    /// Removes units whose KV state was lost without a trace of its name.
    fn give_up_halves(&self, report: &mut RepairReport) -> Result<(), VaultError> {
        let (units, files) = self
            .index
            .keyed(|table, files| (table.entries(Space::Rsu), Arc::clone(files)));
        for (id, entry) in units {
            let kv = self.index.keyed(|table, _| table.get(Space::RsuKv, &id));
            if kv.is_some() {
                continue;
            }
            let (body, _) = self.read(&files, &entry, Space::Rsu, &id)?;
            if wants_kv(&body) && self.remove_at(Space::Rsu, &id, entry.segment, entry.offset)? {
                report.units_without_kv.push(id.into_vec());
            }
        }
        if !report.units_without_kv.is_empty() {
            self.sync_log()?;
        }
        Ok(())
    }

    fn copy_out(&self, files: &Files, kept: &[Kept]) -> Result<Option<Copied>, VaultError> {
        if kept.is_empty() {
            return Ok(None);
        }
        let number = {
            let mut log = held(&self.log);
            log.manifest.next_segment += 1;
            COPY_BIT | (log.manifest.next_segment - 1)
        };
        match self.copy_records(files, number, kept, None) {
            Ok(copied) => Ok(Some(copied)),
            Err(CopyError::Vault(error)) => Err(error),
            Err(CopyError::Damaged { segment }) => Err(VaultError::Corrupt {
                file: self.medium.path(&segment_name(segment)),
                offset: 0,
                reason: "damage came up while the segment was repaired",
            }),
        }
    }
}
