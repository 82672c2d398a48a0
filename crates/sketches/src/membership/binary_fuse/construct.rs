//! From hashes to fingerprints.
//!
//! Every key has three slots. A slot that only one key has is free: the key can be decided there
//! after all others. Keys are peeled off in this way one by one, and their fingerprints are then
//! set in the opposite order, so that the three slots of each key combine to its own.
//!
//! A slot is one word: the number of its keys in the upper six bits, and below it the exclusive or
//! of their hashes, so that a slot with one key names it. Keys are peeled off a few at a time: first
//! all their slots are found, then changed, so that no key waits for the one before it.
//!
//! Here all slots have a word of their own, which is right for sets whose words fit the second-level
//! cache; `stream.rs` peels larger ones.

use alloc::vec::Vec;

use super::{
    layout::{HASH_BITS, Layout, fingerprint, mixed, multiplier_of},
    stream::{self, Outcome},
};
use crate::{
    error::SketchError,
    memory::{zero_words, zeros},
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

/// One key in the count of a slot.
pub(super) const ONE: u64 = 1 << HASH_BITS;
pub(super) const HASH_MASK: u64 = ONE - 1;

/// A slot of so many keys, half of what the count can hold, fails the attempt: with random hashes it
/// has three on average, and never nearly as many.
pub(super) const TOO_MANY: u64 = 32 * ONE;

/// Attempts before giving up. One in about twenty fails for some sizes; all of them never do unless
/// the hashes were made to.
const ATTEMPTS_MAX: u32 = 100;

/// Slots that are looked through for single keys before those are followed.
const SCAN: usize = 8192;

/// Keys whose slots are found before any of them is changed, in counting and in peeling.
pub(super) const COUNTED: usize = 32;
pub(super) const PEELED: usize = 8;

/// From this number of keys on the words of all slots do not fit the second-level cache.
const STREAM_KEYS_MIN: usize = 1 << 15;

/// A table that holds a set.
pub(super) struct Built {
    pub(super) attempt: u32,
    pub(super) keys: u32,
    pub(super) layout: Layout,
    pub(super) fingerprints: Vec<u8>,
}

/// Builds the table of a set of elements, each by its hash; `None` where all attempts failed.
/// Elements are hashed anew for each attempt that sees them.
pub(super) fn build<T>(
    name: &'static str,
    elements: &[T],
    hash: impl Fn(&T) -> u64 + Copy,
    keys_max: u32,
) -> Result<Option<Built>, SketchError> {
    let too_many = || SketchError::parameter(name, "keys", elements.len(), "at most 2^30");
    let check = |len: usize| u32::try_from(len).ok().filter(|keys| *keys <= keys_max);
    let keys = check(elements.len()).ok_or_else(too_many)?;
    let layout = Layout::for_keys(keys);
    if let Some(peeled) = peel(name, layout, elements, hash, multiplier_of(0))? {
        return Ok(Some(finish(name, layout, 0, &peeled[..keys as usize])?));
    }
    // Equal hashes have equal slots and cannot be peeled.
    let mut distinct = zeros(name, elements.len())?;
    for (place, element) in distinct.iter_mut().zip(elements) {
        *place = hash(element);
    }
    distinct.sort_unstable();
    distinct.dedup();
    let keys = check(distinct.len()).ok_or_else(too_many)?;
    let layout = Layout::for_keys(keys);
    for attempt in 1..ATTEMPTS_MAX {
        let multiplier = multiplier_of(attempt);
        if let Some(peeled) = peel(name, layout, &distinct, |hash| *hash, multiplier)? {
            let built = finish(name, layout, attempt, &peeled[..keys as usize])?;
            return Ok(Some(built));
        }
    }
    Ok(None)
}

/// The elements in the order in which they can be peeled off, at the begin of a longer row: the mixed
/// hash of each, and above it which of its three slots was free then.
fn peel<T>(
    name: &'static str,
    layout: Layout,
    elements: &[T],
    hash: impl Fn(&T) -> u64 + Copy,
    multiplier: u64,
) -> Result<Option<Vec<u64>>, SketchError> {
    let mix = move |element: &T| mixed(hash(element), multiplier);
    if elements.len() >= STREAM_KEYS_MIN {
        match stream::peel(name, layout, elements, mix)? {
            (Outcome::Peeled, peeled) => return Ok(Some(peeled)),
            (Outcome::Stuck, _) => return Ok(None),
            (Outcome::NoRoom, _) => {}
        }
    }
    let mut work = Work::new(name, layout, elements.len())?;
    let peel = Peel {
        work: &mut work,
        elements,
        mix,
    };
    let all = run_at(level(), peel) == elements.len();
    Ok(all.then_some(work.keys))
}

/// Sets the fingerprints, the key that was peeled off last first.
fn finish(
    name: &'static str,
    layout: Layout,
    attempt: u32,
    peeled: &[u64],
) -> Result<Built, SketchError> {
    let mut fingerprints: Vec<u8> = zeros(name, layout.slots())?;
    for peeled in peeled.iter().rev() {
        let mixed = peeled & HASH_MASK;
        let positions = layout.positions(mixed);
        // The free slot is still zero, so it may take part.
        let value = positions
            .iter()
            .fold(fingerprint(mixed), |value, at| value ^ fingerprints[*at]);
        let which = usize::try_from(peeled >> HASH_BITS).unwrap_or(0).min(2);
        fingerprints[positions[which]] = value;
    }
    Ok(Built {
        attempt,
        keys: u32::try_from(peeled.len()).unwrap_or(u32::MAX),
        layout,
        fingerprints,
    })
}

struct Work {
    layout: Layout,
    /// Counts and combined hashes.
    slots: Vec<u64>,
    /// Mixed hashes; then, in their place, peeled keys. One longer than there are keys, as there is
    /// always a place to write to.
    keys: Vec<u64>,
    /// Slots that had one key left when they were put in, first in, first out.
    queue: Vec<u32>,
}

impl Work {
    fn new(name: &'static str, layout: Layout, keys: usize) -> Result<Self, SketchError> {
        Ok(Self {
            layout,
            slots: zero_words(name, layout.slots())?,
            keys: zero_words(name, keys + 1)?,
            queue: zeros(name, 2 * SCAN)?,
        })
    }

    /// Enters every key in its three slots; `false` where one has too many.
    #[inline(always)]
    fn count(&mut self, keys: usize) -> bool {
        let (mut positions, mut seen) = ([[0; 3]; COUNTED], 0);
        for keys in self.keys[..keys].chunks(COUNTED) {
            for (three, mixed) in positions.iter_mut().zip(keys) {
                *three = self.layout.positions_by_halves(*mixed);
            }
            for (three, mixed) in positions.iter().zip(keys) {
                for at in three {
                    let slot = &mut self.slots[*at as usize];
                    *slot = (*slot ^ mixed).wrapping_add(ONE);
                    seen |= *slot;
                }
            }
        }
        seen < TOO_MANY
    }

    /// Peels off keys until no slot has a single one; returns how many.
    #[inline(always)]
    fn peel_all(&mut self) -> usize {
        let mut count = 0;
        for start in (0..self.slots.len()).step_by(SCAN) {
            let end = self.slots.len().min(start + SCAN);
            let mut waiting = 0;
            for (at, slot) in (0_u32..).zip(&self.slots[start..end]) {
                self.queue[waiting] = low_half(start).wrapping_add(at);
                waiting += usize::from(slot >> HASH_BITS == 1);
            }
            count = self.follow(waiting, count);
        }
        count
    }

    /// Peels off the keys of the slots in the queue and all that become free by that; returns how many
    /// keys are peeled off now.
    ///
    /// There is no branch on what a slot holds: a slot whose key was peeled off by another of its
    /// slots goes the same way and changes nothing.
    #[inline(always)]
    fn follow(&mut self, mut waiting: usize, mut count: usize) -> usize {
        let layout = self.layout;
        let mut found = [(0, [0; 3]); PEELED];
        let mut next = 0;
        while next < waiting {
            let now = PEELED.min(waiting - next);
            if waiting + 3 * PEELED > self.queue.len() {
                self.queue.resize(2 * self.queue.len(), 0);
            }
            for (found, at) in found.iter_mut().zip(&self.queue[next..next + now]) {
                let mixed = self.slots[*at as usize] & HASH_MASK;
                let positions = layout.positions_by_halves(mixed);
                let segment = positions[0] >> layout.segment_bits;
                let which = (at >> layout.segment_bits).wrapping_sub(segment);
                *found = (mixed | u64::from(which) << HASH_BITS, positions);
            }
            for (peeled, positions) in &found[..now] {
                let at = self.queue[next] as usize;
                next += 1;
                // A slot with one key has had that key since it had one only.
                let one = self.slots[at] >> HASH_BITS == 1;
                let Some(place) = self.keys.get_mut(count) else {
                    return usize::MAX;
                };
                *place = *peeled;
                count += usize::from(one);
                let (mixed, one_key) = if one {
                    (peeled & HASH_MASK, ONE)
                } else {
                    (0, 0)
                };
                for at in positions {
                    let slot = &mut self.slots[*at as usize];
                    *slot = (*slot ^ mixed).wrapping_sub(one_key);
                    self.queue[waiting] = *at;
                    waiting += usize::from(*slot >> HASH_BITS == 1) & usize::from(one);
                }
            }
        }
        count
    }
}

struct Peel<'a, T, F> {
    work: &'a mut Work,
    elements: &'a [T],
    /// The mixed hash of an element.
    mix: F,
}

