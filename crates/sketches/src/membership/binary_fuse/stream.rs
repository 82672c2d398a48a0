//! Peeling in one pass over the segments, in cells that are used again and again.
//!
//! Keys are put into buckets by their first segment. Bucket after bucket they are entered in their
//! three slots. A segment is complete once the keys that start there are in: its slots with a single
//! key are peeled, and with them all that become free by that in complete segments. The oldest
//! segment that still has keys is then about ten segments behind, so that the cells of a ring of
//! segments stand for all slots; they stay in the second-level cache, and little memory is touched.

use alloc::vec::Vec;

use super::{
    construct::{COUNTED, HASH_MASK, ONE, PEELED, TOO_MANY, low_half},
    layout::{HASH_BITS, Layout},
};
use crate::{
    error::SketchError,
    memory::{zero_words, zeros},
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

/// Segments whose slots have cells at the same time, a power of two.
const RING: usize = 32;

/// Mixed hashes that are made at once.
const MIXED: usize = 128;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every key was peeled off.
    Peeled,
    /// Some keys have no slot to themselves, or so few that peeling fell too far behind.
    Stuck,
    /// A bucket was too small, as random hashes hardly ever make it.
    NoRoom,
}

/// Peels off every key if possible. Peeled keys begin the longer row that is given back: the mixed hash
/// of each, and above it which of its three slots was free.
pub(super) fn peel<T>(
    name: &'static str,
    layout: Layout,
    elements: &[T],
    mix: impl Fn(&T) -> u64,
) -> Result<(Outcome, Vec<u64>), SketchError> {
    let segments = layout.segments as usize;
    let bucket = bucket_keys(elements.len(), segments);
    let mut keys = zero_words(name, segments * bucket + 1)?;
    let mut cells = zero_words(name, RING << layout.segment_bits)?;
    let mut ends = zeros(name, segments)?;
    let mut left = zeros(name, segments)?;
    let queue = zeros(name, 2 << layout.segment_bits)?;
    let stream = Stream {
        layout,
        elements,
        mix,
        bucket,
        keys: &mut keys,
        cells: &mut cells,
        ends: &mut ends,
        left: &mut left,
        queue,
    };
    Ok((run_at(level(), stream), keys))
}

/// Room of a bucket: six standard deviations above the mean.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rounded positive number"
)]
fn bucket_keys(keys: usize, segments: usize) -> usize {
    let mean = keys as f64 / segments as f64;
    (mean + 6.0 * libm::sqrt(mean)) as usize + 16
}

struct Stream<'a, T, F> {
    layout: Layout,
    elements: &'a [T],
    /// The mixed hash of an element.
    mix: F,
    /// Room of a bucket.
    bucket: usize,
    /// The buckets; peeled keys overwrite those that were entered before.
    keys: &'a mut [u64],
    /// Counts and combined hashes, as in the table of all slots.
    cells: &'a mut [u64],
    /// End of each bucket in `keys`.
    ends: &'a mut [usize],
    /// Keys of each bucket that were entered and are not peeled yet.
    left: &'a mut [u32],
    /// Slots that had one key left when they were put in.
    queue: Vec<u32>,
}

impl<T, F: Fn(&T) -> u64> Kernel for Stream<'_, T, F> {
    type Output = Outcome;

    #[inline(always)]
    fn run(mut self) -> Outcome {
        let (layout, bucket, all) = (self.layout, self.bucket, self.elements.len());
        if !fill(
            layout,
            self.elements,
            self.mix,
            bucket,
            self.keys,
            self.ends,
        ) {
            return Outcome::NoRoom;
        }
        let segments = self.ends.len();
        let (mut count, mut oldest) = (0, 0);
        for segment in 0..segments + 2 {
            if let Some(end) = self.ends.get(segment) {
                let keys = &self.keys[segment * bucket..*end];
                self.left[segment] = low_half(keys.len());
                if !enter(layout, keys, self.cells) {
                    return Outcome::Stuck;
                }
            }
            let waiting = wait(layout, segment, self.cells, &mut self.queue);
            let complete = low_half((segment + 1) << layout.segment_bits);
            let (keys, cells) = (&mut *self.keys, &mut *self.cells);
            let (left, queue) = (&mut *self.left, &mut self.queue);
            count = follow(layout, complete, keys, cells, left, queue, waiting, count);
            while self.left.get(oldest) == Some(&0) && oldest <= segment {
                oldest += 1;
            }
            // The next bucket reaches the segments up to the third from here.
            if segment + 3 >= oldest + RING {
                return Outcome::Stuck;
            }
        }
        if count == all {
            Outcome::Peeled
        } else {
            Outcome::Stuck
        }
    }
}

