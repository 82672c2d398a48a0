//! The KLL sketch.

use alloc::vec::Vec;

use crate::{error::SketchError, hash::split_mix, quantiles::Quantiles};

pub(super) const NAME: &str = "kll";
/// Least capacity of a level.
const LEVEL_MIN: usize = 8;
/// Most levels: the numbers of the last stand for 2^60 each.
pub(super) const LEVELS_MAX: usize = 61;

/// Quantiles whose rank is off by at most a fixed share of the stream, with a proven probability.
///
/// With a probability of 99 % for any one quantile, the rank of an answer is within
/// `2.3 / k^0.9` of `q`: 1.9 % of the count for the default of `k = 200`, for every stream and every
/// order. The ends, and streams of fewer than `k` numbers, are exact. An answer is always a number
/// of the stream.
///
/// Numbers that are not finite are left out; [`ignored`](Self::ignored) tells how many they were.
/// Choices are drawn from a fixed sequence, so equal streams give equal sketches. Merging is
/// commutative and keeps the bound; it is not the sketch of the joined stream.
///
/// Cost: insert O(1) amortised, about the sorting of each number in rows of eight and up. Memory: at
/// most about `3 k + 8 log2(count / k)` numbers of 8 bytes, in rows with room for two to three times
/// as many. Quantile O(k log k).
///
/// Source: Karnin, Lang, Liberty, "Optimal quantile approximation in streams", FOCS 2016, with the
/// capacities `k (2/3)^depth`; the constants of the bound are those measured for Apache DataSketches.
///
/// ```
/// use sketches::quantiles::Kll;
/// let mut latencies_ms = Kll::new(200)?;
/// for i in 1..=10_000 {
///     latencies_ms.insert(f64::from(i) / 10.0);
/// }
/// let p50 = latencies_ms.quantile(0.5).unwrap();
/// assert!((p50 - 500.0).abs() <= 19.0);
/// assert_eq!(latencies_ms.quantile(1.0), Some(1000.0));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Kll {
    pub(super) k: u32,
    /// A number of level `h` stands for `2^h` numbers of the stream.
    pub(super) levels: Vec<Vec<f64>>,
    /// How many choices were drawn.
    pub(super) drawn: u64,
    pub(super) count: u64,
    pub(super) ignored: u64,
    /// Infinity while empty.
    pub(super) min: f64,
    /// Minus infinity while empty.
    pub(super) max: f64,
}

impl Kll {
    /// Least `k`; below it the bound says nothing.
    pub const K_MIN: u32 = 8;
    /// Greatest `k`: a rank error of 0.01 % in a megabyte.
    pub const K_MAX: u32 = 65_535;

    /// An empty sketch with a capacity of `k` numbers in its top level.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `k` is outside 8 to 65,535.
    pub fn new(k: u32) -> Result<Self, SketchError> {
        if !(Self::K_MIN..=Self::K_MAX).contains(&k) {
            return Err(SketchError::parameter(NAME, "k", k, "8 to 65535"));
        }
        Ok(Self {
            k,
            levels: Vec::from([Vec::new()]),
            drawn: 0,
            count: 0,
            ignored: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        })
    }