impl<T, F: Fn(&T) -> u64> Kernel for Peel<'_, T, F> {
    /// Number of keys that were peeled off.
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        for (place, element) in self.work.keys.iter_mut().zip(self.elements) {
            *place = (self.mix)(element);
        }
        if self.work.count(self.elements.len()) {
            self.work.peel_all()
        } else {
            usize::MAX
        }
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "positions are below 2^31")]
pub(super) const fn low_half(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn every_level_peels_alike() {
        for keys in [1, 50, 40_000] {
            let hashes: Vec<u64> = (0..keys).map(|i| split_mix(keys, i)).collect();
            let layout = Layout::for_keys(u32::try_from(keys).unwrap());
            let results: Vec<(usize, Vec<u64>)> = crate::simd::available_levels()
                .map(|level| {
                    let mut work = Work::new("test", layout, hashes.len()).unwrap();
                    let kernel = Peel {
                        work: &mut work,
                        elements: &hashes,
                        mix: |hash: &u64| mixed(*hash, multiplier_of(3)),
                    };
                    (run_at(level, kernel), work.keys)
                })
                .collect();
            assert!(results.iter().all(|result| *result == results[0]));
        }
    }

    #[test]
    fn too_many_keys_are_refused_before_any_memory_is_taken() {
        let error = build("test", &[1, 2, 3], |hash| *hash, 2).err().unwrap();
        assert_eq!(
            error,
            SketchError::parameter("test", "keys", 3, "at most 2^30")
        );
    }
}
