//! The Misra-Gries counter with batched decrements.

use alloc::vec::Vec;
use core::{borrow::Borrow, hash::Hash};

use crate::{
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, each_batch, hash_of},
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
    top_k::{
        Heavy,
        cells::{Cells, Found},
    },
};

const NAME: &str = "frequent-items";
/// Keys that are looked up at once.
const BATCH: usize = 128;
/// Greatest decrement that is looked for by counting.
const LOW_COUNT_MAX: u64 = 6;

/// The most frequent keys of a stream in constant time per key, all counts with the same error.
///
/// With `capacity` entries, every key that makes up more than `2 / capacity` of the stream is kept,
/// and no count is more than [`error_bound`](Self::error_bound) too high, which is at most
/// `2 * total / capacity`. While the stream has no more distinct keys than entries, counts are
/// exact. [`SpaceSaving`](crate::SpaceSaving) halves the bound and gives each count an error of its
/// own, at several times the cost per key.
///
/// What is kept depends on the keys and the order of the stream only (and on the slices given to
/// [`insert_each`](Self::insert_each)), never on the platform.
///
/// Cost: O(1) amortised for any counts. Memory: the key and 8 bytes for each entry, and 6 to 12 bytes
/// of table.
///
/// Source: Misra, Gries, "Finding repeated elements", 1982; the decrement of many counts at once is
/// that of Anderson and others, "A high-performance algorithm for identifying frequent items in
/// data streams", IMC 2017, with an exact order statistic in place of a sampled median; merge by
/// Agarwal and others, "Mergeable summaries", 2012.
///
/// ```
/// use sketches::top_k::FrequentItems;
/// let mut words = FrequentItems::new(20)?;
/// for word in "a b a c a b".split(' ') {
///     words.insert(word);
/// }
/// let top = words.top(2);
/// assert_eq!((top[0].item, top[0].count, top[0].error), ("a", 3, 0));
/// assert_eq!((top[1].item, top[1].count, top[1].error), ("b", 2, 0));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[doc(alias = "misra-gries")]
#[doc(alias = "heavy-hitters")]
#[derive(Debug, Clone)]
pub struct FrequentItems<K> {
    pub(super) seed: u64,
    pub(super) capacity: usize,
    pub(super) total: u64,
    /// Sum of the decrements: what any count may lack.
    pub(super) offset: u64,
    pub(super) items: Vec<K>,
    /// Lower bound of the count of each item, above 0.
    pub(super) counts: Vec<u64>,
    /// Number of each item.
    table: Cells,
}

impl<K: Eq + Hash + Clone> FrequentItems<K> {
    /// Least number of entries; a decrement needs one to keep and one to give up.
    pub const CAPACITY_MIN: usize = 2;
    /// Greatest number of entries: 2^24, beyond which the keys alone fill gigabytes.
    pub const CAPACITY_MAX: usize = 1 << 24;

    /// An empty counter that keeps at most `capacity` keys.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the capacity is outside 2 to 2^24.
    pub fn new(capacity: usize) -> Result<Self, SketchError> {
        Self::with_seed(capacity, DEFAULT_SEED)
    }

