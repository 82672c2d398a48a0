//! Decides, record by record, what of some segments must be kept.

use std::collections::HashMap;
use std::io;

use crate::error::VaultError;
use crate::index::Files;
use crate::io::StorageFile;
use crate::log::{Item, Kind, Mark, ScanError, Scanner, Space, segment_name};
use crate::vault::Vault;

/// A record that the new segment must hold.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) sequence: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) key_hash: u32,
    pub(crate) expires_s: u32,
    pub(crate) kind: Kind,
    pub(crate) space: Space,
    pub(crate) key: Box<[u8]>,
}

/// The outcome of a walk.
#[derive(Debug)]
pub(crate) enum Walk {
    Whole,
    /// Not every byte is a sound record, and the index does not make up for that.
    Damaged,
}

impl Vault {
    /// Adds what must be kept of the segment of `mark` to `kept`.
    pub(crate) fn collect(
        &self,
        files: &Files,
        mark: Mark,
        kept: &mut Vec<Kept>,
    ) -> Result<Walk, VaultError> {
        self.walk(files, mark, |item| {
            let Item::Record {
                offset,
                header,
                key,
                intact,
            } = item
            else {
                return Walk::Damaged;
            };
            let keep = match header.kind {
                Kind::Put => self
                    .index
                    .points_at(header.space, &key, mark.segment, offset),
                // Where there is a newer value, that one hides what this removal hid.
                Kind::Delete if header.space == Space::Plain => {
                    !matches!(self.find(&key), Ok(Some(_)))
                }
                Kind::Delete => {
                    let newest = self.index.keyed(|table, _| table.get(header.space, &key));
                    newest.is_none()
                }
            };
            if keep && header.kind == Kind::Put && !intact {
                return Walk::Damaged;
            }
            if keep {
                kept.push(Kept {
                    sequence: header.sequence,
                    segment: mark.segment,
                    offset,
                    bytes: header.record_bytes(),
                    key_hash: header.key_hash,
                    expires_s: header.expires_s,
                    kind: header.kind,
                    space: header.space,
                    key: key.into(),
                });
            }
            Walk::Whole
        })
    }

    /// Removes the removals from `kept` that hide nothing: no segment of `others` (with the
    /// sequence number that all its records exceed) holds an older value of the key. Reads those
    /// segments only for a `sweep`; without, any older segment counts as holding one.
    pub(crate) fn drop_tombstones(
        &self,
        files: &Files,
        others: &[(Mark, u64)],
        sweep: bool,
        kept: &mut Vec<Kept>,
    ) -> Result<u64, VaultError> {
        let before = kept.len();
        if !sweep {
            let oldest = others.iter().map(|(_, base)| *base).min();
            let oldest = oldest.unwrap_or(u64::MAX);
            kept.retain(|record| record.kind == Kind::Put || oldest < record.sequence);
            return Ok((before - kept.len()) as u64);
        }
        let mut removals: HashMap<u32, u64> = HashMap::new();
        for record in kept.iter().filter(|record| record.kind == Kind::Delete) {
            let newest = removals.entry(record.key_hash).or_default();
            *newest = record.sequence.max(*newest);
        }
        let newest = removals.values().copied().max().unwrap_or(0);
        let mut hiding: HashMap<u32, u64> = HashMap::new();
        for (mark, _) in others.iter().filter(|(_, base)| *base < newest) {
            let walk = self.walk(files, *mark, |item| {
                let Item::Record { header, .. } = item else {
                    return Walk::Damaged;
                };
                if header.kind == Kind::Put && removals.contains_key(&header.key_hash) {
                    let oldest = hiding.entry(header.key_hash).or_insert(u64::MAX);
                    *oldest = header.sequence.min(*oldest);
                }
                Walk::Whole
            })?;
            if matches!(walk, Walk::Damaged) {
                return Ok(0);
            }
        }
        kept.retain(|record| {
            record.kind == Kind::Put
                || hiding
                    .get(&record.key_hash)
                    .is_some_and(|oldest| *oldest < record.sequence)
        });
        Ok((before - kept.len()) as u64)
    }

    /// Shows every item of a segment to `visit` until that says `Damaged`.
    pub(super) fn walk(
        &self,
        files: &Files,
        mark: Mark,
        mut visit: impl FnMut(Item) -> Walk,
    ) -> Result<Walk, VaultError> {
        let Some(file) = files.get(mark.segment) else {
            return Ok(Walk::Damaged);
        };
        let file: &dyn StorageFile = &*file.file;
        let name = segment_name(mark.segment);
        let mut scanner = Scanner::new(file, self.vault_id, mark.segment, mark.bytes);
        loop {
            match scanner.next() {
                Ok(None) => return Ok(Walk::Whole),
                Ok(Some(item)) => {
                    if matches!(visit(item), Walk::Damaged) {
                        return Ok(Walk::Damaged);
                    }
                }
                Err(ScanError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Walk::Damaged);
                }
                Err(ScanError::Io(source)) => {
                    return Err(self.medium.failed("read", &name, 0, source));
                }
                Err(ScanError::Unknown { what, found }) => {
                    return Err(VaultError::UnsupportedVersion {
                        file: self.medium.path(&name),
                        what,
                        found,
                    });
                }
            }
        }
    }
}
