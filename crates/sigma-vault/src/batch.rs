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
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    writes: Vec<Part>,
}

/// One write, but for its bytes.
#[derive(Clone, Copy, Debug)]
struct Part {
    kind: Kind,
    key_bytes: usize,
    value_bytes: usize,
    ttl: Option<Duration>,
}

/// One write of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchWrite<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) ttl: Option<Duration>,
}

impl Batch {
    /// A batch of no writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write of `value` under `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.add(Kind::Put, key, value, None)
    }

    /// As [`put`](Self::put), for a value that [expires](crate::Vault::put_with_ttl) this long
    /// after the batch is written. A `ttl` that is not allowed makes the whole batch fail then.
    pub fn put_with_ttl(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> &mut Self {
        self.add(Kind::Put, key, value, Some(ttl))
    }

    /// Adds the removal of `key`.
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.add(Kind::Delete, key, &[], None)
    }

    fn add(&mut self, kind: Kind, key: &[u8], value: &[u8], ttl: Option<Duration>) -> &mut Self {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.writes.push(Part {
            kind,
            key_bytes: key.len(),
            value_bytes: value.len(),
            ttl,
        });
        self
    }

    /// The writes in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BatchWrite<'_>> {
        let mut rest = &self.bytes[..];
        self.writes.iter().map(move |part| {
            let (key, behind) = rest.split_at(part.key_bytes);
            let (value, behind) = behind.split_at(part.value_bytes);
            rest = behind;
            BatchWrite {
                kind: part.kind,
                key,
                value,
                ttl: part.ttl,
            }
        })
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
