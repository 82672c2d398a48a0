//! Which blocks the vault holds, and which of them goes first.
//!
//! A block without the block before it is never found, so only ends of chains may go: among them the
//! one that was used longest ago.

use ryot_inference::BlockKey;
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub(super) struct Held {
    blocks: HashMap<BlockKey, Entry>,
    /// Held blocks behind each block, which may itself not be held.
    behind: HashMap<BlockKey, usize>,
    /// Held blocks that no held block follows, by their last use.
    ends: BTreeMap<i64, BlockKey>,
    /// Stamp of the latest use; counts up from 0.
    now: i64,
    /// Stamp of the latest block found in an old store; counts down from 0.
    past: i64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    previous: Option<BlockKey>,
    bytes: u64,
    used: i64,
}

impl Held {
    /// A block that was written now.
    pub(super) fn written(&mut self, key: BlockKey, previous: Option<BlockKey>, bytes: u64) {
        self.now += 1;
        let used = self.now;
        self.remove(key);
        self.insert(key, previous, bytes, used);
    }

    /// A block that an earlier process wrote; older than all that this one used.
    pub(super) fn found(&mut self, key: BlockKey, previous: Option<BlockKey>, bytes: u64) {
        if !self.blocks.contains_key(&key) {
            self.past -= 1;
            self.insert(key, previous, bytes, self.past);
        }
    }

    fn insert(&mut self, key: BlockKey, previous: Option<BlockKey>, bytes: u64, used: i64) {
        // A block cannot follow itself, whatever its record says.
        let previous = previous.filter(|previous| *previous != key);
        if let Some(previous) = previous {
            *self.behind.entry(previous).or_default() += 1;
            if let Some(entry) = self.blocks.get(&previous) {
                self.ends.remove(&entry.used);
            }
        }
        if !self.behind.contains_key(&key) {
            self.ends.insert(used, key);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let entry = Entry {
            previous,
            bytes,
            used,
        };
        self.blocks.insert(key, entry);
    }

    /// Notes the use of a block.
    pub(super) fn touch(&mut self, key: BlockKey) {
        let Some(entry) = self.blocks.get_mut(&key) else {
            return;
        };
        self.now += 1;
        if self.ends.remove(&entry.used).is_some() {
            self.ends.insert(self.now, key);
        }
        entry.used = self.now;
    }

    /// Forgets a block.
    pub(super) fn remove(&mut self, key: BlockKey) {
        let Some(entry) = self.blocks.remove(&key) else {
            return;
        };
        self.ends.remove(&entry.used);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        let Some(previous) = entry.previous else {
            return;
        };
        let Some(count) = self.behind.get_mut(&previous) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.behind.remove(&previous);
            if let Some(entry) = self.blocks.get(&previous) {
                self.ends.insert(entry.used, previous);
            }
        }
    }

    /// The block to take out first.
    pub(super) fn first_to_go(&self) -> Option<BlockKey> {
        let end = self.ends.values().next();
        // Records that follow each other in a circle, which no engine writes, have no end.
        end.or_else(|| self.blocks.keys().next()).copied()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> BlockKey {
        BlockKey(number)
    }

    fn order_of_going(held: &mut Held) -> Vec<u128> {
        let mut order = Vec::new();
        while let Some(first) = held.first_to_go() {
            held.remove(first);
            order.push(first.0);
        }
        assert_eq!((held.bytes(), held.len()), (0, 0));
        assert!(held.ends.is_empty() && held.behind.is_empty());
        order
    }

    #[test]
    fn ends_of_chains_go_first_and_the_longest_unused_among_them() {
        let mut held = Held::default();
        // 1 - 2 - 3, and 4 behind 2
        held.written(key(1), None, 10);
        held.written(key(2), Some(key(1)), 10);
        held.written(key(3), Some(key(2)), 10);
        held.written(key(4), Some(key(2)), 10);
        assert_eq!(held.bytes(), 40);
        for used in [1, 2, 3] {
            held.touch(key(used));
        }
        assert_eq!(order_of_going(&mut held), [4, 3, 2, 1]);
    }

    #[test]
    fn blocks_of_an_earlier_process_go_before_those_in_use_in_any_order_of_finding() {
        let mut held = Held::default();
        held.written(key(9), None, 1);
        held.found(key(3), Some(key(2)), 1);
        held.found(key(1), None, 1);
        held.found(key(2), Some(key(1)), 1);
        held.found(key(9), None, 1);
        assert_eq!(held.len(), 4);
        assert_eq!(order_of_going(&mut held), [3, 2, 1, 9]);
    }

    #[test]
    fn writing_again_replaces_and_circles_end() {
        let mut held = Held::default();
        held.written(key(1), None, 5);
        held.written(key(2), Some(key(1)), 5);
        held.written(key(1), None, 7);
        assert_eq!(held.bytes(), 12);
        assert_eq!(held.first_to_go(), Some(key(2)));
        held.found(key(6), Some(key(6)), 1);
        held.found(key(7), Some(key(8)), 1);
        held.found(key(8), Some(key(7)), 1);
        assert_eq!(order_of_going(&mut held).len(), 5);
    }
}
