//! Which entry a full counter gives up next: always the last in the order of answers.
//!
//! Counts only grow, so the entries at the least count form a *level* that nothing can join, and
//! that is given up entry by entry from a sorted queue; an entry that has grown since is skipped.
//! A scan finds the next level once a queue is used up. Streams of ones have levels that hold a
//! good part of all entries. Where weights make levels small, a scan puts the least sixteenth of
//! the entries on a heap instead, and entries that enter below its limit join it. Either way a
//! scan is paid for by as many evictions or hits as it found entries.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Ordering;

use super::sketch::Entry;

/// Share of the entries that a level must hold to be given up from a queue.
const SHARE: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct Victims {
    /// Slots of the entries at the count `limit`, next victim last.
    queue: Vec<u32>,
    /// Every entry up to `limit` is in the queue or on the heap, once.
    limit: u64,
    heap: BinaryHeap<Late>,
}

/// An entry as it was when it came on the heap; its count may have grown since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Late {
    count: u64,
    error: u64,
    hash: u64,
    slot: u32,
}

impl Ord for Late {
    /// Greatest is the next victim: least count, then greatest error, then greatest hash.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_count = other.count.cmp(&self.count);
        by_count
            .then(self.error.cmp(&other.error))
            .then(self.hash.cmp(&other.hash))
            .then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Victims {
    /// Forgets what was found, because the entries were moved.
    pub(super) fn reset(&mut self) {
        self.queue.clear();
        self.heap.clear();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        4 * self.queue.capacity() + size_of::<Late>() * self.heap.capacity()
    }

    /// Slot of the entry to give up; `None` where there is no entry. The caller replaces the entry
    /// and then calls [`entered`](Self::entered).
    #[inline]
    pub(super) fn next<K>(&mut self, entries: &[Entry<K>]) -> Option<u32> {
        while let Some(slot) = self.queue.pop() {
            // Heap entries are above the level, or came at its count when counts had stopped.
            if entries.get(slot as usize)?.heavy.count == self.limit {
                return Some(slot);
            }
        }
        self.next_late(entries)
    }

    /// Tells that a slot has a new entry.
    #[inline]
    pub(super) fn entered<K>(&mut self, slot: u32, entry: &Entry<K>) {
        if entry.heavy.count <= self.limit {
            self.heap.push(Late::new(slot, entry));
        }
    }

    #[cold]
    fn next_late<K>(&mut self, entries: &[Entry<K>]) -> Option<u32> {
        loop {
            while let Some(late) = self.heap.pop() {
                let entry = entries.get(late.slot as usize)?;
                if entry.heavy.count == late.count {
                    return Some(late.slot);
                }
                self.entered(late.slot, entry);
            }
            self.refill(entries)?;
            if let Some(slot) = self.queue.pop() {
                return Some(slot);
            }
        }
    }

    /// Finds the next level, or the next entries for the heap.
    fn refill<K>(&mut self, entries: &[Entry<K>]) -> Option<()> {
        let counts = || entries.iter().map(|entry| entry.heavy.count);
        self.limit = counts().min()?;
        let level = counts().filter(|count| *count == self.limit).count();
        let least = (entries.len() / SHARE).max(1);
        if level >= least {
            self.queue.reserve_exact(level);
            for (slot, entry) in (0..).zip(entries) {
                if entry.heavy.count == self.limit {
                    self.queue.push(slot);
                }
            }
            let key = |slot: &u32| {
                let entry = entries.get(*slot as usize);
                entry.map(|entry| (entry.heavy.error, entry.hash))
            };
            self.queue.sort_unstable_by_key(key);
            return Some(());
        }
        let mut all: Vec<u64> = counts().collect();
        self.limit = *all.select_nth_unstable(least - 1).1;
        let below = (0..)
            .zip(entries)
            .filter(|(_, entry)| entry.heavy.count <= self.limit);
        let late = below.map(|(slot, entry)| Late::new(slot, entry));
        self.heap = late.collect();
        Some(())
    }
}

impl Late {
    fn new<K>(slot: u32, entry: &Entry<K>) -> Self {
        Self {
            count: entry.heavy.count,
            error: entry.heavy.error,
            hash: entry.hash,
            slot,
        }
    }
}
