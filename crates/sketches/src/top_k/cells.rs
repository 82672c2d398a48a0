//! Hash table from a 64-bit hash to the number of a key, in four bytes a cell.
//!
//! Linear probing, at most two thirds full. Keys live with the owner, who may look a key up in its
//! first two cells without a branch, which finds most keys that there are.

use alloc::{vec, vec::Vec};
use core::hint::select_unpredictable;

const CELLS_MIN: usize = 16;
/// Low bits of a cell are a number, the others a tag from the top of the hash, never zero.
const NUMBER_BITS: u32 = 25;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
const TAG_SHIFT: u32 = u64::BITS - (u32::BITS - NUMBER_BITS);

/// Numbers below 2^25 by hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    /// Power of two long, or empty. A free cell is 0.
    cells: Vec<u32>,
}

/// Where a search ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    /// At this number.
    Number(u32),
    /// At this free cell.
    Free(usize),
}

impl Cells {
    /// A table with room for some keys.
    pub(super) fn with_room_for(keys: usize) -> Self {
        let cells = (keys * 3).div_ceil(2).next_power_of_two();
        Self {
            cells: vec![0; cells.max(CELLS_MIN)],
        }
    }

    /// Keys that fit before the table has to be built anew.
    pub(super) fn room(&self) -> usize {
        self.cells.len() * 2 / 3
    }

    pub(super) fn memory_bytes(&self) -> usize {
        4 * self.cells.capacity()
    }

    /// Frees every cell.
    pub(super) fn clear(&mut self) {
        self.cells.fill(0);
    }

    /// Number whose hash matches and for which `is_it` holds, or the free cell where it belongs.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Found {
        let (tag, mask) = (tag_of(hash), self.mask());
        let mut at = home_of(hash, mask);
        while let Some(cell) = self.cells.get(at)
            && *cell != 0
        {
            if (cell ^ tag) <= NUMBER_MASK && is_it(cell & NUMBER_MASK) {
                return Found::Number(cell & NUMBER_MASK);
            }
            at = (at + 1) & mask;
        }
        Found::Free(at)
    }

    /// The number that [`find`](Self::find) most likely gives, found without a branch; any number
    /// where it gives none.
    #[inline(always)]
    pub(super) fn likely(&self, hash: u64) -> u32 {
        let mask = self.mask();
        let home = home_of(hash, mask);
        let (Some(first), Some(second)) = (self.cells.get(home), self.cells.get((home + 1) & mask))
        else {
            return 0;
        };
        let is_first = (first ^ tag_of(hash)) <= NUMBER_MASK;
        select_unpredictable(is_first, *first, *second) & NUMBER_MASK
    }

    /// Puts a number into the free cell that a search ended at.
    #[inline(always)]
    pub(super) fn fill(&mut self, free: usize, hash: u64, number: u32) {
        if let Some(cell) = self.cells.get_mut(free) {
            *cell = tag_of(hash) | number;
        }
    }

    /// Adds a number that is not in the table; there must be [`room`](Self::room).
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let mask = self.mask();
        let mut at = home_of(hash, mask);
        while self.cells.get(at).is_some_and(|cell| *cell != 0) {
            at = (at + 1) & mask;
        }
        self.fill(at, hash, number);
    }

    #[inline(always)]
    fn mask(&self) -> usize {
        self.cells.len().wrapping_sub(1)
    }
}

/// First cell of a hash.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
const fn home_of(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Tag of a hash, in the bits above a number.
#[inline(always)]
const fn tag_of(hash: u64) -> u32 {
    let tag = (hash >> TAG_SHIFT) as u32;
    (if tag == 0 { 1 } else { tag }) << NUMBER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map() {
        // Few homes and few tags, so that probing and wrong tags are exercised, and all different.
        let hash_of = |key: u64| {
            let mixed = split_mix(1, key);
            (mixed & 0xf00_0000_0000_0007) | (key << 16)
        };
        let mut keys: Vec<u64> = Vec::new();
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut cells = Cells::with_room_for(1000);
        assert!(cells.room() >= 1000 && cells.memory_bytes() == 4 * 2048);
        let mut likely = 0;
        for step in 0..5_000 {
            let key = split_mix(2, step) % 1000;
            let found = cells.find(hash_of(key), |number| keys[number as usize] == key);
            match (found, model.get(&key)) {
                (Found::Number(number), Some(expected)) => {
                    assert_eq!(number, *expected);
                    likely += usize::from(cells.likely(hash_of(key)) == number);
                }
                (Found::Free(cell), None) => {
                    let number = u32::try_from(keys.len()).unwrap();
                    if step % 2 == 0 {
                        cells.fill(cell, hash_of(key), number);
                    } else {
                        cells.insert(hash_of(key), number);
                    }
                    keys.push(key);
                    model.insert(key, number);
                }
                other => panic!("{key}: {other:?}"),
            }
        }
        assert!(keys.len() > 900 && likely > 0);
        cells.clear();
        assert!(matches!(cells.find(hash_of(1), |_| true), Found::Free(_)));
    }

    #[test]
    fn most_keys_are_found_without_a_branch() {
        let mut cells = Cells::with_room_for(1000);
        (0..1000).for_each(|key| cells.insert(split_mix(3, u64::from(key)), key));
        let likely = (0..1000).filter(|key| cells.likely(split_mix(3, u64::from(*key))) == *key);
        assert!(likely.count() > 800);
        assert_eq!(Cells::default().likely(5), 0);
    }
}