/// Puts the mixed hashes of elements into the buckets of their first segments; whether all had room.
#[inline(always)]
fn fill<T>(
    layout: Layout,
    elements: &[T],
    mix: impl Fn(&T) -> u64,
    bucket: usize,
    keys: &mut [u64],
    ends: &mut [usize],
) -> bool {
    for (segment, end) in ends.iter_mut().enumerate() {
        *end = segment * bucket;
    }
    let (mut batch, mut segments) = ([0; MIXED], [0; MIXED]);
    for elements in elements.chunks(MIXED) {
        for ((mixed, segment), element) in batch.iter_mut().zip(&mut segments).zip(elements) {
            *mixed = mix(element);
            *segment = layout.positions_by_halves(*mixed)[0] >> layout.segment_bits;
        }
        for (mixed, segment) in batch.iter().zip(&segments).take(elements.len()) {
            // A bucket that is too full spoils the next one; the ends show it.
            let end = &mut ends[*segment as usize];
            if let Some(place) = keys.get_mut(*end) {
                *place = *mixed;
            }
            *end += 1;
        }
    }
    let mut ends = ends.iter().enumerate();
    ends.all(|(segment, end)| end - segment * bucket <= bucket)
}

/// Enters keys in their three slots; `false` where a slot has more of them than random hashes give.
#[inline(always)]
fn enter(layout: Layout, keys: &[u64], cells: &mut [u64]) -> bool {
    let mask = (RING << layout.segment_bits) - 1;
    let (mut positions, mut seen) = ([[0; 3]; COUNTED], 0);
    for keys in keys.chunks(COUNTED) {
        for (three, mixed) in positions.iter_mut().zip(keys) {
            *three = layout.positions_by_halves(*mixed);
        }
        for (three, mixed) in positions.iter().zip(keys) {
            for at in three {
                let cell = &mut cells[*at as usize & mask];
                *cell = (*cell ^ mixed).wrapping_add(ONE);
                seen |= *cell;
            }
        }
    }
    seen < TOO_MANY
}

/// Puts the slots of a segment with one key into the queue; returns how many.
#[inline(always)]
fn wait(layout: Layout, segment: usize, cells: &[u64], queue: &mut [u32]) -> usize {
    let slots = 1 << layout.segment_bits;
    let (first, of_ring) = (segment * slots, segment % RING * slots);
    let mut waiting = 0;
    for (at, cell) in (low_half(first)..).zip(&cells[of_ring..of_ring + slots]) {
        queue[waiting] = at;
        waiting += usize::from(cell >> HASH_BITS == 1);
    }
    waiting
}