    /// As [`new`](Self::new), with another hash seed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_seed(capacity: usize, seed: u64) -> Result<Self, SketchError> {
        if !(Self::CAPACITY_MIN..=Self::CAPACITY_MAX).contains(&capacity) {
            let allowed = "2 to 2^24";
            return Err(SketchError::parameter(NAME, "capacity", capacity, allowed));
        }
        Ok(Self {
            seed,
            capacity,
            total: 0,
            offset: 0,
            items: Vec::new(),
            counts: Vec::new(),
            table: Cells::default(),
        })
    }

    /// Counts a key once.
    #[inline]
    pub fn insert(&mut self, item: K) {
        self.add(item, 1);
    }

    /// Counts a key `count` times. Counts stop at `u64::MAX`.
    #[inline]
    pub fn add(&mut self, item: K, count: u64) {
        if count == 0 {
            return;
        }
        self.total = self.total.saturating_add(count);
        let hash = hash_of(&item, self.seed);
        self.add_hashed(hash, item, count, |item| item);
    }

    /// Counts every key of a slice once, the fastest way in. Of each 128 keys, those that are kept
    /// already are counted first: every bound holds as it does for one by one, but where the counter
    /// is full, other keys of the least count may be kept.
    pub fn insert_each(&mut self, items: &[K]) {
        for items in items.chunks(BATCH) {
            self.total = self.total.saturating_add(items.len() as u64);
            each_batch(items, self.seed, |hashes| self.insert_batch(items, hashes));
        }
    }

    fn insert_batch(&mut self, items: &[K], hashes: &[u64]) {
        let mut missed = [0_u32; BATCH];
        let mut misses = 0;
        for (at, (item, hash)) in (0..).zip(items.iter().zip(hashes)) {
            // No branch on whether the key is kept, which no one can tell.
            let number = self.table.likely(*hash) as usize;
            let mut hit = false;
            if let (Some(kept), Some(count)) = (self.items.get(number), self.counts.get_mut(number))
            {
                hit = kept == item;
                *count = count.saturating_add(u64::from(hit));
            }
            missed[misses % BATCH] = at;
            misses += usize::from(!hit);
        }
        for at in &missed[..misses] {
            if let (Some(item), Some(hash)) = (items.get(*at as usize), hashes.get(*at as usize)) {
                self.add_hashed(*hash, item, 1, Clone::clone);
            }
        }
    }

    /// Adds to the count of a key, which is made of the one given where it is not kept.
    #[inline(always)]
    fn add_hashed<Q: Borrow<K>>(&mut self, hash: u64, item: Q, count: u64, own: impl Fn(Q) -> K) {
        match self.find(hash, item.borrow()) {
            Found::Number(number) => self.add_to(number, count),
            Found::Free(_) if self.is_full() => {
                if self.counts.len() >= self.capacity {
                    self.decrement();
                }
                self.push(hash, own(item), count);
            }
            Found::Free(cell) => {
                let number = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
                self.table.fill(cell, hash, number);
                self.items.push(own(item));
                self.counts.push(count);
            }
        }
    }

    #[inline(always)]
    fn add_to(&mut self, number: u32, count: u64) {
        if let Some(kept) = self.counts.get_mut(number as usize) {
            *kept = kept.saturating_add(count);
        }
    }

    /// Bounds of the count of a key; `None` where it is not kept, and its count is then at most
    /// [`error_bound`](Self::error_bound).
    #[must_use]
    pub fn get(&self, item: &K) -> Option<Heavy<K>> {
        let Found::Number(number) = self.find(hash_of(item, self.seed), item) else {
            return None;
        };
        let (item, count) = (
            self.items.get(number as usize)?,
            self.counts.get(number as usize)?,
        );
        Some(self.heavy(item, *count))
    }

    /// The `k` most frequent keys kept, most frequent first; equals by the hash of the key.
    #[must_use]
    pub fn top(&self, k: usize) -> Vec<Heavy<K>> {
        let heavy = |(item, count)| self.heavy(item, count);
        self.in_order().into_iter().take(k).map(heavy).collect()
    }

    /// Adds the counts of another counter: bounds stay true, and the error bound stays at most
    /// twice the sum of the totals over the capacity.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where the capacity differs;
    /// nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        let (left, right) = (self.capacity, other.capacity);
        if left != right {
            return Err(SketchError::shape(NAME, "capacity", left, right));
        }
        for (item, count) in other.items.iter().zip(&other.counts) {
            let hash = hash_of(item, self.seed);
            match self.find(hash, item) {
                Found::Number(number) => self.add_to(number, *count),
                Found::Free(_) => self.push(hash, item.clone(), *count),
            }
        }
        self.offset = self.offset.saturating_add(other.offset);
        self.total = self.total.saturating_add(other.total);
        if self.items.len() > self.capacity {
            self.decrement();
        }
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.total = 0;
        self.offset = 0;
        self.items.clear();
        self.counts.clear();
        self.table.clear();
    }

    /// Keys and their counts in the order of answers.
    pub(super) fn in_order(&self) -> Vec<(&K, u64)> {
        let hashed = |item| hash_of(item, self.seed);
        let kept = self.items.iter().zip(&self.counts);
        let mut order: Vec<_> = kept
            .map(|(item, count)| (*count, hashed(item), item))
            .collect();
        order.sort_unstable_by_key(|(count, hash, _)| (core::cmp::Reverse(*count), *hash));
        order
            .into_iter()
            .map(|(count, _, item)| (item, count))
            .collect()
    }

    fn heavy(&self, item: &K, count: u64) -> Heavy<K> {
        Heavy {
            item: item.clone(),
            count: count.saturating_add(self.offset),
            error: self.offset,
        }
    }

    /// Adds a key that is not kept.
    pub(super) fn push(&mut self, hash: u64, item: K, count: u64) {
        let len = self.counts.len();
        if len == self.counts.capacity() {
            self.grow();
        }
        let number = u32::try_from(len).unwrap_or(u32::MAX);
        self.table.insert(hash, number);
        self.items.push(item);
        self.counts.push(count);
    }

    /// Doubles the room, but past the capacity only while merging.
    #[cold]
    fn grow(&mut self) {
        let len = self.counts.len();
        let more = len.max(8).min(self.capacity.saturating_sub(len)).max(1);
        self.counts.reserve_exact(more);
        self.items.reserve_exact(more);
        if self.counts.capacity() > self.table.room() {
            self.table = Cells::with_room_for(self.counts.capacity());
            self.index();
        }
    }

    #[inline(always)]
    fn find(&self, hash: u64, item: &K) -> Found {
        self.table.find(hash, |number| {
            let kept = self.items.get(number as usize);
            kept.is_some_and(|kept| kept == item)
        })
    }

    /// Whether a further key needs more room or a decrement.
    #[inline(always)]
    fn is_full(&self) -> bool {
        let len = self.counts.len();
        len == self.counts.capacity() || len >= self.capacity
    }

    /// Takes from every count the greatest amount that leaves at most half the capacity.
    ///
    /// One more than half the capacity lose the full amount each time, so the amounts add up to
    /// less than the total over half the capacity.
    #[cold]
    fn decrement(&mut self) {
        let Some(at) = self.counts.len().checked_sub(self.kept() + 1) else {
            return;
        };
        let amount = nth_count(&self.counts, at);
        self.offset = self.offset.saturating_add(amount);
        // Moved without branches: no one can tell which keys stay.
        let mut stayed = 0;
        for at in 0..self.counts.len() {
            let count = self.counts[at];
            self.items.swap(stayed, at);
            self.counts[stayed] = count.wrapping_sub(amount);
            stayed += usize::from(count > amount);
        }
        self.items.truncate(stayed);
        self.counts.truncate(stayed);
        self.table.clear();
        self.index();
    }

    /// Puts every key into the empty table.
    fn index(&mut self) {
        let (table, mut number) = (&mut self.table, 0);
        each_batch(&self.items, self.seed, |hashes| {
            for hash in hashes {
                table.insert(*hash, number);
                number += 1;
            }
        });
    }
}

