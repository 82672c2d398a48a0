//! The short way to a value: what most reads come to, in as few steps as can be.
//!
//! A processor works on the next lookup while it waits for the memory of this one, if both together
//! are short enough. So whatever is out of the ordinary (damage, expiry, encryption, a cache, several
//! candidates) is left to the long way, which finds it out again.

use crate::compress::unpack_into;
use crate::index::{SegmentFile, Word};
use crate::log::record::{Ordinary, low_half, open_ordinary};
use crate::read::touch;
use crate::vault::Vault;

/// Of a record up to this length the processor fetches all lines by itself, as it works ahead.
const SHORT_BYTES_MAX: usize = 256;

impl Vault {
    /// Whether reads may take the short way at all.
    #[inline]
    pub(crate) fn is_ordinary(&self) -> bool {
        !self.any_losses && !self.cache.is_on() && self.medium.sealer().is_none()
    }

    /// As [`get_plain`](Self::get_plain), but `None` where that has to take the long way.
    #[inline]
    pub(crate) fn get_quick(&self, hash: u64, key: &[u8], value: &mut Vec<u8>) -> Option<bool> {
        if !self.is_ordinary() {
            return None;
        }
        let seen = self.index.seen();
        let Some(word) = seen.first(hash) else {
            return Some(false);
        };
        let file = seen.file(word)?;
        let bytes = file.mapped(word.offset(), word.bytes()?)?;
        if bytes.len() > SHORT_BYTES_MAX {
            touch(bytes);
        }
        let found = self.ordinary(file, word, bytes, hash, key)?;
        unpack_into(found.form, found.stored, found.raw_bytes, value).ok()?;
        Some(true)
    }

    /// What the cache holds of the key's record; `None` where that is nothing, or where damage may
    /// concern the key.
    pub(crate) fn get_cached(&self, hash: u64, key: &[u8], value: &mut Vec<u8>) -> Option<bool> {
        if self.any_losses || !self.cache.is_on() {
            return None;
        }
        let at = {
            let seen = self.index.seen();
            let Some(word) = seen.first(hash) else {
                return Some(false);
            };
            (seen.file(word)?.segment, word.offset())
        };
        self.cache.look(at, key, |cached| {
            let counts = !self.has_expired(cached.expires_s);
            value.clear();
            if counts {
                value.extend_from_slice(&cached.value);
            }
            counts
        })
    }

    /// The verified record of `key` in `bytes`, which lie where `word` says.
    #[inline]
    pub(crate) fn ordinary<'a>(
        &self,
        file: &SegmentFile,
        word: Word,
        bytes: &'a [u8],
        hash: u64,
        key: &[u8],
    ) -> Option<Ordinary<'a>> {
        let place = self.place(file.segment, word.offset());
        open_ordinary(bytes, place, key, low_half(hash))
    }
}