    /// Counts one number.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        if !value.is_finite() {
            self.ignored = self.ignored.saturating_add(1);
            return;
        }
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
        self.count = self.count.saturating_add(1);
        let levels = self.levels.len();
        let full = match self.levels.first_mut() {
            Some(lowest) => {
                lowest.push(value);
                lowest.len() >= capacity(self.k, levels, 0)
            }
            None => false,
        };
        if full {
            self.compress();
        }
    }

    /// Estimated number at position `floor(q * (count - 1))` of the sorted stream; `None` where the
    /// sketch is empty or `q` is outside 0 to 1. The ends (`q` of 0 and 1) are exact.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "q is 0 to 1"
    )]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let last = self.count - 1;
        let position = ((q * last as f64) as u64).min(last);
        if position == 0 {
            return Some(self.min);
        }
        if position == last {
            return Some(self.max);
        }
        let mut weighted: Vec<(f64, u64)> = Vec::new();
        for (level, numbers) in self.levels.iter().enumerate() {
            weighted.extend(numbers.iter().map(|number| (*number, 1_u64 << level)));
        }
        weighted.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut before = 0_u64;
        for (number, weight) in weighted {
            before = before.saturating_add(weight);
            if before > position {
                return Some(number);
            }
        }
        Some(self.max)
    }

    /// Adds the numbers of another sketch.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] where `k` differs; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        let (left, right) = (self.k, other.k);
        if left != right {
            return Err(SketchError::shape(NAME, "k", left, right));
        }
        while self.levels.len() < other.levels.len() {
            self.levels.push(Vec::new());
        }
        for (numbers, theirs) in self.levels.iter_mut().zip(&other.levels) {
            numbers.extend_from_slice(theirs);
        }
        self.drawn = self.drawn.wrapping_add(other.drawn);
        self.count = self.count.saturating_add(other.count);
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.compress();
        self.levels.iter_mut().for_each(Vec::shrink_to_fit);
        Ok(())
    }

    /// Forgets all numbers.
    pub fn clear(&mut self) {
        self.levels = Vec::from([Vec::new()]);
        self.drawn = 0;
        self.count = 0;
        self.ignored = 0;
        self.min = f64::INFINITY;
        self.max = f64::NEG_INFINITY;
    }

    /// Numbers counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// NaN and infinities that were left out.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Least number, exact; `None` while empty.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// Greatest number, exact; `None` while empty.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The `k` this sketch was built with.
    #[must_use]
    pub const fn k(&self) -> u32 {
        self.k
    }

    /// Share of the count by which the rank of one answer is off at most, with a probability of
    /// 99 %: `2.3 / k^0.9`.
    #[must_use]
    pub fn rank_error(&self) -> f64 {
        2.3 / libm::pow(f64::from(self.k), 0.9)
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let numbers: usize = self.levels.iter().map(Vec::capacity).sum();
        let levels = self.levels.capacity() * size_of::<Vec<f64>>();
        size_of::<Self>() + levels + 8 * numbers
    }

    /// Halves every level that has reached its capacity, from the lowest up.
    #[cold]
    fn compress(&mut self) {
        let mut level = 0;
        while level < self.levels.len() {
            let levels = self.levels.len();
            let len = self.levels.get(level).map_or(0, Vec::len);
            if len >= capacity(self.k, levels, level) && level + 1 < LEVELS_MAX {
                self.halve(level);
            }
            level += 1;
        }
    }

    /// Moves every other number of a level, from the first or the second on, one level up; of an
    /// odd number, the greatest stays.
    fn halve(&mut self, level: usize) {
        if level + 1 == self.levels.len() {
            self.levels.push(Vec::new());
        }
        let skipped = usize::from(split_mix(0x6b6c_6c31, self.drawn) & 1 == 1);
        self.drawn = self.drawn.wrapping_add(1);
        let (lower, upper) = self.levels.split_at_mut(level + 1);
        let (Some(lower), Some(upper)) = (lower.last_mut(), upper.first_mut()) else {
            return;
        };
        lower.sort_unstable_by(f64::total_cmp);
        let paired = lower.len() & !1;
        let pairs = lower.drain(..paired);
        upper.extend(pairs.skip(skipped).step_by(2));
        // A level that was the top once has room for more than it will hold again.
        let needed = capacity(self.k, self.levels.len(), level);
        if let Some(lower) = self.levels.get_mut(level)
            && lower.capacity() > 3 * needed
        {
            lower.shrink_to(2 * needed);
        }
    }
}

/// Numbers at which a level is halved: `k` at the top, two thirds of it for each level down.
fn capacity(k: u32, levels: usize, level: usize) -> usize {
    let mut capacity = u64::from(k);
    let depth = levels.saturating_sub(level + 1);
    for _ in 0..depth {
        capacity = capacity * 2 / 3;
        if capacity <= LEVEL_MIN as u64 {
            return LEVEL_MIN;
        }
    }
    usize::try_from(capacity)
        .unwrap_or(usize::MAX)
        .max(LEVEL_MIN)
}

impl Quantiles for Kll {
    fn insert(&mut self, value: f64) {
        Self::insert(self, value);
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        Self::quantile(self, q)
    }

    fn count(&self) -> u64 {
        Self::count(self)
    }

    fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        Self::merge(self, other)
    }
}

impl Extend<f64> for Kll {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for value in values {
            self.insert(value);
        }
    }
}
