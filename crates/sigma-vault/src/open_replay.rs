//! Opening: what the records of all segments come to.

use std::collections::{HashMap, HashSet};

use crate::error::VaultError;
use crate::index::{Change, Entry, Index, Word};
use crate::log::record::key_hash;
use crate::log::{Found, Kind, Space, segment_name};
use crate::losses::Losses;
use crate::medium::Medium;
use crate::vault::WAIT_FOR_READERS;

/// The newest record of every key, removals included, whatever order records come in.
#[derive(Default)]
pub(crate) struct Replay {
    newest: HashMap<(Space, Vec<u8>), (Kind, Entry)>,
}

impl Replay {
    pub(crate) fn add(&mut self, segment: u64, found: Found) {
        let entry = Entry {
            segment,
            offset: found.offset,
            bytes: found.header.record_bytes(),
            sequence: found.header.sequence,
            intact: found.intact,
        };
        let newest = (found.header.kind, entry);
        self.newest
            .entry((found.header.space, found.key.to_vec()))
            .and_modify(|known| {
                if known.1.sequence < entry.sequence {
                    *known = newest;
                }
            })
            .or_insert(newest);
    }

    /// Fills the index, leaving out removals; drops losses that a newer record of the same key
    /// makes irrelevant; returns the places of damaged values.
    pub(crate) fn finish(
        self,
        medium: &Medium,
        vault_id: u64,
        losses: &mut Losses,
        index: &Index,
    ) -> Result<HashSet<(u64, u64)>, VaultError> {
        let damaged = !losses.is_empty();
        let mut unsound = HashSet::new();
        for ((space, key), (kind, entry)) in self.newest {
            if damaged {
                losses.superseded(key_hash(vault_id, space, &key), entry.sequence);
            }
            // A removal whose (empty) value is damaged is still a removal.
            if kind == Kind::Delete {
                continue;
            }
            if !entry.intact {
                unsound.insert((entry.segment, entry.offset));
            }
            if Word::new(0, entry.offset, entry.bytes).is_none() {
                return Err(VaultError::Corrupt {
                    file: medium.path(&segment_name(entry.segment)),
                    offset: entry.offset,
                    reason: "no vault writes a segment of this length",
                });
            }
            let new = Some(entry);
            let hash = index.hash(&key);
            let reserved = index.reserve(std::iter::once(hash));
            reserved.map_err(|source| medium.failed(WAIT_FOR_READERS, "", 0, source))?;
            index.publish(vec![if space == Space::Plain {
                let old = None;
                Change::Plain { hash, old, new }
            } else {
                let key = key.into();
                Change::Keyed { space, key, new }
            }]);
        }
        Ok(unsound)
    }
}
