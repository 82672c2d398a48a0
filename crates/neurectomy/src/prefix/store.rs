//! The store of prefix blocks over a vault.

use super::config::PrefixConfig;
use super::held::Held;
use super::record;
use super::stats::{Counters, PrefixStats};
use super::writer::{self, Queue};
use crate::error::NeurectomyError;
use ryot_inference::{BlockKey, KvBlock, KvState, MemoryPrefixStore, PrefixStore};
use sigma_lang::{Compressor, Decompressor};
use sigma_vault::{Durability, Vault};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Blocks for which another thread is worth its start.
const BLOCKS_PER_THREAD_MIN: usize = 2;

/// Keeps an engine's prefix blocks: decoded in memory, packed in a [`Vault`], so that a context that
/// was read once is restored by later generations, also in another process.
///
/// A block is found by the hash of the model, its tokens and everything before them, so settings of
/// a run (context size, batch, threads) do not matter. Contexts that begin alike share blocks. A
/// thread packs and writes what is put, behind a queue of bounded bytes; what does not fit is
/// counted and not kept. A block that is damaged, or another one than asked for, is a miss. Beyond
/// its bytes the store takes out the ends of the longest unused chains, never a block that another
/// one needs.
///
/// Writes are buffered: a crash loses the latest blocks, which costs computing them again. Dropping
/// the store writes what waits and syncs the vault.
///
/// Cost: a get looks each key up and unpacks the blocks found on
/// [`restore_threads`](PrefixConfig::restore_threads); opening reads the vault once, in the
/// background, to learn what it holds.
///
/// ```
/// use neurectomy::prefix::{PrefixConfig, VaultPrefixStore};
/// use ryot_inference::{Engine, EngineConfig, Model, Request};
/// use sigma_vault::{Options, Vault};
/// use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let answer = |prompt: &str| -> Result<_, Box<dyn std::error::Error>> {
///     let vault = Arc::new(Vault::open(folder.path(), Options::new())?);
///     let store = Arc::new(VaultPrefixStore::open(vault, PrefixConfig::new())?);
///     let config = EngineConfig::new().prefix_store(store).prefix_block_tokens(16);
///     let engine = Engine::new(Model::toy(1)?, config)?;
///     Ok(engine.generate(Request::new(prompt).max_tokens(4))?.finish()?)
/// };
/// let shared = "a long instruction that every agent starts with. ";
/// answer(&format!("{shared}first"))?;
/// // Everything above is closed: this is what another process would see.
/// assert_eq!(answer(&format!("{shared}second"))?.metrics.restored_tokens, 48);
/// # Ok(())
/// # }
/// ```
pub struct VaultPrefixStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// What the store and its thread share.
pub(super) struct Shared {
    pub(super) vault: Arc<Vault>,
    pub(super) config: PrefixConfig,
    memory: MemoryPrefixStore,
    pub(super) held: Mutex<Held>,
    pub(super) queue: Queue,
    pub(super) counters: Counters,
}

/// No code of users runs under these locks, so a poisoned one still guards whole data.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a block in the vault.
pub(super) fn vault_key(key: BlockKey) -> [u8; 19] {
    let mut bytes = [0; 19];
    let (name, number) = bytes.split_at_mut(3);
    name.copy_from_slice(b"kv/");
    number.copy_from_slice(&key.0.to_le_bytes());
    bytes
}

impl VaultPrefixStore {
    /// A store over the blocks of a vault; other records of the vault are left alone.
    ///
    /// # Errors
    /// [`NeurectomyError::Config`] for a setting outside its range; [`NeurectomyError::Output`]
    /// where the system refuses a thread.
    pub fn open(vault: Arc<Vault>, config: PrefixConfig) -> Result<Self, NeurectomyError> {
        config.check()?;
        let compressor =
            Compressor::new(&writer::packing()).map_err(|source| NeurectomyError::Codec {
                operation: "start packing",
                path: "prefix blocks".into(),
                source: source.into(),
            })?;
        let shared = Arc::new(Shared {
            memory: MemoryPrefixStore::new(config.memory_bytes_max),
            vault,
            config,
            held: Mutex::default(),
            queue: Queue::default(),
            counters: Counters::default(),
        });
        let of_thread = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("prefix-writer".to_owned())
            .spawn(move || writer::run(&of_thread, compressor))
            .map_err(|source| NeurectomyError::Output {
                path: "prefix blocks".into(),
                source,
            })?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Waits until every block put so far is written, and makes them durable.
    ///
    /// # Errors
    /// [`NeurectomyError::Vault`] where the vault cannot sync.
    pub fn flush(&self) -> Result<(), NeurectomyError> {
        self.shared.queue.wait_until_idle();
        self.shared
            .vault
            .sync()
            .map_err(|source| NeurectomyError::Vault {
                operation: "sync prefix blocks",
                path: "prefix blocks".into(),
                source: source.into(),
            })
    }

    /// What the store did since it was opened.
    #[must_use]
    pub fn stats(&self) -> PrefixStats {
        let counters = &self.shared.counters;
        let (held, held_bytes) = {
            let held = locked(&self.shared.held);
            (held.len() as u64, held.bytes())
        };
        PrefixStats {
            memory_hits: counters.memory_hits.get(),
            vault_hits: counters.vault_hits.get(),
            misses: counters.misses.get(),
            refused: counters.refused.get(),
            written: counters.written.get(),
            written_bytes: counters.written_bytes.get(),
            packed_bytes: counters.packed_bytes.get(),
            dropped: counters.dropped.get(),
            write_errors: counters.write_errors.get(),
            evicted: counters.evicted.get(),
            held,
            held_bytes,
            queued_bytes: self.shared.queue.bytes() as u64,
        }
    }
}

impl std::fmt::Debug for VaultPrefixStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultPrefixStore")
            .field("config", &self.shared.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drop for VaultPrefixStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // Its panic has been printed, and its blocks are computed again.
            let _ = writer.join();
        }
    }
}

