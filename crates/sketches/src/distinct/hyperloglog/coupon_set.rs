//! The distinct coupons of a sparse sketch.

use alloc::{vec, vec::Vec};

/// Cells of the first table; each further one has four times as many. Smaller ones would be outgrown
/// by the first hundred keys, and growing costs as much as the inserts.
const CELLS_FIRST: usize = 256;

/// A set of coupons: open addressing with linear probing. A coupon is never zero, so a zero cell is
/// empty. Tables are at most half full, the greatest one, which [`insert`](Self::insert) is told, up
/// to its last cell but one.
#[derive(Debug, Clone, Default)]
pub(super) struct CouponSet {
    cells: Vec<u32>,
    len: usize,
}

impl CouponSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a coupon where it is not there yet.
    #[inline]
    pub(super) fn insert(&mut self, coupon: u32, cells_max: usize) {
        let cells = self.cells.len();
        if 2 * self.len >= cells && (cells < cells_max || self.len + 1 >= cells) {
            self.grow(cells_max);
        }
        let at = self.probe(coupon);
        if let Some(cell) = self.cells.get_mut(at) {
            self.len += usize::from(*cell == 0);
            *cell = coupon;
        }
    }

    pub(super) fn contains(&self, coupon: u32) -> bool {
        self.cells.get(self.probe(coupon)) == Some(&coupon)
    }

    /// The coupons, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.cells.iter().copied().filter(|cell| *cell != 0)
    }

    /// The coupons, ascending.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut coupons: Vec<u32> = self.iter().collect();
        coupons.sort_unstable();
        coupons
    }

    pub(super) fn heap_bytes(&self) -> usize {
        4 * self.cells.capacity()
    }

    /// Cell of a coupon, or the empty cell where it belongs. There is always an empty one.
    #[inline]
    fn probe(&self, coupon: u32) -> usize {
        let mask = self.cells.len().wrapping_sub(1);
        let spread = u64::from(coupon).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let mut at = usize::try_from(spread).unwrap_or(0) & mask;
        while let Some(cell) = self.cells.get(at)
            && *cell != 0
            && *cell != coupon
        {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self, cells_max: usize) {
        let old = self.cells.len();
        let cells = (4 * old).min(cells_max).max(2 * old).max(CELLS_FIRST);
        let old = core::mem::replace(&mut self.cells, vec![0; cells]);
        for coupon in old.into_iter().filter(|cell| *cell != 0) {
            let at = self.probe(coupon);
            if let Some(cell) = self.cells.get_mut(at) {
                *cell = coupon;
            }
        }
    }
}

impl PartialEq for CouponSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|coupon| other.contains(coupon))
    }
}

impl Eq for CouponSet {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let mut plain = BTreeSet::new();
        let mut set = CouponSet::default();
        assert!(!set.contains(7));
        for i in 0..20_000 {
            let coupon = u32::try_from(split_mix(1, i) % 5_000).unwrap() + 1;
            assert_eq!(set.contains(coupon), plain.contains(&coupon));
            set.insert(coupon, 1024);
            plain.insert(coupon);
            assert_eq!(set.len(), plain.len());
        }
        assert_eq!(set.sorted(), plain.iter().copied().collect::<Vec<_>>());
        let mut backwards = CouponSet::default();
        plain
            .iter()
            .rev()
            .for_each(|coupon| backwards.insert(*coupon, 1 << 20));
        assert_eq!(set, backwards);
        backwards.insert(u32::MAX, 16);
        assert_ne!(set, backwards);
        assert_ne!(CouponSet::default(), backwards);
    }

    #[test]
    fn it_takes_the_documented_bytes() {
        let mut set = CouponSet::default();
        for coupon in 1..=1_536_u32 {
            set.insert(coupon << 6, 2048);
            let bytes = set.heap_bytes();
            assert!(bytes <= 1024.max(33 * set.len()) && bytes > 5 * set.len());
        }
        assert_eq!(set.heap_bytes(), 8192);
    }
}
