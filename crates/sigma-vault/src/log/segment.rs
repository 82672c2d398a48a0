//! Segment files: their names and their 64-byte head.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::Fields;
use crate::error::VaultError;
use crate::io::{StorageFile, read_exact_at, write_all_at};
use crate::medium::Medium;
use crate::seal::SealHead;

pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
const HEADER_BYTES: usize = 64;
const SEGMENT_MAGIC: [u8; 8] = *b"SVsegmnt";
/// Of manifests, segments and all in them.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// Set in the numbers of segments that compaction wrote; they never are the active one.
pub(crate) const COPY_BIT: u64 = 1 << 63;

/// The file name of a segment.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{segment:016x}.seg")
}

/// The segment of a file name, if it is one.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let segment = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(segment) == name).then_some(segment)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) vault_id: u64,
    pub(crate) segment: u64,
    /// Every record in the segment has a higher sequence number.
    pub(crate) base_sequence: u64,
    pub(crate) seal: SealHead,
}

impl SegmentHead {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.seal.method_bytes());
        bytes.extend_from_slice(&self.vault_id.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.base_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.seal.salt);
        bytes.extend_from_slice(&self.seal.check);
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
        if fields.bytes(8) != Some(&SEGMENT_MAGIC) {
            return Ok(None);
        }
        match fields.u32() {
            Some(FORMAT_VERSION) => {}
            Some(later) => return Err(later),
            None => return Ok(None),
        }
        Self::fields(&mut fields).transpose()
    }

    /// The error is a key method that this version does not have.
    fn fields(fields: &mut Fields<'_>) -> Option<Result<Self, u32>> {
        let method = fields.array()?;
        let (vault_id, segment, base_sequence) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let seal = SealHead::decode(method, fields.array()?, fields.array()?);
        let head = seal.map(|seal| Self {
            vault_id,
            segment,
            base_sequence,
            seal,
        });
        Some(head.ok_or(u32::from_le_bytes(method)))
    }
}

/// Creates a segment file, durably: the manifest that will name it may become durable without
/// any other name that was changed with it.
pub(crate) fn create_segment(
    medium: &Medium,
    head: SegmentHead,
) -> Result<Arc<dyn StorageFile>, VaultError> {
    let name = segment_name(head.segment);
    let wrap = |source| medium.failed("create", &name, SEGMENT_HEADER_BYTES, source);
    let file = medium.storage.create(&name).map_err(wrap)?;
    if let Err(error) = write_all_at(&*file, 0, &head.encode()) {
        // Best effort: a left-over without records is removed by the next opening.
        let _ = medium.storage.remove(&name);
        return Err(wrap(error));
    }
    file.sync()
        .map_err(|source| medium.poisoned_by("sync", &name, source))?;
    medium
        .storage
        .sync_dir()
        .map_err(|source| medium.poisoned_by("sync", "", source))?;
    Ok(file)
}

/// Reads a segment's head; `None` when it is damaged or names another segment.
pub(crate) fn read_segment_head(
    medium: &Medium,
    segment: u64,
    file: &dyn StorageFile,
) -> Result<Option<SegmentHead>, VaultError> {
    let name = segment_name(segment);
    let mut bytes = [0; HEADER_BYTES];
    match read_exact_at(file, 0, &mut bytes) {
        Ok(()) => {}
        // Records are found without it.
        Err(_) => return Ok(None),
    }
    match SegmentHead::decode(&bytes) {
        Ok(head) => Ok(head.filter(|head| head.segment == segment)),
        Err(found) => Err(VaultError::UnsupportedVersion {
            file: medium.path(&name),
            what: "segment version",
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_strangers_are_ignored() {
        assert_eq!(segment_name(0x1f), "000000000000001f.seg");
        assert_eq!(parse_segment_name("000000000000001f.seg"), Some(0x1f));
        for other in [
            "1f.seg",
            "000000000000001F.seg",
            "x.seg",
            "LOCK",
            "+00000000000001f.seg",
        ] {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }

    #[test]
    fn head_round_trip_and_every_flipped_bit() {
        let head = SegmentHead {
            vault_id: 5,
            segment: 9,
            base_sequence: 1 << 40,
            seal: SealHead::decode([2, 3, 64, 0], [4; 8], [5; 8]).unwrap(),
        };
        let bytes = head.encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(SegmentHead::decode(&bytes), Ok(Some(head)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&damaged), Ok(None));
        }
    }
}
