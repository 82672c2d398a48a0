//! Open-addressed hash table from a 64-bit hash to a slot number; keys live with their owner.

use alloc::{vec, vec::Vec};

/// Linear probing with backward-shift deletion, at most three quarters full.
#[derive(Debug, Clone)]
pub(crate) struct SlotTable {
    /// Power of two long, or empty.
    cells: Vec<Cell>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Low half of the hash: picks the home cell and filters comparisons.
    tag: u32,
    /// Slot number, `VACANT` where the cell is free.
    slot: u32,
}

const VACANT: u32 = u32::MAX;
const CELLS_MIN: usize = 8;

impl SlotTable {
    /// Most entries: three quarters of the 2^32 home cells a tag can name, and one slot number is
    /// taken as the mark of a free cell.
    pub(crate) const SLOTS_MAX: usize = 3 << 29;

    pub(crate) const fn new() -> Self {
        Self {
            cells: Vec::new(),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }

    /// Slot whose hash matches and for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is_it)?;
        self.cells.get(at).map(|cell| cell.slot)
    }

    /// Adds a slot that is not in the table yet.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            let cells = (self.cells.len() * 2).max(CELLS_MIN);
            let old = core::mem::replace(
                &mut self.cells,
                vec![
                    Cell {
                        tag: 0,
                        slot: VACANT
                    };
                    cells
                ],
            );
            for cell in old.into_iter().filter(|cell| cell.slot != VACANT) {
                self.place(cell);
            }
        }
        self.place(Cell {
            tag: tag_of(hash),
            slot,
        });
        self.len += 1;
    }

    /// Removes the slot whose hash matches and for which `is_it` holds.
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hole = self.position(hash, is_it)?;
        let removed = self.cells[hole].slot;
        self.close(hole);
        self.len -= 1;
        Some(removed)
    }

    /// Moves a slot of the table to another hash.
    #[inline]
    pub(crate) fn replace(&mut self, old: u64, new: u64, slot: u32) {
        if let Some(hole) = self.position(old, |other| other == slot) {
            self.close(hole);
            self.place(Cell {
                tag: tag_of(new),
                slot,
            });
        }
    }

    /// Frees a cell and moves the cells behind it, so that none is cut off from its home.
    #[inline]
    fn close(&mut self, mut hole: usize) {
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell.slot == VACANT {
                break;
            }
            // A cell may fill the hole unless its home lies behind the hole, cyclically.
            let from_home = at.wrapping_sub(cell.tag as usize) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole].slot = VACANT;
    }

    #[inline]
    fn mask(&self) -> usize {
        self.cells.len() - 1
    }

    #[inline]
    fn position(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let tag = tag_of(hash);
        let mut at = tag as usize & self.mask();
        loop {
            let cell = self.cells[at];
            if cell.slot == VACANT {
                return None;
            }
            if cell.tag == tag && is_it(cell.slot) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    #[inline]
    fn place(&mut self, cell: Cell) {
        let mut at = cell.tag as usize & self.mask();
        while self.cells[at].slot != VACANT {
            at = (at + 1) & self.mask();
        }
        self.cells[at] = cell;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn tag_of(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map_under_random_inserts_and_removals() {
        // Eight distinct tags among 64 hashes, so that probing and shifting are exercised.
        let hash_for = |key: u64| (split_mix(1, key % 8) & 0xffff_ffff) | (key << 32);
        let mut table = SlotTable::new();
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut keys: Vec<u64> = Vec::new();
        for step in 0..20_000_u64 {
            let key = split_mix(2, step) % 64;
            let hash = hash_for(key);
            let found = table.find(hash, |slot| keys[slot as usize] == key);
            assert_eq!(found, model.get(&key).copied());
            if found.is_some() {
                assert_eq!(
                    table.remove(hash, |slot| keys[slot as usize] == key),
                    model.remove(&key)
                );
            } else {
                keys.push(key);
                let slot = u32::try_from(keys.len() - 1).unwrap();
                table.insert(hash, slot);
                model.insert(key, slot);
            }
            assert_eq!(table.len(), model.len());
        }
    }
}
