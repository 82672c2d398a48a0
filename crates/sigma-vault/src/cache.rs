//! Values that were read, decoded, in memory.
//!
//! Entries are found by the place of their record, and a record never changes, so an entry is never
//! out of date: who reads finds the newest record of a key in the index first. What was replaced or
//! removed is forgotten at once, for its space only; what compaction moved is read again.
//!
//! S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction",
//! 2023): a value that is read for the first time waits in a small queue, and gets into the main one
//! only if it is read again before it leaves that, or soon after.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::spread::Spread;
use crate::stats::Counter;
use crate::vault::{exclusive, shared};

/// Each shard has a lock and an equal part of the bytes.
const SHARDS: usize = 16;
/// What an entry is taken to need beside key and value.
const ENTRY_BYTES: usize = 160;
/// Reads count up to this.
const FREQUENCY_MAX: u8 = 3;
/// The part of the bytes that the small queue may hold before it is the one to give way.
const SMALL_SHARE: usize = 10;
/// An entry that needs more than this part of a shard is not kept.
const ENTRY_SHARE_MAX: usize = 4;

/// Segment and offset of a record.
type At = (u64, u64);

/// A decoded value and what it belongs to.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
    pub(crate) expires_s: u32,
}

#[derive(Debug)]
struct Entry {
    cached: Cached,
    bytes: usize,
    is_main: bool,
    frequency: AtomicU8,
}

/// Two lines of its own: what one reader counts is not in the way of the next one's lock.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Guarded {
    shard: RwLock<Shard>,
    hits: Counter,
    misses: Counter,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<At, Entry, BuildHasherDefault<Spread>>,
    /// Oldest first. A place that was forgotten stays until its turn comes.
    small: VecDeque<At>,
    main: VecDeque<At>,
    /// Places that left the small queue and were not read there, oldest first.
    ghosts: VecDeque<At>,
    ghost_set: HashSet<At, BuildHasherDefault<Spread>>,
    small_bytes: usize,
    main_bytes: usize,
}

/// The cache of a vault; of no use and no cost with 0 bytes.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Box<[Guarded]>,
    shard_bytes_max: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let count = if bytes_max == 0 { 0 } else { SHARDS };
        Self {
            shards: (0..count).map(|_| Guarded::default()).collect(),
            shard_bytes_max: bytes_max / SHARDS,
        }
    }

    fn shard(&self, at: At) -> Option<&Guarded> {
        // Records of one segment are spread by their offsets, which are multiples of 8.
        let mixed = (at.0 ^ (at.1 >> 3)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = u64::try_from(self.shards.len()).unwrap_or(0);
        let number = mixed.checked_rem(count)?;
        self.shards.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    /// Shows what is here of the record at this place to `look`, if that is of `key`.
    pub(crate) fn look<R>(&self, at: At, key: &[u8], look: impl FnOnce(&Cached) -> R) -> Option<R> {
        let Guarded {
            shard,
            hits,
            misses,
        } = self.shard(at)?;
        let shard = shared(shard);
        let found = shard.entries.get(&at);
        let Some(entry) = found.filter(|entry| *entry.cached.key == *key) else {
            misses.add(1);
            return None;
        };
        let frequency = entry.frequency.load(Ordering::Relaxed);
        if frequency < FREQUENCY_MAX {
            // Two readers may count as one.
            entry.frequency.store(frequency + 1, Ordering::Relaxed);
        }
        hits.add(1);
        Some(look(&entry.cached))
    }

    /// Reads that were answered from here, and that were not.
    pub(crate) fn looks(&self) -> (u64, u64) {
        let add =
            |sum: (u64, u64), one: &Guarded| (sum.0 + one.hits.get(), sum.1 + one.misses.get());
        self.shards.iter().fold((0, 0), add)
    }

    /// Offers what was just read from this place.
    pub(crate) fn offer(&self, at: At, key: &[u8], value: &[u8], expires_s: u32) {
        let Some(shard) = self.shard(at) else { return };
        let bytes = ENTRY_BYTES + key.len() + value.len();
        if bytes > self.shard_bytes_max / ENTRY_SHARE_MAX {
            return;
        }
        let cached = Cached {
            key: key.into(),
            value: value.into(),
            expires_s,
        };
        let gone = exclusive(&shard.shard).insert(at, cached, bytes, self.shard_bytes_max);
        // Memory is given back without the lock.
        drop(gone);
    }

    /// Gives up what is here of this place.
    pub(crate) fn forget(&self, at: At) {
        if let Some(shard) = self.shard(at) {
            let gone = exclusive(&shard.shard).remove(at);
            drop(gone);
        }
    }

    /// Entries and the bytes that they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for shard in &self.shards {
            let shard = shared(&shard.shard);
            sum.0 += shard.entries.len() as u64;
            sum.1 += shard.bytes() as u64;
        }
        sum
    }
}

impl Shard {
    fn bytes(&self) -> usize {
        self.small_bytes + self.main_bytes
    }

    /// Returns what had to go.
    fn insert(&mut self, at: At, cached: Cached, bytes: usize, bytes_max: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        if self.entries.contains_key(&at) {
            return gone;
        }
        // Its place in the row of ghosts is left: it only makes an older one go a little sooner.
        let is_main = self.ghost_set.remove(&at);
        let (queue, sum) = self.queue(is_main);
        queue.push_back(at);
        *sum += bytes;
        let entry = Entry {
            cached,
            bytes,
            is_main,
            frequency: AtomicU8::new(0),
        };
        self.entries.insert(at, entry);
        while self.bytes() > bytes_max {
            gone.extend(self.evict(bytes_max));
        }
        self.drop_forgotten();
        gone
    }

