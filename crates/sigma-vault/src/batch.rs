//! Several writes that take effect together.

use std::time::Duration;

use crate::log::Kind;

/// Writes that become visible together and survive a crash all or not at all.
///
/// Of several writes to one key the last one counts.
///
/// ```
/// use std::sync::Arc;
/// use sigma_vault::{Batch, Durability, Options, Vault, io::MemoryStorage};
///
/// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
/// let mut batch = Batch::new();
/// batch.put(b"a", b"1").put(b"b", b"2").delete(b"a");
/// vault.write(batch, Durability::Grouped)?;
/// assert!(!vault.contains(b"a")?);
/// assert!(vault.contains(b"b")?);
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) writes: Vec<BatchWrite>,
}

#[derive(Clone, Debug)]
pub(crate) struct BatchWrite {
    pub(crate) kind: Kind,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) ttl: Option<Duration>,
}

impl Batch {
    /// A batch of no writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write of `value` under `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.writes.push(BatchWrite {
            kind: Kind::Put,
            key: key.into(),
            value: value.into(),
            ttl: None,
        });
        self
    }

    /// As [`put`](Self::put), for a value that [expires](crate::Vault::put_with_ttl) this long
    /// after the batch is written. A `ttl` that is not allowed makes the whole batch fail then.
    pub fn put_with_ttl(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> &mut Self {
        self.writes.push(BatchWrite {
            kind: Kind::Put,
            key: key.into(),
            value: value.into(),
            ttl: Some(ttl),
        });
        self
    }

    /// Adds the removal of `key`.
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.writes.push(BatchWrite {
            kind: Kind::Delete,
            key: key.into(),
            value: Vec::new(),
            ttl: None,
        });
        self
    }

    /// The number of writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// True when there is no write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}
