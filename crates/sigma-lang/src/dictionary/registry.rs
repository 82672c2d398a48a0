//! Dictionaries by id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::prepared::Dictionary;

/// The dictionaries that a decoder may use, by id. Clones share one map, so a dictionary that is
/// registered later is seen by decompressors made earlier. A look-up takes a read lock.
#[derive(Debug, Clone, Default)]
pub struct DictionaryRegistry {
    dictionaries: Arc<RwLock<HashMap<u64, Arc<Dictionary>>>>,
}

impl DictionaryRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        DictionaryRegistry::default()
    }

    /// Registers a dictionary under its id; gives back the one that had this id.
    pub fn insert(&self, dictionary: Arc<Dictionary>) -> Option<Arc<Dictionary>> {
        let mut map = self
            .dictionaries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        map.insert(dictionary.id(), dictionary)
    }

    /// The dictionary with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Dictionary>> {
        let map = self
            .dictionaries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        map.get(&id).cloned()
    }

    /// Takes a dictionary out. Decoders that hold it keep it.
    pub fn remove(&self, id: u64) -> Option<Arc<Dictionary>> {
        let mut map = self
            .dictionaries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        map.remove(&id)
    }

    /// The registered ids, ascending.
    pub fn ids(&self) -> Vec<u64> {
        let map = self
            .dictionaries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<u64> = map.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Number of dictionaries.
    pub fn len(&self) -> usize {
        self.dictionaries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
