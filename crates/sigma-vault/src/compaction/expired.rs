//! Takes expired values out of the index before space is planned.

use std::sync::Arc;

use super::collect::Walk;
use crate::error::VaultError;
use crate::expiry::{ExpirySeconds, is_over, sooner};
use crate::index::Files;
use crate::log::{Item, Kind, Mark, Space};
use crate::vault::{Vault, held, shared};

impl Vault {
    /// Writes removals for expired values of sealed segments; returns how many. Reads only
    /// segments in which something has expired since they were last read.
    pub(super) fn remove_expired(&self) -> Result<u64, VaultError> {
        let now_ms = self.options.now_ms();
        let (due, files) = {
            let log = held(&self.log);
            let marks = log.manifest.marks.iter().rev().skip(1);
            let due =
                marks.filter(|mark| is_over(log.ledger(mark.segment).expires_first_s, now_ms));
            (
                due.copied().collect::<Vec<_>>(),
                Arc::clone(&shared(&self.files)),
            )
        };
        let mut removed = 0;
        for mark in due {
            let (over, later) = self.expired_in(&files, mark, now_ms)?;
            for (space, key, offset) in over {
                removed += u64::from(self.remove_at(space, &key, mark.segment, offset)?);
            }
            let mut log = held(&self.log);
            let mut ledger = log.ledger(mark.segment);
            ledger.expires_first_s = later;
            log.set_ledger(mark.segment, ledger);
        }
        Ok(removed)
    }

    /// The newest values in a segment that have expired, and when the next one will.
    #[expect(clippy::type_complexity, reason = "one caller takes it apart at once")]
    fn expired_in(
        &self,
        files: &Files,
        mark: Mark,
        now_ms: u64,
    ) -> Result<(Vec<(Space, Vec<u8>, u64)>, ExpirySeconds), VaultError> {
        let (mut over, mut later) = (Vec::new(), 0);
        // Where something is damaged the rest is sound all the same.
        self.walk(files, mark, |item| {
            if let Item::Record {
                offset,
                header,
                key,
                ..
            } = item
                && header.kind == Kind::Put
                && header.expires_s != 0
                && self
                    .index
                    .points_at(header.space, &key, mark.segment, offset)
            {
                if is_over(header.expires_s, now_ms) {
                    over.push((header.space, key.to_vec(), offset));
                } else {
                    later = sooner(later, header.expires_s);
                }
            }
            Walk::Whole
        })?;
        Ok((over, later))
    }
}
