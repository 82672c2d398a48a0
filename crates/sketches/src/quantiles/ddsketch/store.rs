//! A contiguous row of bin counts that never holds more than a fixed number of bins.
//!
//! When the row would grow beyond its bound, its lowest bins are folded into one. What the row
//! holds therefore depends only on the numbers seen, not on their order: bins at or above
//! `highest - bins_max + 1` are exact, the lowest of them also holds everything below.

use alloc::vec::Vec;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Store {
    /// Bin number of `counts[0]`.
    first: i32,
    counts: Vec<u64>,
    bins_max: usize,
    /// Whether a count was ever moved to a higher bin than its own.
    folded: bool,
}

impl Store {
    pub(super) const fn new(bins_max: usize) -> Self {
        Self {
            first: 0,
            counts: Vec::new(),
            bins_max,
            folded: false,
        }
    }

    /// A store from decoded parts, whose consistency the codec has checked.
    pub(super) const fn from_parts(
        first: i32,
        counts: Vec<u64>,
        bins_max: usize,
        folded: bool,
    ) -> Self {
        Self {
            first,
            counts,
            bins_max,
            folded,
        }
    }

    pub(super) fn first(&self) -> i32 {
        self.first
    }

    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub(super) fn is_folded(&self) -> bool {
        self.folded
    }

    /// Counts with their bin numbers, ascending.
    pub(super) fn bins(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        // Zipped from the length, so that it can be walked from either end.
        (0..self.counts.len()).filter_map(|at| {
            let count = *self.counts.get(at)?;
            Some((self.first.saturating_add(i32::try_from(at).ok()?), count))
        })
    }

    /// Adds to a bin; O(1) unless the row has to grow or fold. Bin numbers stay within 2^28 of 0,
    /// so that the difference of two fits an `i32`.
    #[inline]
    pub(super) fn add(&mut self, index: i32, count: u64) {
        match self.counts.get_mut(position(self.first, index)) {
            Some(bin) => *bin = bin.saturating_add(count),
            None => self.add_outside(index, count),
        }
    }

    /// Adds one to each bin, up to the first that the row does not hold; returns that one and those
    /// behind it. The caller knows that no count reaches its greatest value.
    #[inline]
    pub(super) fn add_ones<'a>(&mut self, bins: &'a [i32]) -> Option<(i32, &'a [i32])> {
        let (first, counts) = (self.first, self.counts.as_mut_slice());
        for (done, bin) in bins.iter().enumerate() {
            let Some(count) = counts.get_mut(position(first, *bin)) else {
                return Some((*bin, bins.get(done + 1..).unwrap_or_default()));
            };
            *count = count.wrapping_add(1);
        }
        None
    }

    /// Adds to a bin that the row does not hold yet.
    #[cold]
    fn add_outside(&mut self, index: i32, count: u64) {
        if count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.first = index;
            self.counts.push(count);
            return;
        }
        let mut at = self.position(index);
        if at >= self.signed_len() {
            self.grow_up(index);
            at = self.position(index);
        } else if at < 0 {
            at = self.grow_down(index);
        }
        if let Some(bin) = usize::try_from(at)
            .ok()
            .and_then(|at| self.counts.get_mut(at))
        {
            *bin = bin.saturating_add(count);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.folded |= other.folded;
        // From the top, so that the row folds at most once.
        for (index, count) in other.bins().rev() {
            self.add(index, count);
        }
    }

    fn position(&self, index: i32) -> i64 {
        i64::from(index) - i64::from(self.first)
    }

    fn signed_len(&self) -> i64 {
        i64::try_from(self.counts.len()).unwrap_or(i64::MAX)
    }

    /// Extends the row so that `index` is its last bin, folding what falls out at the bottom.
    fn grow_up(&mut self, index: i32) {
        let len = usize::try_from(self.position(index) + 1).unwrap_or(usize::MAX);
        if let Some(excess) = len.checked_sub(self.bins_max).filter(|excess| *excess > 0) {
            let dropped = excess.min(self.counts.len());
            let moved = self
                .counts
                .drain(..dropped)
                .fold(0_u64, u64::saturating_add);
            self.first = self
                .first
                .saturating_add(i32::try_from(excess).unwrap_or(i32::MAX));
            self.counts.resize(self.bins_max, 0);
            if let Some(lowest) = self.counts.first_mut() {
                *lowest = lowest.saturating_add(moved);
            }
            self.folded = true;
        } else {
            self.counts.resize(len, 0);
        }
    }

    /// Extends the row downwards as far as allowed; returns the position for `index`, which is the
    /// lowest bin where the row may not reach it.
    fn grow_down(&mut self, index: i32) -> i64 {
        let wanted = usize::try_from(-self.position(index)).unwrap_or(usize::MAX);
        let added = wanted.min(self.bins_max - self.counts.len());
        self.counts.splice(..0, core::iter::repeat_n(0, added));
        self.first = self
            .first
            .saturating_sub(i32::try_from(added).unwrap_or(i32::MAX));
        self.folded |= added < wanted;
        0
    }
}

/// Position of a bin in a row that starts at `first`; beyond every row for a bin below it.
#[inline]
fn position(first: i32, bin: i32) -> usize {
    bin.wrapping_sub(first).cast_unsigned() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_row_depends_on_the_numbers_and_not_on_their_order() {
        let mut orders = vec![vec![5, 1, 9, 14, 2, 30, 29], vec![30, 29, 14, 9, 5, 2, 1]];
        orders.push(vec![1, 2, 5, 9, 14, 29, 30]);
        for order in orders {
            let mut store = Store::new(4);
            for index in order {
                store.add(index, 1);
            }
            assert_eq!(
                (store.first, store.counts.as_slice()),
                (27, [5, 0, 1, 1].as_slice())
            );
            assert!(store.folded);
        }
    }

    #[test]
    fn a_row_within_its_bound_folds_nothing() {
        let mut store = Store::new(8);
        for index in [3, -2, 5] {
            store.add(index, 2);
        }
        assert_eq!(store.counts, [2, 0, 0, 0, 0, 2, 0, 2]);
        assert!(!store.folded);
        store.add(-3, 1);
        assert_eq!(store.counts, [3, 0, 0, 0, 0, 2, 0, 2]);
        assert!(store.folded);
    }

    #[test]
    fn far_jumps_up_leave_one_folded_bin() {
        let mut store = Store::new(3);
        store.add(-1_000_000, 7);
        store.add(1_000_000, 1);
        assert_eq!(
            (store.first, store.counts.as_slice()),
            (999_998, [7, 0, 1].as_slice())
        );
    }

    #[test]
    fn counts_stop_at_the_largest_number() {
        let mut store = Store::new(3);
        store.add(0, u64::MAX);
        store.add(0, 1);
        assert_eq!(store.counts, [u64::MAX]);
    }
}
