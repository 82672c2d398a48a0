//! What is known to be lost but not of which key, and which reads that puts in doubt.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::VaultError;
use crate::options::UncertainReads;

/// The kind of a [`Damage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// A record's value; its key is known.
    Value,
    /// One record whose key is known by hash only; reads of that key report it.
    Record,
    /// One or more records of unknown keys.
    Records,
    /// A segment's head; its records are not affected.
    SegmentHead,
    /// A whole segment file is missing.
    SegmentMissing,
    /// The manifest is missing, damaged or out of date; it was rebuilt from the segments.
    Manifest,
    /// A value that passes its checksum but cannot be decompressed.
    Undecodable,
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// What is damaged.
    pub kind: DamageKind,
    /// The file.
    pub file: PathBuf,
    /// Where the damage starts, in bytes.
    pub offset: u64,
    /// How far it reaches, in bytes.
    pub bytes: u64,
    /// The key concerned, where it is known.
    pub key: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Suspect {
    sequence: u64,
    file: PathBuf,
    offset: u64,
}

/// Losses that could not be tied to a key.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    suspects: HashMap<u32, Suspect>,
    /// Records with lower sequence numbers than this may be missing.
    unknown: Option<Suspect>,
}

impl Losses {
    pub(crate) fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.unknown.is_none()
    }

    /// Every loss was accepted.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A record of a key with this hash is gone; its sequence number was at most `sequence`.
    pub(crate) fn add_hash(&mut self, key_hash: u32, sequence: u64, file: PathBuf, offset: u64) {
        let suspect = Suspect {
            sequence,
            file,
            offset,
        };
        let known = self
            .suspects
            .entry(key_hash)
            .or_insert_with(|| suspect.clone());
        if known.sequence < sequence {
            *known = suspect;
        }
    }

    /// Records of unknown keys are gone; their sequence numbers were below `below`.
    pub(crate) fn add_unknown(&mut self, below: u64, file: PathBuf, offset: u64) {
        if self
            .unknown
            .as_ref()
            .is_none_or(|known| known.sequence < below)
        {
            self.unknown = Some(Suspect {
                sequence: below,
                file,
                offset,
            });
        }
    }

    /// A record of a key with this hash has been seen or written with this sequence number.
    pub(crate) fn superseded(&mut self, key_hash: u32, sequence: u64) {
        if self
            .suspects
            .get(&key_hash)
            .is_some_and(|suspect| suspect.sequence < sequence)
        {
            self.suspects.remove(&key_hash);
        }
    }

    /// Refuses a read whose newest known record, if any, has this sequence number, when a newer
    /// one may have been lost.
    pub(crate) fn admit(
        &self,
        key_hash: u32,
        newest: Option<u64>,
        policy: UncertainReads,
    ) -> Result<(), VaultError> {
        let newest = newest.unwrap_or(0);
        if let Some(suspect) = self.suspects.get(&key_hash)
            && newest <= suspect.sequence
        {
            return Err(VaultError::Corrupt {
                file: suspect.file.clone(),
                offset: suspect.offset,
                reason: "the newest record of this key was lost",
            });
        }
        match &self.unknown {
            Some(unknown) if newest < unknown.sequence && policy == UncertainReads::Refuse => {
                Err(VaultError::Uncertain {
                    file: unknown.file.clone(),
                    offset: unknown.offset,
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_record_shadows_older_ones_until_a_newer_is_written() {
        let mut losses = Losses::default();
        losses.add_hash(7, 10, "f".into(), 64);
        losses.add_hash(7, 4, "f".into(), 8);
        let admit = |losses: &Losses, newest| losses.admit(7, newest, UncertainReads::Refuse);
        assert!(admit(&losses, None).is_err());
        assert!(admit(&losses, Some(9)).is_err());
        assert!(admit(&losses, Some(11)).is_ok());
        losses.superseded(7, 9);
        assert!(admit(&losses, None).is_err());
        losses.superseded(7, 12);
        assert!(admit(&losses, None).is_ok());
        assert!(losses.is_empty());
    }

    #[test]
    fn unknown_losses_follow_the_policy() {
        let mut losses = Losses::default();
        losses.add_unknown(10, "f".into(), 64);
        assert!(matches!(
            losses.admit(1, Some(9), UncertainReads::Refuse),
            Err(VaultError::Uncertain { offset: 64, .. })
        ));
        losses.admit(1, Some(10), UncertainReads::Refuse).unwrap();
        losses.admit(1, Some(9), UncertainReads::Serve).unwrap();
    }
}
