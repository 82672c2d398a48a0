//! The Count-Sketch.

use alloc::vec::Vec;
use core::hash::Hash;

use crate::{
    error::{SketchError, check_seeds},
    frequency::count_min::{DEPTH_MAX, MULTIPLIERS, cell_of},
    hash::{DEFAULT_SEED, hash_of, split_mix},
    memory::zeros,
};

pub(super) const NAME: &str = "count-sketch";

/// How often each key occurred, in fixed memory, as often too low as too high; counts may be taken
/// away again.
///
/// An estimate is off by more than `sqrt(8 / width)` times the Euclidean norm of all counts with a
/// probability of at most `2^(-depth / 2)`. That beats [`CountMin`](crate::CountMin) where a few
/// keys make up most of the stream, or where counts are negative.
///
/// Cost: add and estimate O(depth), one memory access per row; 8 bytes per cell. The sketch is
/// linear: merging gives exactly the sketch of both streams, until a cell stops at the ends of
/// `i64`.
///
/// Source: Charikar, Chen, Farach-Colton, "Finding frequent items in data streams", 2002; the norm
/// by Alon, Matias, Szegedy, 1996.
///
/// ```
/// use sketches::frequency::CountSketch;
/// let mut stock = CountSketch::with_size(5, 1000)?;
/// stock.add("apple", 7);
/// stock.add("pear", 2);
/// stock.add("apple", -3);
/// assert_eq!(stock.estimate("apple"), 4);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountSketch {
    pub(super) seed: u64,
    pub(super) depth: usize,
    pub(super) width: usize,
    /// Row by row.
    pub(super) cells: Vec<i64>,
}

impl CountSketch {
    /// Greatest number of rows.
    pub const DEPTH_MAX: usize = DEPTH_MAX;
    /// Greatest number of cells in a row: 2^27, 1 GiB.
    pub const WIDTH_MAX: usize = 1 << 27;

    /// An empty sketch of `depth` rows of `width` cells. An odd depth has a middle row to answer
    /// with; of an even one the middle two are averaged.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the depth is outside 1 to 32 or the width outside 1 to 2^27;
    /// [`SketchError::Memory`] where the cells cannot be allocated.
    pub fn with_size(depth: usize, width: usize) -> Result<Self, SketchError> {
        Self::with_seed(depth, width, DEFAULT_SEED)
    }

    /// As [`with_size`](Self::with_size), with another hash seed.
    ///
    /// # Errors
    /// As for [`with_size`](Self::with_size).
    pub fn with_seed(depth: usize, width: usize, seed: u64) -> Result<Self, SketchError> {
        if !(1..=Self::DEPTH_MAX).contains(&depth) {
            return Err(SketchError::parameter(NAME, "depth", depth, "1 to 32"));
        }
        if !(1..=Self::WIDTH_MAX).contains(&width) {
            return Err(SketchError::parameter(NAME, "width", width, "1 to 2^27"));
        }
        Ok(Self {
            seed,
            depth,
            width,
            cells: zeros(NAME, depth.saturating_mul(width))?,
        })
    }

    /// Counts a key once.
    #[inline]
    pub fn insert<T: Hash + ?Sized>(&mut self, key: &T) {
        self.add(key, 1);
    }

    /// Counts a key `count` times; takes away where that is negative.
    #[inline]
    pub fn add<T: Hash + ?Sized>(&mut self, key: &T, count: i64) {
        self.add_hash(hash_of(key, self.seed), count);
    }

    /// Counts a key by its 64-bit hash, which must be well mixed and always made in the same way,
    /// for example by [`hash_of`](crate::hash::hash_of) with the seed of this sketch.
    #[inline]
    pub fn add_hash(&mut self, hash: u64, count: i64) {
        for (row, (cell, sign)) in self
            .cells
            .chunks_exact_mut(self.width)
            .zip(places(hash, self.width))
        {
            if let Some(cell) = row.get_mut(cell) {
                *cell = cell.saturating_add(count.saturating_mul(sign));
            }
        }
    }

    /// Estimated count of a key: the median over the rows.
    #[inline]
    #[must_use]
    pub fn estimate<T: Hash + ?Sized>(&self, key: &T) -> i64 {
        self.estimate_hash(hash_of(key, self.seed))
    }

