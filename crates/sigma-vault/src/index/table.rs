//! The plain index: one hash map per key space.

use std::collections::HashMap;

use crate::log::Space;

/// The newest record of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The whole record's length in bytes.
    pub(crate) bytes: u64,
    pub(crate) sequence: u64,
    /// False when opening found the value damaged.
    pub(crate) intact: bool,
}

type Map = HashMap<Box<[u8]>, Entry>;

/// Keys to entries. Cost: O(1) per operation, the key's length plus about 60 bytes per key.
#[derive(Debug, Default)]
pub(crate) struct Table {
    plain: Map,
    rsu: Map,
    rsu_kv: Map,
}

impl Table {
    fn map(&self, space: Space) -> &Map {
        match space {
            Space::Plain => &self.plain,
            Space::Rsu => &self.rsu,
            Space::RsuKv => &self.rsu_kv,
        }
    }

    fn map_mut(&mut self, space: Space) -> &mut Map {
        match space {
            Space::Plain => &mut self.plain,
            Space::Rsu => &mut self.rsu,
            Space::RsuKv => &mut self.rsu_kv,
        }
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Option<Entry> {
        self.map(space).get(key).copied()
    }

    /// Returns the entry that was there.
    pub(crate) fn insert(&mut self, space: Space, key: &[u8], entry: Entry) -> Option<Entry> {
        self.map_mut(space).insert(key.into(), entry)
    }

    /// Returns the entry that was there.
    pub(crate) fn remove(&mut self, space: Space, key: &[u8]) -> Option<Entry> {
        self.map_mut(space).remove(key)
    }

    /// Removes all entries that lie in `segment`; returns how many.
    pub(crate) fn forget(&mut self, segment: u64) -> u64 {
        let maps = [&mut self.plain, &mut self.rsu, &mut self.rsu_kv];
        let gone = maps.into_iter().map(|map| {
            let before = map.len();
            map.retain(|_, entry| entry.segment != segment);
            before - map.len()
        });
        gone.sum::<usize>() as u64
    }

    pub(crate) fn keys(&self, space: Space) -> usize {
        self.map(space).len()
    }

    /// A copy of all entries of a space, in no particular order.
    pub(crate) fn entries(&self, space: Space) -> Vec<(Box<[u8]>, Entry)> {
        self.map(space)
            .iter()
            .map(|(key, entry)| (key.clone(), *entry))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_separate() {
        let entry = |bytes| Entry {
            segment: 1,
            offset: 64,
            bytes,
            sequence: 1,
            intact: true,
        };
        let mut table = Table::default();
        assert_eq!(table.insert(Space::Plain, b"k", entry(80)), None);
        assert_eq!(table.insert(Space::Rsu, b"k", entry(100)), None);
        assert_eq!(table.insert(Space::Plain, b"k", entry(88)), Some(entry(80)));
        assert_eq!(table.keys(Space::Plain), 1);
        assert_eq!(table.remove(Space::Plain, b"k"), Some(entry(88)));
        assert_eq!(table.remove(Space::Plain, b"k"), None);
        assert_eq!(table.get(Space::Plain, b"k"), None);
        assert_eq!(table.get(Space::Rsu, b"k"), Some(entry(100)));
    }
}
