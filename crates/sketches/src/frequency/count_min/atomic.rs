//! A Count-Min sketch that many threads update at once.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{
    builder::{CountMinBuilder, Update},
    rows::{Shape, any_places},
    sketch::{CountMin, check_shapes},
};
use crate::{
    atomic::{AtomicU32, Ordering},
    error::{SketchError, check_seeds},
    hash::{each_batch, hash_of},
};

const NAME: &str = "atomic count-min";

/// A plain [`CountMin`] that threads share: adding needs no lock and no exclusive reference.
///
/// An estimate made while others add lies between that of the counts finished before and that of
/// the counts begun by then. Once all threads are joined, [`into_count_min`](Self::into_count_min)
/// is exactly the sketch of all streams.
///
/// Cost: one atomic exchange per row and add. There is no shared counter, but threads that add key by
/// key wait for each other's cache lines: two of them are no faster than one while the cells fit a
/// cache. Slices of as many keys as cells ([`insert_each`](Self::insert_each)) and sketches of a
/// thread's own ([`merge`](Self::merge)) scale. Memory: 4 bytes per cell.
///
/// ```
/// use sketches::frequency::AtomicCountMin;
/// let counts = AtomicCountMin::with_size(5, 1000)?;
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| (0..100_u64).for_each(|key| counts.insert(&(key % 10))));
///     }
/// });
/// assert_eq!(counts.into_count_min().estimate(&3_u64), 20);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug)]
pub struct AtomicCountMin {
    seed: u64,
    depth: usize,
    width: usize,
    cells: Vec<AtomicU32>,
}

impl AtomicCountMin {
    /// An empty sketch of `depth` rows of `width` cells.
    ///
    /// # Errors
    /// As for [`CountMinBuilder::build`].
    pub fn with_size(depth: usize, width: usize) -> Result<Self, SketchError> {
        CountMinBuilder::with_size(depth, width).build()?.try_into()
    }

    /// Counts a key once.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&self, key: &T) {
        self.add(key, 1);
    }

    /// Counts a key `count` times.
    #[inline]
    pub fn add<T: Hash + ?Sized>(&self, key: &T, count: u64) {
        self.add_hash(hash_of(key, self.seed), count);
    }

    /// Counts a key by its hash; see [`CountMin::add_hash`].
    pub fn add_hash(&self, hash: u64, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        for place in any_places(hash, self.depth, self.width) {
            if let Some(cell) = self.cells.get(place) {
                add_saturating(cell, count);
            }
        }
    }

    /// Counts every key of a slice once. Where there are at least as many as cells, the thread counts
    /// them in a sketch of its own and adds that at the end, so that threads do not wait for each
    /// other's cache lines; it holds the memory of a second sketch meanwhile.
    pub fn insert_each<T: Hash>(&self, keys: &[T]) {
        if keys.len() >= self.cells.len() {
            let shape = CountMinBuilder::with_size(self.depth, self.width).seed(self.seed);
            if let Ok(mut own) = shape.build() {
                own.insert_each(keys);
                self.add_cells(&own);
                return;
            }
        }
        each_batch(keys, self.seed, |hashes| {
            hashes.iter().for_each(|hash| self.add_hash(*hash, 1));
        });
    }

    /// Adds the counts of a plain sketch. Threads that count key by key scale best with a sketch of
    /// their own, added here now and then.
    ///
    /// # Errors
    /// As for [`CountMin::merge`]; nothing is changed then.
    pub fn merge(&self, other: &CountMin) -> Result<(), SketchError> {
        let ours = Shape {
            update: Update::Plain,
            depth: self.depth,
            width: self.width,
        };
        check_seeds(NAME, self.seed, other.seed)?;
        check_shapes(NAME, ours, other.shape())?;
        self.add_cells(other);
        Ok(())
    }

    fn add_cells(&self, other: &CountMin) {
        for (cell, count) in self.cells.iter().zip(&other.cells) {
            if *count > 0 {
                add_saturating(cell, *count);
            }
        }
    }

    /// Estimated count of a key; never below what was added before the call.
    #[inline]
    #[must_use]
    pub fn estimate<T: Hash + ?Sized>(&self, key: &T) -> u64 {
        self.estimate_hash(hash_of(key, self.seed))
    }

    /// [`estimate`](Self::estimate) by the 64-bit hash of a key.
    #[must_use]
    pub fn estimate_hash(&self, hash: u64) -> u64 {
        let places = any_places(hash, self.depth, self.width);
        let cells = places.filter_map(|place| self.cells.get(place));
        let least = cells.map(|cell| cell.load(Ordering::Relaxed)).min();
        u64::from(least.unwrap_or(0))
    }

    /// The sketch of everything that was added.
    #[must_use]
    pub fn into_count_min(self) -> CountMin {
        let cells = self.cells.into_iter().map(AtomicU32::into_inner).collect();
        CountMin::plain(self.seed, self.depth, self.width, cells)
    }

    /// Copy of the sketch at some moment; while others add, a key may be counted in some of its
    /// rows and not yet in others.
    #[must_use]
    pub fn snapshot(&self) -> CountMin {
        let cells = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        CountMin::plain(self.seed, self.depth, self.width, cells.collect())
    }

    /// Number of rows.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Cells in a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

/// Adds to a cell, which stops at its greatest value. Counts order nothing else: relaxed.
#[inline]
fn add_saturating(cell: &AtomicU32, count: u32) {
    let mut old = cell.load(Ordering::Relaxed);
    loop {
        let new = old.saturating_add(count);
        match cell.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

impl TryFrom<CountMin> for AtomicCountMin {
    type Error = SketchError;

    /// Goes on from a plain sketch.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] for a conservative sketch, whose rows cannot be updated one by
    /// one.
    fn try_from(sketch: CountMin) -> Result<Self, SketchError> {
        if sketch.update != Update::Plain {
            let value = "conservative";
            return Err(SketchError::parameter(NAME, "update", value, "plain"));
        }
        Ok(Self {
            seed: sketch.seed,
            depth: sketch.depth,
            width: sketch.width,
            cells: sketch.cells.into_iter().map(AtomicU32::new).collect(),
        })
    }
}