impl PrefixStore for VaultPrefixStore {
    fn get(&self, keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, ryot_inference::BoxError> {
        let counters = &self.shared.counters;
        let mut found = self.shared.memory.get(keys)?;
        counters.memory_hits.add(found.len());
        let rest = keys.get(found.len()..).unwrap_or_default();
        let restored = self.shared.restore(rest);
        counters.vault_hits.add(restored.len());
        self.shared.memory.put(&restored)?;
        found.extend(restored.into_iter().map(|block| block.state));
        counters.misses.add(keys.len() - found.len());
        let mut held = locked(&self.shared.held);
        keys.iter()
            .take(found.len())
            .for_each(|key| held.touch(*key));
        Ok(found)
    }

    fn put(&self, blocks: &[KvBlock]) -> Result<(), ryot_inference::BoxError> {
        self.shared.memory.put(blocks)?;
        for (at, block) in blocks.iter().enumerate() {
            if self.shared.vault.contains(&vault_key(block.key))? {
                continue;
            }
            // Behind a block that is not there, nobody would find it.
            let reachable = match block.previous {
                Some(previous) => {
                    self.shared.queue.holds(previous)
                        || self.shared.vault.contains(&vault_key(previous))?
                }
                None => true,
            };
            let bytes_max = self.shared.config.queue_bytes_max;
            if !(reachable && self.shared.queue.push(block, bytes_max)) {
                self.shared.counters.dropped.add(blocks.len() - at);
                break;
            }
        }
        Ok(())
    }
}

impl Shared {
    /// The blocks of the longest run of leading keys that are in the vault and sound.
    fn restore(&self, keys: &[BlockKey]) -> Vec<KvBlock> {
        let there = |key: &&BlockKey| self.vault.contains(&vault_key(**key)).unwrap_or(false);
        let run = keys.iter().take_while(there).count();
        let keys = keys.get(..run).unwrap_or_default();
        if keys.is_empty() {
            return Vec::new();
        }
        let threads = self
            .config
            .restore_threads
            .min(run.div_ceil(BLOCKS_PER_THREAD_MIN));
        let mut blocks: Vec<Option<KvBlock>> = vec![None; run];
        let part = run.div_ceil(threads.max(1));
        std::thread::scope(|scope| {
            let mut parts = keys.chunks(part).zip(blocks.chunks_mut(part));
            let own = parts.next();
            for (keys, blocks) in parts {
                scope.spawn(move || self.restore_each(keys, blocks));
            }
            if let Some((keys, blocks)) = own {
                self.restore_each(keys, blocks);
            }
        });
        blocks.into_iter().map_while(|block| block).collect()
    }

    fn restore_each(&self, keys: &[BlockKey], blocks: &mut [Option<KvBlock>]) {
        let mut decompressor = record::decompressor();
        for (key, block) in keys.iter().zip(blocks) {
            *block = self.restore_one(*key, &mut decompressor);
            if block.is_none() {
                return;
            }
        }
    }

    fn restore_one(&self, key: BlockKey, decompressor: &mut Decompressor) -> Option<KvBlock> {
        let read = |bytes: &[u8]| record::unpack(bytes, key, decompressor);
        let error = match self.vault.get_with(&vault_key(key), read) {
            Ok(Some(Ok((head, state)))) => {
                let mut block = KvBlock::new(key, Arc::new(state));
                block.previous = head.previous;
                return Some(block);
            }
            Ok(None) => return None,
            Ok(Some(Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(%error, "prefix block refused");
        self.counters.refused.add(1);
        // So that it is written anew when it has been computed.
        if self
            .vault
            .delete(&vault_key(key), Durability::Buffered)
            .is_err()
        {
            self.counters.write_errors.add(1);
        }
        locked(&self.held).remove(key);
        None
    }
}
