//! Caches of others in front of a vault that has none, as an application would put them there.

use std::sync::Arc;

use moka::sync::Cache as MokaCache;
use neurectomy_bench::BenchError;
use quick_cache::sync::Cache as QuickCache;

use crate::peers::copied;
use crate::stores::{Entry, Ours, Store};

type Key = [u8; 16];
type Value = Arc<[u8]>;

#[derive(Clone)]
pub(crate) struct Bytes;

impl quick_cache::Weighter<Key, Value> for Bytes {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        (key.len() + value.len()) as u64
    }
}

/// A cache by the few calls that are wanted here.
pub(crate) trait Front: Sync {
    const NAME: &'static str;
    /// For about this many values, bounded by their bytes.
    fn new(values: usize, bytes: usize) -> Self;
    fn get(&self, key: &Key) -> Option<Value>;
    fn insert(&self, key: Key, value: Value);
}

pub(crate) type Quick = QuickCache<Key, Value, Bytes>;
pub(crate) type Moka = MokaCache<Key, Value>;

impl Front for Quick {
    const NAME: &'static str = "quick_cache";

    fn new(values: usize, bytes: usize) -> Self {
        QuickCache::with_weighter(values, bytes as u64, Bytes)
    }

    fn get(&self, key: &Key) -> Option<Value> {
        QuickCache::get(self, key)
    }

    fn insert(&self, key: Key, value: Value) {
        QuickCache::insert(self, key, value);
    }
}

impl Front for Moka {
    const NAME: &'static str = "moka";

    fn new(_values: usize, bytes: usize) -> Self {
        let weight =
            |key: &Key, value: &Value| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX);
        MokaCache::builder()
            .max_capacity(bytes as u64)
            .weigher(weight)
            .build()
    }

    fn get(&self, key: &Key) -> Option<Value> {
        MokaCache::get(self, key)
    }

    fn insert(&self, key: Key, value: Value) {
        MokaCache::insert(self, key, value);
    }
}

/// Values come from the cache, or from the vault and go into the cache.
pub(crate) struct Fronted<F> {
    cache: F,
    ours: Ours,
}

impl<F: Front> Fronted<F> {
    pub(crate) fn new(ours: Ours, values: usize, bytes: usize) -> Self {
        let cache = F::new(values, bytes);
        Self { cache, ours }
    }
}

impl<F: Front> Store for Fronted<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        self.ours.put(entries)
    }

    fn get(&self, keys: &[Key], seen: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), BenchError> {
        let mut copy = Vec::new();
        for key in keys {
            let found = match self.cache.get(key) {
                Some(value) => Some(value),
                None => {
                    let value = self.ours.vault.get(key)?.map(Value::from);
                    if let Some(value) = &value {
                        self.cache.insert(*key, Arc::clone(value));
                    }
                    value
                }
            };
            seen(found.map(|value| copied(&mut copy, &value)));
        }
        Ok(())
    }
}
