//! A prefix store in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BlockKey, KvBlock, KvState, PrefixStore};
use crate::error::BoxError;

/// Keeps the most recently used prefix blocks up to a number of bytes.
///
/// Bounded: putting a block beyond `bytes_max` drops the least recently used ones. A block whose
/// predecessor was dropped is never found again and ages out. Thread-safe; one lock, held for the
/// look-up only.
///
/// ```
/// use std::sync::Arc;
/// use ryot_inference::{Engine, EngineConfig, MemoryPrefixStore, Model, Request};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let store = Arc::new(MemoryPrefixStore::new(64 << 20));
/// let config = EngineConfig::new().prefix_store(store.clone()).prefix_block_tokens(16);
/// let engine = Engine::new(Model::toy(1)?, config)?;
/// let shared = "a long instruction that every agent starts with. ";
/// engine.generate(Request::new(format!("{shared}first")).max_tokens(4))?.finish()?;
/// let second = engine.generate(Request::new(format!("{shared}second")).max_tokens(4))?.finish()?;
/// assert_eq!(second.metrics.restored_tokens, 48);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryPrefixStore {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: HashMap<BlockKey, Entry>,
    by_use: BTreeMap<u64, BlockKey>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    state: Arc<KvState>,
    bytes: usize,
    used: u64,
}

impl MemoryPrefixStore {
    /// A store of at most `bytes_max` bytes of keys and values.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            held: Mutex::new(Held::default()),
        }
    }

    /// Blocks held.
    pub fn len(&self) -> usize {
        self.lock().blocks.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys, values and tokens held.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// No user code runs under the lock, so a poisoned one still guards whole data.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn touch(&mut self, key: BlockKey) -> Option<Arc<KvState>> {
        let entry = self.blocks.get_mut(&key)?;
        self.clock += 1;
        self.by_use.remove(&entry.used);
        self.by_use.insert(self.clock, key);
        entry.used = self.clock;
        Some(Arc::clone(&entry.state))
    }

    fn insert(&mut self, block: &KvBlock) {
        if self.touch(block.key).is_some() {
            return;
        }
        let bytes = block.state.bytes();
        self.clock += 1;
        self.by_use.insert(self.clock, block.key);
        let entry = Entry {
            state: Arc::clone(&block.state),
            bytes,
            used: self.clock,
        };
        self.blocks.insert(block.key, entry);
        self.bytes += bytes;
    }

    fn evict_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some((_, key)) = self.by_use.pop_first() else {
                return;
            };
            if let Some(entry) = self.blocks.remove(&key) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

impl PrefixStore for MemoryPrefixStore {
    fn get(&self, keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, BoxError> {
        let mut held = self.lock();
        Ok(keys.iter().map_while(|key| held.touch(*key)).collect())
    }

    fn put(&self, blocks: &[KvBlock]) -> Result<(), BoxError> {
        let mut held = self.lock();
        // the last block first, so that the first, which all others need, is the youngest
        blocks.iter().rev().for_each(|block| held.insert(block));
        held.evict_to(self.bytes_max);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn holds_at_most_its_bytes_and_drops_the_oldest() {
        let model = Model::toy(1).unwrap();
        let mut state = model.new_state();
        model.forward(&mut state, &[1, 2, 3, 4, 5, 6]).unwrap();
        let block = |key: u128, at: usize| {
            KvBlock::new(
                BlockKey(key),
                Arc::new(state.export_range(at, at + 2).unwrap()),
            )
        };
        let one = 4 * (2 * 2 * 2 * 2 * 16 + 2);
        let store = MemoryPrefixStore::new(2 * one);
        store.put(&[block(10, 0), block(11, 2)]).unwrap();
        assert_eq!((store.len(), store.bytes()), (2, 2 * one));
        assert_eq!(store.get(&[BlockKey(10), BlockKey(11)]).unwrap().len(), 2);
        assert_eq!(store.get(&[BlockKey(99), BlockKey(11)]).unwrap().len(), 0);
        assert_eq!(store.get(&[BlockKey(10)]).unwrap().len(), 1);
        store.put(&[block(12, 4)]).unwrap();
        assert_eq!((store.len(), store.bytes()), (2, 2 * one));
        assert_eq!(
            store.get(&[BlockKey(11)]).unwrap().len(),
            0,
            "11 was used longest ago"
        );
        assert_eq!(store.get(&[BlockKey(10)]).unwrap().len(), 1);
    }
}