    fn queue(&mut self, is_main: bool) -> (&mut VecDeque<At>, &mut usize) {
        if is_main {
            (&mut self.main, &mut self.main_bytes)
        } else {
            (&mut self.small, &mut self.small_bytes)
        }
    }

    /// Takes one place from the front of a queue; something goes at the latest when every entry of
    /// the main queue was looked at [`FREQUENCY_MAX`] times.
    fn evict(&mut self, bytes_max: usize) -> Option<Entry> {
        let from_main = self.small_bytes * SMALL_SHARE < bytes_max && self.main_bytes > 0;
        // Where only forgotten places are, their bytes are not counted any more.
        let at = self.queue(from_main).0.pop_front()?;
        let entry = self.entries.get_mut(&at)?;
        if entry.is_main != from_main {
            return None;
        }
        let frequency = entry.frequency.load(Ordering::Relaxed);
        if from_main && frequency > 0 {
            entry.frequency.store(frequency - 1, Ordering::Relaxed);
            self.main.push_back(at);
        } else if !from_main && frequency > 0 {
            entry.frequency.store(0, Ordering::Relaxed);
            entry.is_main = true;
            let bytes = entry.bytes;
            self.small_bytes -= bytes;
            self.main_bytes += bytes;
            self.main.push_back(at);
        } else {
            let gone = self.remove(at);
            if !from_main {
                self.remember(at);
            }
            return gone;
        }
        None
    }

    /// As many places are remembered as there are entries.
    fn remember(&mut self, at: At) {
        if self.ghost_set.insert(at) {
            self.ghosts.push_back(at);
        }
        while self.ghosts.len() > self.entries.len().max(16) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_set.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, at: At) -> Option<Entry> {
        let entry = self.entries.remove(&at)?;
        *self.queue(entry.is_main).1 -= entry.bytes;
        Some(entry)
    }

    /// Keeps places that were forgotten from filling the queues.
    fn drop_forgotten(&mut self) {
        if self.small.len() + self.main.len() <= 2 * self.entries.len() + 64 {
            return;
        }
        let entries = &self.entries;
        self.small
            .retain(|at| entries.get(at).is_some_and(|entry| !entry.is_main));
        self.main
            .retain(|at| entries.get(at).is_some_and(|entry| entry.is_main));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = SHARDS * 40 * (ENTRY_BYTES + 101);

    fn at(number: u64) -> At {
        (1 + number % 3, 64 + number * 8)
    }

    fn offer(cache: &Cache, number: u64) {
        let value = [u8::try_from(number % 251).unwrap(); 100];
        cache.offer(at(number), b"k", &value, 0);
    }

    fn is_in(cache: &Cache, number: u64) -> bool {
        let expected = u8::try_from(number % 251).unwrap();
        let look = |cached: &Cached| assert_eq!(cached.value[0], expected);
        cache.look(at(number), b"k", look).is_some()
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let cache = Cache::new(0);
        offer(&cache, 1);
        assert!(!is_in(&cache, 1) && !cache.is_on());
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn bytes_stay_within_the_bound_whatever_comes() {
        let cache = Cache::new(BYTES_MAX);
        let mut seed = 1_u64;
        for step in 0..50_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (seed >> 33) % 3000;
            match step % 5 {
                0..=2 => {
                    if !is_in(&cache, number) {
                        offer(&cache, number);
                    }
                }
                3 => cache.forget(at(number)),
                _ => cache.offer(at(number + 5000), b"k", &vec![1; 3000], 0),
            }
            if step % 500 == 0 {
                let (_, bytes) = cache.size();
                assert!(bytes <= BYTES_MAX as u64, "{bytes} at step {step}");
            }
        }
        for shard in &cache.shards {
            let shard = shared(&shard.shard);
            let sum = |main| -> usize {
                let of = shard.entries.values().filter(|entry| entry.is_main == main);
                of.map(|entry| entry.bytes).sum()
            };
            assert_eq!(
                (sum(false), sum(true)),
                (shard.small_bytes, shard.main_bytes)
            );
            assert!(shard.small.len() + shard.main.len() <= 2 * shard.entries.len() + 64);
            assert!(shard.ghost_set.len() <= shard.ghosts.len());
        }
        assert!(cache.size().0 > 100);
    }

    #[test]
    fn what_is_read_often_survives_a_scan_over_the_rest() {
        let cache = Cache::new(BYTES_MAX);
        let hot = 0..200;
        for number in hot.clone() {
            offer(&cache, number);
        }
        for _ in 0..3 {
            assert!(hot.clone().all(|number| is_in(&cache, number)));
        }
        for number in 1000..20_000 {
            offer(&cache, number);
        }
        let kept = hot.filter(|number| is_in(&cache, *number)).count();
        assert!(kept > 190, "{kept} of 200");
    }

    #[test]
    fn what_comes_back_soon_is_kept() {
        let cache = Cache::new(BYTES_MAX);
        (0..2000).for_each(|number| offer(&cache, number));
        // The last ones that were pushed out are remembered.
        let gone: Vec<u64> = (0..2000).rev().filter(|n| !is_in(&cache, *n)).collect();
        let again = gone.iter().take(100);
        again.clone().for_each(|number| offer(&cache, *number));
        (5000..9000).for_each(|number| offer(&cache, number));
        let kept = again.filter(|number| is_in(&cache, **number)).count();
        assert!(kept > 50, "{kept} of 100");
    }

    #[test]
    fn a_value_too_large_for_its_part_is_not_kept() {
        let cache = Cache::new(BYTES_MAX);
        cache.offer(at(1), b"k", &vec![0; BYTES_MAX / SHARDS / 3], 0);
        assert_eq!(cache.size(), (0, 0));
    }
}