/// The count at a position of the ascending counts.
fn nth_count(counts: &[u64], at: usize) -> u64 {
    // Where most keys came once or twice, a few counting passes find it.
    for amount in 1..=LOW_COUNT_MAX {
        if run_at(level(), AtMost { counts, amount }) > at {
            return amount;
        }
    }
    *counts.to_vec().select_nth_unstable(at).1
}

/// Number of the counts up to an amount.
struct AtMost<'a> {
    counts: &'a [u64],
    amount: u64,
}

impl Kernel for AtMost<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let low = self.counts.iter().filter(|count| **count <= self.amount);
        low.count()
    }
}

impl<K> FrequentItems<K> {
    /// Entries that a decrement leaves at most.
    pub(super) const fn kept(&self) -> usize {
        self.capacity / 2
    }

    /// Greatest number of keys kept.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keys kept at present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no key was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Sum of all counts added.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Greatest count that a key which is not kept may have, and the error of every count: 0 until
    /// the counter was full, at most `2 * total / capacity`.
    #[must_use]
    pub const fn error_bound(&self) -> u64 {
        self.offset
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory in use, without what the keys themselves own.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let items = self.items.capacity() * size_of::<K>();
        size_of::<Self>() + items + 8 * self.counts.capacity() + self.table.memory_bytes()
    }
}

impl<K: Eq + Hash + Clone> Extend<K> for FrequentItems<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn the_decrement_is_the_order_statistic() {
        for shift in [0, 20, 56, 60, 63] {
            let counts: Vec<u64> = (0..400).map(|at| 1 + (split_mix(5, at) >> shift)).collect();
            let mut sorted = counts.clone();
            sorted.sort_unstable();
            for at in [0, 1, 100, 199, 200, 398, 399] {
                assert_eq!(nth_count(&counts, at), sorted[at], "{shift} {at}");
            }
        }
    }
}
