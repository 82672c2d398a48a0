//! From hashes to fingerprints.
//!
//! Every key has three slots. A slot that only one key has is free: the key can be decided there
//! after all others. Keys are peeled off in this way one by one, and their fingerprints are then
//! set in the opposite order, so that the three slots of each key combine to its own.
//!
//! A slot is one word: the number of its keys in the upper six bits, and below it the exclusive or
//! of their hashes, so that a slot with one key names it. Hashes are first ordered by their first
//! segment, so that the slots in use at a time stay in the second-level cache.

use alloc::vec::Vec;

use super::layout::{HASH_BITS, Layout, fingerprint, mixed, multiplier_of};
use crate::{
    error::{SketchError, zeros},
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

/// One key in the count of a slot.
const ONE: u64 = 1 << HASH_BITS;
const HASH_MASK: u64 = ONE - 1;

/// Attempts before giving up. One in about twenty fails for some sizes; all of them never do unless
/// the hashes were made to.
const ATTEMPTS_MAX: u32 = 100;

/// Slots that are looked through for single keys before those are followed.
const SCAN: usize = 1024;

/// First length of the queue: a scan fits with room for what the first of its slots sets free.
const QUEUE_FIRST: usize = 4 * SCAN;

/// Below this number of keys the slots fit the second-level cache in any order.
const ORDERED_KEYS_MIN: usize = 1 << 15;

/// A table that holds a set.
pub(super) struct Built {
    pub(super) attempt: u32,
    pub(super) keys: u32,
    pub(super) layout: Layout,
    pub(super) fingerprints: Vec<u8>,
}

/// Builds the table of a set of hashes; `None` where all attempts failed.
pub(super) fn build(
    name: &'static str,
    hashes: &[u64],
    keys_max: u32,
) -> Result<Option<Built>, SketchError> {
    let too_many = || SketchError::parameter(name, "keys", hashes.len(), "at most 2^30");
    let check = |len: usize| u32::try_from(len).ok().filter(|keys| *keys <= keys_max);
    let keys = check(hashes.len()).ok_or_else(too_many)?;
    let mut work = Work::new(name, Layout::for_keys(keys), hashes.len())?;
    if work.peel(hashes, multiplier_of(0)) {
        return Ok(Some(work.finish(name, 0, keys)?));
    }
    // Equal hashes have equal slots and cannot be peeled.
    let mut distinct = zeros(name, hashes.len())?;
    distinct.copy_from_slice(hashes);
    distinct.sort_unstable();
    distinct.dedup();
    let keys = check(distinct.len()).ok_or_else(too_many)?;
    let mut work = Work::new(name, Layout::for_keys(keys), distinct.len())?;
    for attempt in 1..ATTEMPTS_MAX {
        work.slots.fill(0);
        if work.peel(&distinct, multiplier_of(attempt)) {
            return Ok(Some(work.finish(name, attempt, keys)?));
        }
    }
    Ok(None)
}

struct Work {
    layout: Layout,
    /// Counts and combined hashes.
    slots: Vec<u64>,
    /// Mixed hashes in the order of their first segment.
    ordered: Vec<u64>,
    /// Mixed hashes in the order of the keys, then peeled keys: the hash, and above it which of its
    /// three slots was free. One longer than there are keys, as there is always a place to write to.
    peeled: Vec<u64>,
    /// Slots that had one key left when they were put in, first in, first out.
    queue: Vec<u32>,
}

impl Work {
    fn new(name: &'static str, layout: Layout, keys: usize) -> Result<Self, SketchError> {
        Ok(Self {
            layout,
            slots: zeros(name, layout.slots())?,
            ordered: zeros(name, keys)?,
            peeled: zeros(name, keys + 1)?,
            queue: zeros(name, QUEUE_FIRST)?,
        })
    }

    /// Peels off every key; whether that was possible.
    fn peel(&mut self, hashes: &[u64], multiplier: u64) -> bool {
        let mix = MixEach {
            hashes,
            multiplier,
            mixed: &mut self.peeled[..hashes.len()],
        };
        run_at(level(), mix);
        let in_order = if hashes.len() < ORDERED_KEYS_MIN {
            &self.peeled[..hashes.len()]
        } else {
            order(&self.peeled[..hashes.len()], &mut self.ordered);
            &self.ordered
        };
        for mixed in in_order {
            for at in self.layout.positions(*mixed) {
                let slot = &mut self.slots[at];
                *slot = (*slot ^ mixed).wrapping_add(ONE);
            }
        }
        let mut count = 0;
        for start in (0..self.slots.len()).step_by(SCAN) {
            let mut waiting = 0;
            for at in start..start + SCAN.min(self.slots.len() - start) {
                self.queue[waiting] = u32::try_from(at).unwrap_or(u32::MAX);
                waiting += usize::from(self.slots[at] >> HASH_BITS == 1);
            }
            count = self.follow(waiting, count);
        }
        count == hashes.len()
    }

    /// Peels off the keys of the slots in the queue and all that become free by that; returns how many
    /// keys are peeled off now.
    ///
    /// There is no branch on what a slot holds: a slot whose key was peeled off by another of its
    /// slots goes the same way and changes nothing. Where hashes are equal, counts may wrap; then
    /// the number comes out wrong, and the attempt has failed.
    fn follow(&mut self, mut waiting: usize, mut count: usize) -> usize {
        let layout = self.layout;
        let mut next = 0;
        while next < waiting {
            if waiting + 3 > self.queue.len() {
                self.queue.resize(2 * self.queue.len(), 0);
            }
            let at = self.queue[next] as usize;
            next += 1;
            let slot = self.slots[at];
            let one = slot >> HASH_BITS == 1;
            let mixed = slot & HASH_MASK;
            let positions = layout.positions(mixed);
            let which =
                (at >> layout.segment_bits).wrapping_sub(positions[0] >> layout.segment_bits);
            let Some(place) = self.peeled.get_mut(count) else {
                return usize::MAX;
            };
            *place = mixed | ((which as u64) << HASH_BITS);
            count += usize::from(one);
            let (mixed, one_key) = if one { (mixed, ONE) } else { (0, 0) };
            for at in positions {
                let slot = (self.slots[at] ^ mixed).wrapping_sub(one_key);
                self.slots[at] = slot;
                self.queue[waiting] = u32::try_from(at).unwrap_or(u32::MAX);
                waiting += usize::from(slot >> HASH_BITS == 1) & usize::from(one);
            }
        }
        count
    }

    /// Sets the fingerprints, the key that was peeled off last first.
    fn finish(self, name: &'static str, attempt: u32, keys: u32) -> Result<Built, SketchError> {
        let mut fingerprints: Vec<u8> = zeros(name, self.layout.slots())?;
        for peeled in self.peeled[..keys as usize].iter().rev() {
            let mixed = peeled & HASH_MASK;
            let positions = self.layout.positions(mixed);
            // The free slot is still zero, so it may take part.
            let value = positions
                .iter()
                .fold(fingerprint(mixed), |value, at| value ^ fingerprints[*at]);
            let which = usize::try_from(peeled >> HASH_BITS).unwrap_or(0).min(2);
            fingerprints[positions[which]] = value;
        }
        Ok(Built {
            attempt,
            keys,
            layout: self.layout,
            fingerprints,
        })
    }
}

struct MixEach<'a> {
    hashes: &'a [u64],
    multiplier: u64,
    mixed: &'a mut [u64],
}

