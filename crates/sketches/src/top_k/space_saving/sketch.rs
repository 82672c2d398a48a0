//! The Space-Saving counter.

use alloc::vec::Vec;
use core::{cmp::Ordering, hash::Hash};

use super::victims::Victims;
use crate::{
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, hash_of},
    slot_table::SlotTable,
};

const NAME: &str = "space-saving";

/// A frequent key: its true count is at most `count` and at least `count - error`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heavy<K> {
    /// The key.
    pub item: K,
    /// Upper bound of its count.
    pub count: u64,
    /// How far the count may be too high.
    pub error: u64,
}

/// The most frequent keys of a stream, each with its own error bound.
///
/// With `capacity` entries, every key that makes up more than `1 / capacity` of the stream is kept,
/// and no count is more than `total / capacity` too high. While the stream has no more distinct
/// keys than entries, counts are exact.
///
/// Answers are ordered by count, then by smaller error, then by the hash of the key, so they do not
/// depend on the order of insertion of equals nor on the platform.
///
/// Cost: O(1) amortised for streams of ones, O(log capacity) amortised under any weights. Memory:
/// one entry of the key, two counts and a hash, 8 bytes of table for each three quarters of an
/// entry, and up to 4 bytes of eviction queue.
///
/// Source: Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in
/// data streams", 2005; merge by Agarwal and others, "Mergeable summaries", 2012.
///
/// ```
/// use sketches::SpaceSaving;
/// let mut words = SpaceSaving::new(10)?;
/// for word in "a b a c a b".split(' ') {
///     words.insert(word);
/// }
/// let top = words.top(2);
/// assert_eq!((top[0].item, top[0].count, top[0].error), ("a", 3, 0));
/// assert_eq!((top[1].item, top[1].count, top[1].error), ("b", 2, 0));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[doc(alias = "heavy-hitters")]
#[derive(Debug, Clone)]
pub struct SpaceSaving<K> {
    pub(super) seed: u64,
    pub(super) capacity: usize,
    pub(super) total: u64,
    pub(super) entries: Vec<Entry<K>>,
    /// Entry number of each key.
    table: SlotTable,
    victims: Victims,
}

#[derive(Debug, Clone)]
pub(super) struct Entry<K> {
    pub(super) heavy: Heavy<K>,
    pub(super) hash: u64,
}

impl<K> Entry<K> {
    /// Most frequent first; see the order of answers.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (&self.heavy, &other.heavy);
        let by_count = theirs.count.cmp(&ours.count);
        by_count
            .then(ours.error.cmp(&theirs.error))
            .then(self.hash.cmp(&other.hash))
    }
}

impl<K: Eq + Hash + Clone> SpaceSaving<K> {
    /// Greatest number of entries: 2^24, beyond which the keys alone fill gigabytes.
    pub const CAPACITY_MAX: usize = 1 << 24;

    /// An empty counter that keeps at most `capacity` keys.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the capacity is outside 1 to 2^24.
    pub fn new(capacity: usize) -> Result<Self, SketchError> {
        Self::with_seed(capacity, DEFAULT_SEED)
    }

    /// As [`new`](Self::new), with another hash seed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_seed(capacity: usize, seed: u64) -> Result<Self, SketchError> {
        if !(1..=Self::CAPACITY_MAX).contains(&capacity) {
            return Err(SketchError::parameter(
                NAME,
                "capacity",
                capacity,
                "1 to 2^24",
            ));
        }
        Ok(Self {
            seed,
            capacity,
            total: 0,
            entries: Vec::new(),
            table: SlotTable::new(),
            victims: Victims::default(),
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
            entry.heavy.count = entry.heavy.count.saturating_add(count);
        } else if self.entries.len() < self.capacity {
            let heavy = Heavy {
                item,
                count,
                error: 0,
            };
            self.push(Entry { heavy, hash });
        } else {
            self.replace(item, count, hash);
        }
    }

