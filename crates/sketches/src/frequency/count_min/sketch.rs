//! The Count-Min sketch, plain and conservative.

use alloc::vec::Vec;
use core::{f64::consts::E, hash::Hash};

use super::{
    builder::{CountMinBuilder, Update},
    rows::{self, Shape},
};
use crate::{
    error::{SketchError, check_seeds},
    hash::{each_batch_of, hash_of},
};

const NAME: &str = "count-min";

/// How often each key occurred, in fixed memory.
///
/// An estimate is never below the true count (until a cell reaches `u32::MAX`, where it stops), and
/// with probability `1 - e^-depth` at most `e / width` times the [`total`](Self::total) above it.
///
/// Cost: add and estimate O(depth), one memory access per row; 4 bytes per cell.
///
/// Source: Cormode, Muthukrishnan, "An improved data stream summary: the count-min sketch", 2005;
/// conservative update: Estan, Varghese, "New directions in traffic measurement", 2002.
///
/// ```
/// use sketches::CountMin;
/// let mut words = CountMin::with_size(5, 1000)?;
/// for word in "to be or not to be".split(' ') {
///     words.add(word, 1);
/// }
/// assert_eq!(words.estimate("be"), 2);
/// assert_eq!(words.estimate("question"), 0);
/// assert_eq!(words.total(), 6);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountMin {
    pub(super) seed: u64,
    pub(super) depth: usize,
    pub(super) width: usize,
    pub(super) update: Update,
    pub(super) total: u64,
    /// Row by row.
    pub(super) cells: Vec<u32>,
}

impl CountMin {
    /// An empty plain sketch of `depth` rows of `width` cells.
    ///
    /// # Errors
    /// As for [`CountMinBuilder::build`].
    pub fn with_size(depth: usize, width: usize) -> Result<Self, SketchError> {
        CountMinBuilder::with_size(depth, width).build()
    }

    /// An empty plain sketch whose estimates are at most `epsilon` times the total too high, with a
    /// probability of at least `1 - delta`.
    ///
    /// # Errors
    /// As for [`CountMinBuilder::build`].
    pub fn with_error(epsilon: f64, delta: f64) -> Result<Self, SketchError> {
        CountMinBuilder::with_error(epsilon, delta).build()
    }

    pub(super) const fn shape(&self) -> Shape {
        Shape {
            update: self.update,
            depth: self.depth,
            width: self.width,
        }
    }

    /// A plain sketch of given cells, row by row.
    #[cfg(target_has_atomic = "32")]
    pub(super) fn plain(seed: u64, depth: usize, width: usize, cells: Vec<u32>) -> Self {
        // Every row holds the whole stream, unless cells have stopped.
        let rows = cells.chunks_exact(width);
        let totals = rows.map(|row| row.iter().map(|cell| u64::from(*cell)).sum());
        Self {
            seed,
            depth,
            width,
            update: Update::Plain,
            total: totals.max().unwrap_or(0),
            cells,
        }
    }

    /// Counts a key once.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) {
        self.add(key, 1);
    }

    /// Counts a key `count` times.
    #[inline]
    pub fn add<T: Hash + ?Sized>(&mut self, key: &T, count: u64) {
        self.add_hash(hash_of(key, self.seed), count);
    }

    /// Counts a key by its 64-bit hash, which must be well mixed and always made in the same way,
    /// for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline]
    pub fn add_hash(&mut self, hash: u64, count: u64) {
        self.total = self.total.saturating_add(count);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let shape = self.shape();
        rows::add(shape, &mut self.cells, self.total, hash, count);
    }

    /// Counts every key of a slice once, the fastest way in: integers are hashed many at a time.
    pub fn insert_each<T: Hash>(&mut self, keys: &[T]) {
        let seed = self.seed;
        let each = |hashes: &[u64]| self.insert_hashes(hashes);
        if keys.len() <= rows::FEW {
            each_batch_of::<{ rows::FEW }, T>(keys, seed, each);
        } else {
            each_batch_of::<{ rows::MANY }, T>(keys, seed, each);
        }
    }

    /// Counts many keys once each, by their hashes.
    pub fn insert_hashes(&mut self, hashes: &[u64]) {
        let shape = self.shape();
        self.total = self.total.saturating_add(hashes.len() as u64);
        rows::add_ones(shape, &mut self.cells, self.total, hashes);
    }

    /// Estimated count of a key; never too low.
    #[inline]
    #[must_use]
    pub fn estimate<T: Hash + ?Sized>(&self, key: &T) -> u64 {
        self.estimate_hash(hash_of(key, self.seed))
    }

    /// [`estimate`](Self::estimate) by the 64-bit hash of a key.
    #[inline]
    #[must_use]
    pub fn estimate_hash(&self, hash: u64) -> u64 {
        u64::from(rows::least_cell(self.depth, self.width, &self.cells, hash))
    }

    /// Adds the counts of another sketch.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where depth, width or update
    /// rule differ; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        check_shapes(NAME, self.shape(), other.shape())?;
        for (cell, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *cell = cell.saturating_add(*theirs);
        }
        self.total = self.total.saturating_add(other.total);
        Ok(())
    }

    /// Forgets all counts and keeps the memory.
    pub fn clear(&mut self) {
        self.cells.fill(0);
        self.total = 0;
    }

    /// Sum of all counts added.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// What an estimate exceeds with a probability of at most
    /// [`failure_probability`](Self::failure_probability): `e / width * total`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a bound, not a count")]
    pub fn error_bound(&self) -> f64 {
        E / self.width as f64 * self.total as f64
    }

    /// Probability that an estimate is off by more than the bound: `e^-depth`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most 32")]
    pub fn failure_probability(&self) -> f64 {
        libm::exp(-(self.depth as f64))
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

    /// How counts are added.
    #[must_use]
    pub const fn update(&self) -> Update {
        self.update
    }

    /// Hash seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 4 * self.cells.capacity()
    }
}

/// Refuses to merge sketches of different shapes.
pub(super) fn check_shapes(
    name: &'static str,
    ours: Shape,
    theirs: Shape,
) -> Result<(), SketchError> {
    for (field, left, right) in [
        ("depth", ours.depth, theirs.depth),
        ("width", ours.width, theirs.width),
    ] {
        if left != right {
            return Err(SketchError::shape(name, field, left, right));
        }
    }
    if ours.update != theirs.update {
        let text = |update| match update {
            Update::Plain => "plain",
            Update::Conservative => "conservative",
        };
        let (left, right) = (text(ours.update), text(theirs.update));
        return Err(SketchError::shape(name, "update", left, right));
    }
    Ok(())
}