impl Kernel for MixEach<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (place, hash) in self.mixed.iter_mut().zip(self.hashes) {
            *place = mixed(*hash, self.multiplier);
        }
    }
}

/// Orders mixed hashes by their upper eight bits, and with that nearly by their first position.
fn order(mixed: &[u64], ordered: &mut [u64]) {
    const SHIFT: u32 = HASH_BITS - 8;
    let mut starts = [0_usize; 256];
    for hash in mixed {
        starts[((hash >> SHIFT) & 0xff) as usize] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        (*start, sum) = (sum, sum + *start);
    }
    for hash in mixed {
        let start = &mut starts[((hash >> SHIFT) & 0xff) as usize];
        ordered[*start] = *hash;
        *start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn order_is_a_permutation_sorted_by_the_upper_bits() {
        let mixed: Vec<u64> = (0..10_000).map(|i| split_mix(1, i) & HASH_MASK).collect();
        let mut ordered = alloc::vec![0; mixed.len()];
        order(&mixed, &mut ordered);
        assert!(ordered.is_sorted_by_key(|hash| hash >> (HASH_BITS - 8)));
        let mut sorted = mixed;
        sorted.sort_unstable();
        ordered.sort_unstable();
        assert_eq!(sorted, ordered);
    }

    #[test]
    fn too_many_keys_are_refused_before_any_memory_is_taken() {
        let error = build("test", &[1, 2, 3], 2).err().unwrap();
        assert_eq!(
            error,
            SketchError::parameter("test", "keys", 3, "at most 2^30")
        );
    }
}
