//! The Misra-Gries counter with batched decrements.

use alloc::vec::Vec;
use core::hash::Hash;

use crate::{
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, hash_of},
    slot_table::SlotTable,
    top_k::Heavy,
};

const NAME: &str = "frequent-items";

/// The most frequent keys of a stream in constant time per key, all counts with the same error.
///
/// With `capacity` entries, every key that makes up more than `2 / capacity` of the stream is kept,
/// and no count is more than [`error_bound`](Self::error_bound) too high, which is at most
/// `2 * total / capacity`. While the stream has no more distinct keys than entries, counts are
/// exact. [`SpaceSaving`](crate::SpaceSaving) halves the bound and gives each count an error of its
/// own, at twice the cost per key.
///
/// What is kept depends on the keys and the order of the stream only, never on the platform.
///
/// Cost: O(1) amortised for any counts. Memory: the key and 8 bytes for each entry, and 8 bytes of
/// table for each three quarters of an entry.
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
#[derive(Debug, Clone)]
pub struct FrequentItems<K> {
    pub(super) seed: u64,
    pub(super) capacity: usize,
    pub(super) total: u64,
    /// Sum of the decrements: what any count may lack.
    pub(super) offset: u64,
    pub(super) entries: Vec<Entry<K>>,
    /// Entry number of each key.
    table: SlotTable,
}

#[derive(Debug, Clone)]
pub(super) struct Entry<K> {
    pub(super) item: K,
    /// Lower bound of the count.
    pub(super) count: u64,
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
            entries: Vec::new(),
            table: SlotTable::new(),
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
        let found = self.find(hash, &item);
        if let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) {
            entry.count = entry.count.saturating_add(count);
            return;
        }
        if self.entries.len() >= self.capacity {
            self.decrement();
        }
        self.push(hash, Entry { item, count });
    }

    /// Bounds of the count of a key; `None` where it is not kept, and its count is then at most
    /// [`error_bound`](Self::error_bound).
    #[must_use]
    pub fn get(&self, item: &K) -> Option<Heavy<K>> {
        let at = self.find(hash_of(item, self.seed), item)?;
        self.entries.get(at).map(|entry| self.heavy(entry))
    }

    /// The `k` most frequent keys kept, most frequent first; equals by the hash of the key.
    #[must_use]
    pub fn top(&self, k: usize) -> Vec<Heavy<K>> {
        let heavy = |entry| self.heavy(entry);
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
        for theirs in &other.entries {
            let hash = hash_of(&theirs.item, self.seed);
            let found = self.find(hash, &theirs.item);
            match found.and_then(|at| self.entries.get_mut(at)) {
                Some(entry) => entry.count = entry.count.saturating_add(theirs.count),
                None => self.push(hash, theirs.clone()),
            }
        }
        self.offset = self.offset.saturating_add(other.offset);
        self.total = self.total.saturating_add(other.total);
        if self.entries.len() > self.capacity {
            self.decrement();
        }
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.total = 0;
        self.offset = 0;
        self.entries.clear();
        self.table = SlotTable::new();
    }

    /// Entries in the order of answers.
    pub(super) fn in_order(&self) -> Vec<&Entry<K>> {
        let mut order: Vec<(u64, &Entry<K>)> = self
            .entries
            .iter()
            .map(|entry| (hash_of(&entry.item, self.seed), entry))
            .collect();
        order.sort_unstable_by_key(|(hash, entry)| (core::cmp::Reverse(entry.count), *hash));
        order.into_iter().map(|(_, entry)| entry).collect()
    }

    fn heavy(&self, entry: &Entry<K>) -> Heavy<K> {
        Heavy {
            item: entry.item.clone(),
            count: entry.count.saturating_add(self.offset),
            error: self.offset,
        }
    }

    pub(super) fn push(&mut self, hash: u64, entry: Entry<K>) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            // Doubles, but past the capacity only while merging.
            let more = len.max(8).min(self.capacity.saturating_sub(len)).max(1);
            self.entries.reserve_exact(more);
        }
        self.table
            .insert(hash, u32::try_from(len).unwrap_or(u32::MAX));
        self.entries.push(entry);
    }

    #[inline]
    fn find(&self, hash: u64, item: &K) -> Option<usize> {
        let slot = self.table.find(hash, |slot| {
            self.entries
                .get(slot as usize)
                .is_some_and(|entry| entry.item == *item)
        })?;
        Some(slot as usize)
    }

    /// Takes from every count the greatest amount that leaves at most half the capacity.
    ///
    /// One more than half the capacity lose the full amount each time, so the amounts add up to
    /// less than the total over half the capacity.
    #[cold]
    fn decrement(&mut self) {
        let mut counts: Vec<u64> = self.entries.iter().map(|entry| entry.count).collect();
        let kept = self.kept();
        let Some(at) = counts.len().checked_sub(kept + 1) else {
            return;
        };
        let amount = *counts.select_nth_unstable(at).1;
        self.offset = self.offset.saturating_add(amount);
        // New number of each entry that stays.
        let mut moved = counts;
        let mut number = 0;
        for (place, entry) in moved.iter_mut().zip(&self.entries) {
            *place = if entry.count > amount {
                number
            } else {
                u64::MAX
            };
            number += u64::from(entry.count > amount);
        }
        self.table
            .renumber(|slot| u32::try_from(*moved.get(slot as usize)?).ok());
        self.entries.retain_mut(|entry| {
            let stays = entry.count > amount;
            entry.count = entry.count.saturating_sub(amount);
            stays
        });
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
        self.entries.len()
    }

    /// Whether no key was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
        let entries = self.entries.capacity() * size_of::<Entry<K>>();
        size_of::<Self>() + entries + self.table.memory_bytes()
    }
}

impl<K: Eq + Hash + Clone> Extend<K> for FrequentItems<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}
