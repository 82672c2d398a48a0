//! The public handle of the futures.

use std::sync::Arc;
use std::time::Duration;

use super::pool::{AsyncOptions, Pool};
use super::reply::Reply;
use crate::batch::Batch;
use crate::compaction::CompactionReport;
use crate::error::VaultError;
use crate::options::Durability;
use crate::rsu::Rsu;
use crate::vault::Vault;

/// A [`Vault`] whose operations are futures; they are done on a few threads of its own, so they
/// work under every runtime and hold none of its threads.
///
/// Operations that are asked for one after the other without waiting may be done in any order.
/// Waiting durable writes share syncs, however many there are. Dropping it waits until everything
/// that was queued is done; the vault itself stays open as long as an [`Arc`] of it is held.
///
/// ```
/// use std::sync::Arc;
/// use sigma_vault::{AsyncOptions, AsyncVault, Durability, Options, Vault, VaultError};
/// use sigma_vault::io::MemoryStorage;
///
/// let vault = Arc::new(Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?);
/// let vault = AsyncVault::new(vault, AsyncOptions::default())?;
/// let work = async {
///     vault.put(b"key", b"value", Durability::Grouped).await?;
///     vault.get(b"key").await
/// };
/// # let mut work = std::pin::pin!(work);
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # let value = loop {
/// #     if let std::task::Poll::Ready(value) = work.as_mut().poll(&mut context) {
/// #         break value;
/// #     }
/// #     std::thread::yield_now();
/// # };
/// # use std::future::Future;
/// assert_eq!(value?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), VaultError>(())
/// ```
#[derive(Debug)]
pub struct AsyncVault {
    pool: Pool,
    vault: Arc<Vault>,
}

impl AsyncVault {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`VaultError::InvalidArgument`] for an option out of range, [`VaultError::Io`] when the
    /// system starts no more threads.
    pub fn new(vault: Arc<Vault>, options: AsyncOptions) -> Result<Self, VaultError> {
        let pool = Pool::new(&vault, options)?;
        Ok(Self { pool, vault })
    }

    /// The vault, for what does not wait.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Runs anything on one of the threads.
    ///
    /// ```
    /// # use sigma_vault::{AsyncVault, Reply};
    /// fn keys(vault: &AsyncVault) -> Reply<usize> {
    ///     vault.call(|vault| Ok(vault.iter().count()))
    /// }
    /// ```
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Reply<T> {
        Reply::ask(&self.pool.queue, |answer| {
            Box::new(move |vault, _| answer.give(work(vault)))
        })
    }

    /// Runs a write and answers when it has the durability asked for.
    fn write_with<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Vault, Durability) -> Result<T, VaultError> + Send + 'static,
    ) -> Reply<T> {
        let now = match durability {
            // The sync comes after, for all who wait.
            Durability::Grouped | Durability::Synced => Durability::Buffered,
            other => other,
        };
        Reply::ask(&self.pool.queue, |answer| {
            Box::new(move |vault, syncs| match work(vault, now) {
                Ok(value) if now != durability => syncs.answer(answer, value),
                result => answer.give(result),
            })
        })
    }

    /// As [`Vault::put`]; `Synced` is as `Grouped` here.
    pub fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Reply<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.write_with(durability, move |vault, now| vault.put(&key, &value, now))
    }

    /// As [`Vault::put_with_ttl`].
    pub fn put_with_ttl(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: Duration,
        durability: Durability,
    ) -> Reply<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.write_with(durability, move |vault, now| {
            vault.put_with_ttl(&key, &value, ttl, now)
        })
    }

    /// As [`Vault::delete`].
    pub fn delete(&self, key: &[u8], durability: Durability) -> Reply<bool> {
        let key = key.to_vec();
        self.write_with(durability, move |vault, now| vault.delete(&key, now))
    }

    /// As [`Vault::write`].
    pub fn write(&self, batch: Batch, durability: Durability) -> Reply<()> {
        self.write_with(durability, move |vault, now| vault.write(batch, now))
    }

    /// As [`Vault::put_rsu`].
    pub fn put_rsu(&self, id: &[u8], rsu: Rsu, durability: Durability) -> Reply<()> {
        let id = id.to_vec();
        self.write_with(durability, move |vault, now| vault.put_rsu(&id, &rsu, now))
    }

    /// As [`Vault::get`].
    pub fn get(&self, key: &[u8]) -> Reply<Option<Vec<u8>>> {
        let key = key.to_vec();
        self.call(move |vault| vault.get(&key))
    }

    /// As [`Vault::contains`].
    pub fn contains(&self, key: &[u8]) -> Reply<bool> {
        let key = key.to_vec();
        self.call(move |vault| vault.contains(&key))
    }

    /// As [`Vault::get_rsu`].
    pub fn get_rsu(&self, id: &[u8]) -> Reply<Option<Rsu>> {
        let id = id.to_vec();
        self.call(move |vault| vault.get_rsu(&id))
    }

    /// As [`Vault::find_similar_tokens`].
    pub fn find_similar_tokens(
        &self,
        tokens: &[u32],
        threshold: f64,
    ) -> Reply<Vec<(Vec<u8>, f64)>> {
        let tokens = tokens.to_vec();
        self.call(move |vault| vault.find_similar_tokens(&tokens, threshold))
    }

    /// As [`Vault::sync`]: everything that was answered before is durable.
    pub fn sync(&self) -> Reply<()> {
        self.write_with(Durability::Synced, |_, _| Ok(()))
    }

    /// As [`Vault::compact`]; takes one of the threads for as long as it lasts.
    pub fn compact(&self) -> Reply<CompactionReport> {
        self.call(Vault::compact)
    }
}