    /// Bounds of the count of a key; `None` where it is not kept, and its count is then at most
    /// [`error_bound`](Self::error_bound).
    #[must_use]
    pub fn get(&self, item: &K) -> Option<&Heavy<K>> {
        let at = self.find(hash_of(item, self.seed), item)?;
        self.entries.get(at).map(|entry| &entry.heavy)
    }

    /// The `k` most frequent keys kept, most frequent first.
    #[must_use]
    pub fn top(&self, k: usize) -> Vec<Heavy<K>> {
        let mut order: Vec<&Entry<K>> = self.entries.iter().collect();
        order.sort_unstable_by(|a, b| a.rank(b));
        order
            .into_iter()
            .take(k)
            .map(|entry| entry.heavy.clone())
            .collect()
    }

    /// Adds the counts of another counter: bounds stay true, and the total error is at most the sum
    /// of both.
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
        // A key that one side dropped may have occurred there up to that side's bound.
        let (our_bound, their_bound) = (self.error_bound(), other.error_bound());
        for entry in &mut self.entries {
            let (count, error) = match other.get(&entry.heavy.item) {
                Some(theirs) => (theirs.count, theirs.error),
                None => (their_bound, their_bound),
            };
            entry.heavy.count = entry.heavy.count.saturating_add(count);
            entry.heavy.error = entry.heavy.error.saturating_add(error);
        }
        for entry in &other.entries {
            if self.find(entry.hash, &entry.heavy.item).is_none() {
                let mut entry = entry.clone();
                entry.heavy.count = entry.heavy.count.saturating_add(our_bound);
                entry.heavy.error = entry.heavy.error.saturating_add(our_bound);
                self.push(entry);
            }
        }
        self.total = self.total.saturating_add(other.total);
        let mut entries = core::mem::take(&mut self.entries);
        entries.sort_unstable_by(Entry::rank);
        entries.truncate(self.capacity);
        self.table = SlotTable::new();
        self.victims.reset();
        entries.into_iter().for_each(|entry| self.push(entry));
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.total = 0;
        self.entries.clear();
        self.table = SlotTable::new();
        self.victims.reset();
    }

    pub(super) fn push(&mut self, entry: Entry<K>) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            // Doubles, but never past the capacity.
            let more = len.max(8).min(self.capacity.saturating_sub(len));
            self.entries.reserve_exact(more);
        }
        self.table
            .insert(entry.hash, u32::try_from(len).unwrap_or(u32::MAX));
        self.entries.push(entry);
    }

    #[inline]
    fn find(&self, hash: u64, item: &K) -> Option<usize> {
        let slot = self.table.find(hash, |slot| {
            self.entries
                .get(slot as usize)
                .is_some_and(|entry| entry.heavy.item == *item)
        })?;
        Some(slot as usize)
    }

    /// Gives the place of the last entry in the order of answers to a new key.
    #[inline]
    fn replace(&mut self, item: K, count: u64, hash: u64) {
        let Some(slot) = self.victims.next(&self.entries) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let error = entry.heavy.count;
        self.table.replace(entry.hash, hash, slot);
        entry.hash = hash;
        entry.heavy = Heavy {
            item,
            count: count.saturating_add(error),
            error,
        };
        self.victims.entered(slot, entry);
    }
}

impl<K> SpaceSaving<K> {
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

    /// Greatest count that a key which is not kept may have: 0 until the counter is full.
    #[must_use]
    pub fn error_bound(&self) -> u64 {
        if self.entries.len() < self.capacity {
            return 0;
        }
        self.entries
            .iter()
            .map(|entry| entry.heavy.count)
            .min()
            .unwrap_or(0)
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
        size_of::<Self>() + entries + self.table.memory_bytes() + self.victims.memory_bytes()
    }
}

impl<K: Eq + Hash + Clone> Extend<K> for SpaceSaving<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}