/// Peels off the keys of the slots in the queue, and all that become free by that in slots below
/// `complete`; returns how many keys are peeled off now.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "rows apart are known not to overlap"
)]
fn follow(
    layout: Layout,
    complete: u32,
    keys: &mut [u64],
    cells: &mut [u64],
    left: &mut [u32],
    queue: &mut Vec<u32>,
    mut waiting: usize,
    mut count: usize,
) -> usize {
    let mask = (RING << layout.segment_bits) - 1;
    let mut found = [(0, [0; 3]); PEELED];
    let mut next = 0;
    while next < waiting {
        let now = PEELED.min(waiting - next);
        if waiting + 3 * PEELED > queue.len() {
            queue.resize(2 * queue.len() + 3 * PEELED, 0);
        }
        for (found, at) in found.iter_mut().zip(&queue[next..next + now]) {
            let mixed = cells[*at as usize & mask] & HASH_MASK;
            let positions = layout.positions_by_halves(mixed);
            let which =
                (at >> layout.segment_bits).wrapping_sub(positions[0] >> layout.segment_bits);
            *found = (mixed | u64::from(which) << HASH_BITS, positions);
        }
        for (peeled, positions) in &found[..now] {
            let at = queue[next] as usize;
            next += 1;
            // A slot with one key has had that key since it had one only.
            if cells[at & mask] >> HASH_BITS != 1 {
                continue;
            }
            keys[count] = *peeled;
            count += 1;
            left[(positions[0] >> layout.segment_bits) as usize] -= 1;
            for at in positions {
                let cell = &mut cells[*at as usize & mask];
                *cell = (*cell ^ (peeled & HASH_MASK)).wrapping_sub(ONE);
                queue[waiting] = *at;
                waiting += usize::from(*cell >> HASH_BITS == 1) & usize::from(*at < complete);
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::split_mix,
        membership::binary_fuse::layout::{mixed, multiplier_of},
        simd::available_levels,
    };

    fn mix(hash: &u64) -> u64 {
        mixed(*hash, multiplier_of(0))
    }

    #[test]
    fn each_key_has_its_free_slot_to_itself_among_those_before() {
        for len in [1 << 15, 100_000_usize] {
            let hashes: Vec<u64> = (0..len as u64).map(|i| split_mix(1, i)).collect();
            let layout = Layout::for_keys(u32::try_from(len).unwrap());
            let (outcome, keys) = peel("test", layout, &hashes, mix).unwrap();
            assert_eq!(outcome, Outcome::Peeled);
            let mut taken = alloc::vec![false; layout.slots()];
            // From the last to the first, a free slot is in none of the keys set before.
            for peeled in keys[..len].iter().rev() {
                let positions = layout.positions(peeled & HASH_MASK);
                let which = usize::try_from(peeled >> HASH_BITS).unwrap();
                assert!(!taken[positions[which]]);
                positions.into_iter().for_each(|at| taken[at] = true);
            }
            let mut mixed: Vec<u64> = keys[..len].iter().map(|key| key & HASH_MASK).collect();
            let mut expected: Vec<u64> = hashes.iter().map(mix).collect();
            mixed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(mixed, expected);
        }
    }

    #[test]
    fn every_level_peels_alike() {
        let hashes: Vec<u64> = (0..40_000).map(|i| split_mix(2, i)).collect();
        let layout = Layout::for_keys(40_000);
        let (segments, bucket) = (
            layout.segments as usize,
            bucket_keys(40_000, layout.segments as usize),
        );
        let rows = available_levels().map(|level| {
            let mut keys = alloc::vec![0; segments * bucket + 1];
            let stream = Stream {
                layout,
                elements: &hashes,
                mix,
                bucket,
                keys: &mut keys,
                cells: &mut alloc::vec![0; RING << layout.segment_bits],
                ends: &mut alloc::vec![0; segments],
                left: &mut alloc::vec![0; segments],
                queue: alloc::vec![0; 2 << layout.segment_bits],
            };
            assert_eq!(run_at(level, stream), Outcome::Peeled, "{level:?}");
            keys
        });
        let rows: Vec<Vec<u64>> = rows.collect();
        assert!(rows.iter().all(|row| *row == rows[0]));
    }

    #[test]
    fn what_cannot_be_peeled_so_is_told() {
        let random = |i| split_mix(3, i);
        let layout = Layout::for_keys(50_000);
        let twice: Vec<u64> = (0..50_000).map(|i| random(i / 2)).collect();
        let same = alloc::vec![random(0); 50_000];
        let different: Vec<u64> = (0..50_000).map(random).collect();
        let in_one_bucket = |hash: &u64| mix(hash) >> 8;
        let outcome = |hashes: &[u64]| peel("test", layout, hashes, mix).unwrap().0;
        assert_eq!(outcome(&twice), Outcome::Stuck);
        assert_eq!(outcome(&same), Outcome::NoRoom);
        assert_eq!(outcome(&different), Outcome::Peeled);
        let (outcome, _) = peel("test", layout, &different, in_one_bucket).unwrap();
        assert_eq!(outcome, Outcome::NoRoom);
        // As many equal keys as a count would not hold, and no more than a bucket does.
        let many: Vec<u64> = (0..50_000).map(|i| random(i.max(65))).collect();
        assert_eq!(peel("test", layout, &many, mix).unwrap().0, Outcome::Stuck);
    }
}
