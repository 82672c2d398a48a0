//! The manifest: which segments belong to the vault and how much of each is known to be durable.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::io;

use xxhash_rust::xxh3::xxh3_64;

use super::segment::FORMAT_VERSION;
use crate::codec::Fields;
use crate::error::VaultError;
use crate::io::{read_exact_at, write_all_at};
use crate::medium::Medium;
use crate::seal::{SEAL_HEAD_BYTES, SealHead};

pub(crate) const MANIFEST_NAME: &str = "MANIFEST";
const MANIFEST_NEW_NAME: &str = "MANIFEST.new";
const MANIFEST_MAGIC: [u8; 8] = *b"SVmanifs";
/// Of manifests of encrypted vaults.
const SEALED_VERSION: u32 = 3;
const HEAD_BYTES: usize = 32;
const MARK_BYTES: usize = 32;
/// A manifest longer than this is not read: 1,048,576 segments.
const SEGMENTS_MAX: usize = 1 << 20;

/// What is known of a segment's end: everything below `bytes` was durable when this was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
    /// No record below `bytes` has a higher sequence number.
    pub(crate) last_sequence: u64,
    /// Of the last record below `bytes`.
    pub(crate) last_key_hash: u32,
    /// Its length in units; 0 when there is none or it is not known.
    pub(crate) last_units: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) vault_id: u64,
    /// Segment numbers are never used twice.
    pub(crate) next_segment: u64,
    /// What is to be known of an encrypted vault's key.
    pub(crate) seal: SealHead,
    /// Sealed segments and, last, the active one.
    pub(crate) marks: Vec<Mark>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ManifestRead {
    Absent,
    Damaged,
    Read(Manifest),
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.marks.len() * MARK_BYTES + 8);
        bytes.extend_from_slice(&MANIFEST_MAGIC);
        let version = if self.seal.is_some() {
            SEALED_VERSION
        } else {
            FORMAT_VERSION
        };
        bytes.extend_from_slice(&version.to_le_bytes());
        let count = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.vault_id.to_le_bytes());
        bytes.extend_from_slice(&self.next_segment.to_le_bytes());
        for mark in &self.marks {
            bytes.extend_from_slice(&mark.segment.to_le_bytes());
            bytes.extend_from_slice(&mark.bytes.to_le_bytes());
            bytes.extend_from_slice(&mark.last_sequence.to_le_bytes());
            bytes.extend_from_slice(&mark.last_key_hash.to_le_bytes());
            bytes.extend_from_slice(&mark.last_units.to_le_bytes());
        }
        if self.seal.is_some() {
            bytes.extend_from_slice(&self.seal.to_bytes());
        }
        let check = xxh3_64(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` when damaged, `Err` with the version when it is a later one.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let Some((body, check)) = bytes.split_last_chunk::<8>() else {
            return Ok(None);
        };
        if xxh3_64(body) != u64::from_le_bytes(*check) {
            return Ok(None);
        }
        let mut fields = Fields::new(body);
        if fields.bytes(8) != Some(&MANIFEST_MAGIC) {
            return Ok(None);
        }
        match fields.u32() {
            Some(FORMAT_VERSION) => Ok(Self::fields(&mut fields, 0)),
            Some(SEALED_VERSION) => Ok(Self::fields(&mut fields, SEAL_HEAD_BYTES)),
            Some(later) => Err(later),
            None => Ok(None),
        }
    }

    fn fields(fields: &mut Fields<'_>, seal_bytes: usize) -> Option<Self> {
        let count = usize::try_from(fields.u32()?).ok()?;
        let vault_id = fields.u64()?;
        let next_segment = fields.u64()?;
        let wanted = count.checked_mul(MARK_BYTES)?.checked_add(seal_bytes)?;
        if fields.remaining() != wanted || count == 0 {
            return None;
        }
        let mut marks = Vec::with_capacity(count);
        for _ in 0..count {
            marks.push(Mark {
                segment: fields.u64()?,
                bytes: fields.u64()?,
                last_sequence: fields.u64()?,
                last_key_hash: fields.u32()?,
                last_units: fields.u32()?,
            });
        }
        let seal = match seal_bytes {
            0 => SealHead::default(),
            _ => SealHead::from_bytes(fields.bytes(seal_bytes)?).filter(SealHead::is_some)?,
        };
        Some(Self {
            vault_id,
            next_segment,
            seal,
            marks,
        })
    }

    /// Replaces the manifest on disk, durably.
    ///
    /// An error before the new file is complete leaves the old manifest in force; a later one
    /// poisons the vault.
    pub(crate) fn commit(&self, medium: &Medium) -> Result<(), VaultError> {
        let bytes = self.encode();
        let wanted = bytes.len() as u64;
        let storage = &medium.storage;
        let written = storage.create(MANIFEST_NEW_NAME).and_then(|file| {
            write_all_at(&*file, 0, &bytes)?;
            Ok(file)
        });
        let file = match written {
            Ok(file) => file,
            Err(source) => {
                // Best effort: the next opening removes it too.
                let _ = storage.remove(MANIFEST_NEW_NAME);
                return Err(medium.failed("write", MANIFEST_NEW_NAME, wanted, source));
            }
        };
        file.sync()
            .map_err(|source| medium.poisoned_by("sync", MANIFEST_NEW_NAME, source))?;
        storage
            .rename(MANIFEST_NEW_NAME, MANIFEST_NAME)
            .map_err(|source| medium.poisoned_by("rename", MANIFEST_NEW_NAME, source))?;
        storage
            .sync_dir()
            .map_err(|source| medium.poisoned_by("sync", "", source))
    }
}

/// Reads the manifest, whatever its state; removes an unfinished successor.
pub(crate) fn read_manifest(medium: &Medium, names: &[String]) -> Result<ManifestRead, VaultError> {
    let storage = &medium.storage;
    if names.iter().any(|name| name == MANIFEST_NEW_NAME) {
        // Never referred to; if it cannot be removed it will be overwritten.
        let _ = storage.remove(MANIFEST_NEW_NAME);
    }
    let wrap = |source| medium.failed("read", MANIFEST_NAME, 0, source);
    let file = match storage.open(MANIFEST_NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ManifestRead::Absent),
        Err(error) => return Err(wrap(error)),
    };
    let length = usize::try_from(file.len().map_err(wrap)?).unwrap_or(usize::MAX);
    if length > HEAD_BYTES + SEGMENTS_MAX * MARK_BYTES + SEAL_HEAD_BYTES + 8 {
        return Ok(ManifestRead::Damaged);
    }
    let mut bytes = vec![0; length];
    let read = read_exact_at(&*file, 0, &mut bytes);
    if read
        .or_else(|_| read_exact_at(&*file, 0, &mut bytes))
        .is_err()
    {
        // As good as damaged: the segments tell what it told.
        return Ok(ManifestRead::Damaged);
    }
    match Manifest::decode(&bytes) {
        Ok(Some(manifest)) => Ok(ManifestRead::Read(manifest)),
        Ok(None) => Ok(ManifestRead::Damaged),
        Err(found) => Err(VaultError::UnsupportedVersion {
            file: medium.path(MANIFEST_NAME),
            what: "manifest version",
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let mark = |segment| Mark {
            segment,
            bytes: 4096,
            last_sequence: 77,
            last_key_hash: 5,
            last_units: 6,
        };
        Manifest {
            vault_id: 42,
            next_segment: 9,
            seal: SealHead::default(),
            marks: vec![mark(3), mark(8)],
        }
    }

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let sealed = Manifest {
            seal: SealHead::decode([2, 3, 64, 0], [4; 8], [5; 8]).unwrap(),
            ..sample()
        };
        assert_eq!(Manifest::decode(&sealed.encode()), Ok(Some(sealed)));
        let bytes = sample().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(Some(sample())));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&damaged), Ok(None));
        }
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused_before_allocation() {
        let mut bytes = sample().encode();
        bytes.truncate(bytes.len() - 8);
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let check = xxh3_64(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Ok(None));
    }

    #[test]
    fn a_later_version_is_not_damage() {
        let mut bytes = sample().encode();
        bytes.truncate(bytes.len() - 8);
        bytes[8] = 9;
        let check = xxh3_64(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Err(9));
    }
}
