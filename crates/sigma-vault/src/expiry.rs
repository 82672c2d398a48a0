//! Values that end by themselves.
//!
//! A record's header holds the second at which it expires, 0 for never. From then on it reads as
//! absent; the index keeps pointing at it until compaction writes a removal in its name, so that
//! no older value of the key comes back.

use std::time::Duration;

use crate::error::VaultError;
use crate::log::{Kind, Ledger, Space};
use crate::options::Durability;
use crate::vault::{Vault, exclusive, held};

/// When a record expires, in whole seconds since the beginning of 1970; 0 is never.
pub(crate) type ExpirySeconds = u32;

/// The earlier of two.
pub(crate) fn sooner(one: ExpirySeconds, other: ExpirySeconds) -> ExpirySeconds {
    match (one, other) {
        (0, some) | (some, 0) => some,
        (one, other) => one.min(other),
    }
}

/// Whether a record with this expiry is to be taken for absent at this time.
pub(crate) fn is_over(expires_s: ExpirySeconds, now_ms: u64) -> bool {
    expires_s != 0 && u64::from(expires_s) * 1000 <= now_ms
}

/// The expiry of something that begins now; part of a second counts as a whole one.
fn expiry(now_ms: u64, ttl: Duration) -> Result<ExpirySeconds, VaultError> {
    let refused = || VaultError::InvalidArgument {
        name: "ttl",
        value: format!("{ttl:?}"),
        allowed: "more than 0 s and an end before the year 2106 are allowed",
    };
    if ttl.is_zero() {
        return Err(refused());
    }
    let ms = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).map_err(|_| refused())?;
    let end_ms = now_ms.checked_add(ms).ok_or_else(refused)?;
    u32::try_from(end_ms.div_ceil(1000)).map_err(|_| refused())
}

impl Vault {
    /// As [`put`](Self::put); the value reads as absent once `ttl` is over, by the vault's
    /// [clock](crate::Options::clock), and compaction gives its space back. It lives `ttl`, up to
    /// the next full second. Putting or removing the key before that replaces it as any other.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use sigma_vault::{Durability, Options, Vault, VaultError, io::MemoryStorage};
    /// # let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
    /// let hour = Duration::from_secs(3600);
    /// vault.put_with_ttl(b"session", b"state", hour, Durability::Grouped)?;
    /// assert!(vault.contains(b"session")?);
    /// let none = vault.put_with_ttl(b"session", b"state", Duration::ZERO, Durability::Grouped);
    /// assert!(matches!(none, Err(VaultError::InvalidArgument { name: "ttl", .. })));
    /// # Ok::<(), VaultError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`put`](Self::put); [`VaultError::InvalidArgument`] for a `ttl` of zero or one that
    /// ends after the year 2105.
    pub fn put_with_ttl(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: Duration,
        durability: Durability,
    ) -> Result<(), VaultError> {
        let expires_s = self.expires_in(ttl)?;
        let mut write = self.encode(Kind::Put, Space::Plain, key, value)?;
        write.expires_s = expires_s;
        let sequence = self.append(&[write], durability)?;
        self.make_durable(sequence, durability)
    }

    /// The expiry of a value that is put now.
    pub(crate) fn expires_in(&self, ttl: Duration) -> Result<ExpirySeconds, VaultError> {
        expiry(self.options.now_ms(), ttl)
    }

    /// Whether a record is to be taken for absent. Asks for the time only where it matters.
    pub(crate) fn has_expired(&self, expires_s: ExpirySeconds) -> bool {
        expires_s != 0 && is_over(expires_s, self.options.now_ms())
    }

    /// Removes a key whose newest record is the one at this place, an RSU as a whole; false where
    /// something newer took its place meanwhile.
    pub(crate) fn remove_at(
        &self,
        space: Space,
        key: &[u8],
        segment: u64,
        offset: u64,
    ) -> Result<bool, VaultError> {
        let remove = |space| self.encode(Kind::Delete, space, key, &[]);
        let writes = match space {
            Space::Plain => vec![remove(Space::Plain)?],
            Space::Rsu | Space::RsuKv => vec![remove(Space::Rsu)?, remove(Space::RsuKv)?],
        };
        // Before the log's lock, as everyone who takes both.
        let mut similar = (space != Space::Plain).then(|| exclusive(&self.rsu));
        let mut log = held(&self.log);
        if !self.index.points_at(space, key, segment, offset) {
            return Ok(false);
        }
        self.append_locked(&mut log, &writes, Durability::Buffered)?;
        if let Some(similar) = &mut similar {
            similar.remove(key);
        }
        Ok(true)
    }
}

impl Ledger {
    /// Notes that a record of the segment expires then.
    pub(crate) fn note_expiry(&mut self, expires_s: ExpirySeconds) {
        self.expires_first_s = sooner(self.expires_first_s, expires_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_rounded_up_and_bounded() {
        let second = Duration::from_secs(1);
        assert_eq!(expiry(5000, second).unwrap(), 6);
        assert_eq!(expiry(5001, second).unwrap(), 7);
        assert_eq!(expiry(5000, Duration::from_nanos(1)).unwrap(), 6);
        assert!(!is_over(6, 5999) && is_over(6, 6000));
        assert!(!is_over(0, u64::MAX));
        let last = u64::from(u32::MAX) * 1000;
        assert_eq!(expiry(last - 1000, second).unwrap(), u32::MAX);
        for (now_ms, ttl) in [
            (5000, Duration::ZERO),
            (last, second),
            (5000, Duration::MAX),
            (u64::MAX, second),
        ] {
            let error = expiry(now_ms, ttl).unwrap_err();
            assert!(matches!(
                error,
                VaultError::InvalidArgument { name: "ttl", .. }
            ));
        }
    }

    #[test]
    fn none_is_later_than_any() {
        assert_eq!((sooner(0, 0), sooner(0, 7), sooner(7, 0)), (0, 7, 7));
        assert_eq!(sooner(9, 7), 7);
    }
}
