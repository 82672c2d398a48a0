//! The buckets of all bands in one open-addressed table, eight bytes for a bucket and four for
//! each signature in it.
//!
//! A *node* is one signature in one band. A bucket is the list of the nodes with one 32-bit tag;
//! buckets of unrelated bands may share a tag by chance, which costs a comparison and changes no
//! answer, since every candidate is compared in full.

use alloc::{vec, vec::Vec};

/// End of a list, and mark of a free cell.
const NONE: u32 = u32::MAX;
const CELLS_MIN: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    /// Power of two long, or empty; at most seven eighths full. The home of a tag is its low bits.
    cells: Vec<Cell>,
    used: usize,
    /// The node behind each node in its list.
    next: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    tag: u32,
    /// First node of the list, `NONE` where the cell is free.
    head: u32,
}

const FREE: Cell = Cell { tag: 0, head: NONE };

impl Buckets {
    /// Most nodes: one number is taken as the end of a list.
    pub(super) const NODES_MAX: usize = NONE as usize;

    pub(super) fn memory_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>() + 4 * self.next.capacity()
    }

    /// Makes room for the nodes below a number, an eighth more than there were at least.
    pub(super) fn reserve(&mut self, nodes: usize) {
        let more = nodes.saturating_sub(self.next.len());
        if nodes > self.next.capacity() {
            self.next.reserve_exact(more.max(self.next.len() / 8));
        }
        if more > 0 {
            self.next.resize(nodes, NONE);
        }
    }

    /// Puts a node, below the reserved number and in no list, into the bucket of a tag.
    pub(super) fn insert(&mut self, tag: u32, node: u32) {
        if (self.used + 1) * 8 > self.cells.len() * 7 {
            self.grow();
        }
        let at = self.position(tag);
        let Some(cell) = self.cells.get_mut(at) else {
            return;
        };
        self.used += usize::from(cell.head == NONE);
        if let Some(next) = self.next.get_mut(node as usize) {
            *next = cell.head;
        }
        *cell = Cell { tag, head: node };
    }

    /// Takes a node out of the bucket of its tag; O(bucket).
    pub(super) fn remove(&mut self, tag: u32, node: u32) {
        if self.cells.is_empty() {
            return;
        }
        let behind = self.following(node);
        let at = self.position(tag);
        let Some(cell) = self.cells.get_mut(at) else {
            return;
        };
        if cell.head == node {
            cell.head = behind;
            if behind == NONE {
                self.close(at);
                self.used -= 1;
            }
            return;
        }
        let mut before = cell.head;
        while before != NONE {
            let next = self.following(before);
            if next == node {
                if let Some(next) = self.next.get_mut(before as usize) {
                    *next = behind;
                }
                return;
            }
            before = next;
        }
    }

    /// Latest node in the bucket of a tag.
    pub(super) fn latest(&self, tag: u32) -> Option<u32> {
        if self.cells.is_empty() {
            return None;
        }
        let cell = self.cells.get(self.position(tag))?;
        (cell.head != NONE).then_some(cell.head)
    }

    /// Replaces each node by the one behind it in its bucket, or drops it where there is none. The
    /// nodes of many buckets are read at once, so that their cache misses overlap.
    pub(super) fn step(&self, nodes: &mut Vec<u32>) {
        nodes.retain_mut(|node| {
            *node = self.following(*node);
            *node != NONE
        });
    }

    fn following(&self, node: u32) -> u32 {
        self.next.get(node as usize).copied().unwrap_or(NONE)
    }

    /// Cell of a tag, or the free cell where it belongs. The table must not be empty.
    #[inline]
    fn position(&self, tag: u32) -> usize {
        let mask = self.cells.len() - 1;
        let mut at = tag as usize & mask;
        while self.cells[at].head != NONE && self.cells[at].tag != tag {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let cells = (self.cells.len() * 2).max(CELLS_MIN);
        let old = core::mem::replace(&mut self.cells, vec![FREE; cells]);
        for cell in old.into_iter().filter(|cell| cell.head != NONE) {
            let at = self.position(cell.tag);
            self.cells[at] = cell;
        }
    }

    /// Frees a cell and moves the cells behind it, so that none is cut off from its home.
    fn close(&mut self, mut hole: usize) {
        let mask = self.cells.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell.head == NONE {
                break;
            }
            let from_home = at.wrapping_sub(cell.tag as usize) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = FREE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use alloc::collections::{BTreeMap, BTreeSet};

    fn nodes(buckets: &Buckets, tag: u32) -> Vec<u32> {
        let (mut all, mut now) = (Vec::new(), Vec::from_iter(buckets.latest(tag)));
        while !now.is_empty() {
            all.extend_from_slice(&now);
            buckets.step(&mut now);
        }
        all
    }

    #[test]
    fn it_agrees_with_a_map_of_sets_under_random_inserts_and_removals() {
        // Few tags with near homes, so that lists are long and runs collide.
        let tag_of = |node: u32| {
            let drawn = split_mix(1, u64::from(node)).to_le_bytes();
            u32::from(drawn[0] % 32) | (u32::from(drawn[1] % 2) << 30)
        };
        let (mut buckets, mut model) = (Buckets::default(), BTreeMap::<u32, BTreeSet<u32>>::new());
        for step in 0..20_000 {
            let node = u32::try_from(split_mix(2, step) % 300).unwrap();
            let tag = tag_of(node);
            let list = model.entry(tag).or_default();
            if list.remove(&node) {
                buckets.remove(tag, node);
            } else {
                list.insert(node);
                buckets.reserve(node as usize + 1);
                buckets.insert(tag, node);
            }
            let listed = nodes(&buckets, tag);
            let found: BTreeSet<u32> = listed.iter().copied().collect();
            assert_eq!(found, model[&tag]);
            assert_eq!(listed.len(), found.len());
            let used = model.values().filter(|list| !list.is_empty()).count();
            assert_eq!(buckets.used, used);
        }
        for (tag, list) in &model {
            assert_eq!(&BTreeSet::from_iter(nodes(&buckets, *tag)), list);
        }
    }

    #[test]
    fn the_empty_table_has_nothing() {
        let mut buckets = Buckets::default();
        assert_eq!(nodes(&buckets, 7), []);
        buckets.remove(7, 0);
        buckets.reserve(1);
        buckets.insert(7, 0);
        assert_eq!(nodes(&buckets, 7), [0]);
        assert_eq!(nodes(&buckets, 7 + 16), []);
    }
}