    /// [`estimate`](Self::estimate) by the 64-bit hash of a key.
    #[must_use]
    pub fn estimate_hash(&self, hash: u64) -> i64 {
        let mut found = [0; Self::DEPTH_MAX];
        let rows = self
            .cells
            .chunks_exact(self.width)
            .zip(places(hash, self.width));
        for (place, (row, (cell, sign))) in found.iter_mut().zip(rows) {
            *place = row.get(cell).map_or(0, |cell| cell.saturating_mul(sign));
        }
        median(found.get_mut(..self.depth).unwrap_or_default())
    }

    /// Estimated Euclidean norm of all counts: the root of the sum of their squares. Cost:
    /// O(depth * width).
    #[must_use]
    pub fn norm(&self) -> f64 {
        let square = |cell: &i64| *cell as f64 * *cell as f64;
        let rows = self.cells.chunks_exact(self.width);
        let mut sums: Vec<f64> = rows.map(|row| row.iter().map(square).sum()).collect();
        sums.sort_unstable_by(f64::total_cmp);
        let (low, high) = (sums.get((self.depth - 1) / 2), sums.get(self.depth / 2));
        libm::sqrt(
            low.zip(high)
                .map_or(0.0, |(low, high)| f64::midpoint(*low, *high)),
        )
    }

    /// What an estimate is off by with a probability of at most
    /// [`failure_probability`](Self::failure_probability): `sqrt(8 / width) * norm`.
    #[must_use]
    pub fn error_bound(&self) -> f64 {
        libm::sqrt(8.0 / self.width as f64) * self.norm()
    }

    /// Probability that an estimate is off by more than the bound: `2^(-depth / 2)`.
    #[must_use]
    pub fn failure_probability(&self) -> f64 {
        libm::exp2(-0.5 * self.depth as f64)
    }

    /// Adds the counts of another sketch.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`], or [`SketchError::ShapeMismatch`] where depth or width differ;
    /// nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        self.check_same_kind(other)?;
        for (cell, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *cell = cell.saturating_add(*theirs);
        }
        Ok(())
    }

    /// Takes away the counts of another sketch; what is left estimates how counts have changed.
    ///
    /// # Errors
    /// As for [`merge`](Self::merge).
    pub fn subtract(&mut self, other: &Self) -> Result<(), SketchError> {
        self.check_same_kind(other)?;
        for (cell, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *cell = cell.saturating_sub(*theirs);
        }
        Ok(())
    }

    /// Forgets all counts and keeps the memory.
    pub fn clear(&mut self) {
        self.cells.fill(0);
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

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.cells.capacity()
    }

    fn check_same_kind(&self, other: &Self) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        for (name, left, right) in [
            ("depth", self.depth, other.depth),
            ("width", self.width, other.width),
        ] {
            if left != right {
                return Err(SketchError::shape(NAME, name, left, right));
            }
        }
        Ok(())
    }
}

/// Cell of a hash in each row, and the sign with which its counts go there.
#[inline]
fn places(hash: u64, width: usize) -> impl Iterator<Item = (usize, i64)> {
    let rows = MULTIPLIERS.iter().zip(&SIGN_MULTIPLIERS);
    rows.map(move |(cell, sign)| {
        let top_bit = (hash.wrapping_mul(*sign) >> 63).cast_signed();
        (cell_of(hash, *cell, width), 1 - 2 * top_bit)
    })
}

/// Middle number, or the mean of the middle two, rounded towards zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mean of two is between them"
)]
fn median(numbers: &mut [i64]) -> i64 {
    numbers.sort_unstable();
    let (low, high) = (numbers.len().saturating_sub(1) / 2, numbers.len() / 2);
    let pair = numbers.get(low).zip(numbers.get(high));
    pair.map_or(0, |(low, high)| {
        ((i128::from(*low) + i128::from(*high)) / 2) as i64
    })
}

/// Odd multiplier whose product's top bit is the sign of each row; part of the byte format.
static SIGN_MULTIPLIERS: [u64; DEPTH_MAX] = {
    let mut row = [0; DEPTH_MAX];
    let mut at = 0;
    while at < row.len() {
        row[at] = split_mix(0x7369_676e_7369_676e, at as u64) | 1;
        at += 1;
    }
    row
};
