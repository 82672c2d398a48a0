//! The merging t-digest.

use alloc::vec::Vec;

use super::{
    clusters::{Cluster, Limit, merge, merge_numbers},
    sort::sort,
};
use crate::{error::SketchError, quantiles::Quantiles};

pub(super) const NAME: &str = "t-digest";

/// Quantiles whose error shrinks towards both ends of the data, in a few kilobytes.
///
/// The answer for `q` is a number whose rank is near `q * count`. No bound is proven. On all streams
/// of this crate's tests (sorted, reversed, in blocks, with ties, long-tailed) ranks were off by at
/// most `7 sqrt(q (1 - q)) / compression + 10 / compression^2` and one position, and twice that
/// where the stream has few different numbers: with a compression of 200, 1.8 % at the median and
/// 0.4 % at the 99th percentile. The ends are exact. For an error bound on the value see [`DdSketch`](crate::DdSketch), for a proven one
/// on the rank [`Kll`](crate::quantiles::Kll).
///
/// Numbers that are not finite are left out; [`ignored`](Self::ignored) tells how many they were.
/// Merging is commutative, and keeps the error; it is not the digest of the joined stream to the
/// last bit.
///
/// Cost: insert O(1) amortised: a buffer of 8 `compression` numbers is sorted and merged when full.
/// Memory: that buffer of 8 bytes each, and at most `compression + 2` clusters of 16 bytes. Quantile
/// O(compression) after [`flush`](Self::flush); before, a flushed copy is made.
///
/// Source: Dunning, Ertl, "Computing extremely accurate quantiles using t-digests", 2019: the
/// merging digest with the scale function k1.
///
/// ```
/// use sketches::quantiles::TDigest;
/// let mut latencies_ms = TDigest::new(200)?;
/// for i in 1..=10_000 {
///     latencies_ms.insert(f64::from(i) / 10.0);
/// }
/// let p99 = latencies_ms.quantile(0.99).unwrap();
/// assert!((p99 - 990.0).abs() <= 3.5);
/// assert_eq!(latencies_ms.quantile(1.0), Some(1000.0));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TDigest {
    pub(super) compression: u32,
    limit: Limit,
    /// Sorted by mean.
    pub(super) clusters: Vec<Cluster>,
    /// Weight of the clusters.
    pub(super) clustered: u64,
    buffer: Vec<f64>,
    pub(super) ignored: u64,
    /// Infinity while empty.
    pub(super) min: f64,
    /// Minus infinity while empty.
    pub(super) max: f64,
}

impl TDigest {
    /// Least compression; below it the median is off by more than a tenth.
    pub const COMPRESSION_MIN: u32 = 20;
    /// Greatest compression; beyond it the data of a short stream are smaller than the digest.
    pub const COMPRESSION_MAX: u32 = 10_000;
    /// Numbers in the buffer for each unit of compression.
    const BUFFERED: usize = 8;

    /// An empty digest of at most `compression + 2` clusters.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the compression is outside 20 to 10,000.
    pub fn new(compression: u32) -> Result<Self, SketchError> {
        if !(Self::COMPRESSION_MIN..=Self::COMPRESSION_MAX).contains(&compression) {
            let allowed = "20 to 10000";
            return Err(SketchError::parameter(
                NAME,
                "compression",
                compression,
                allowed,
            ));
        }
        Ok(Self {
            compression,
            limit: Limit::new(compression),
            clusters: Vec::new(),
            clustered: 0,
            buffer: Vec::new(),
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
        if self.buffer.len() == self.buffer.capacity() {
            self.make_room();
        }
        self.buffer.push(value);
    }

    /// Estimated number at position `floor(q * (count - 1))` of the sorted stream; `None` where the
    /// digest is empty or `q` is outside 0 to 1. The ends (`q` of 0 and 1) are exact.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.is_empty() || !(0.0..=1.0).contains(&q) {
            return None;
        }
        if self.buffer.is_empty() {
            return self.value_at(q);
        }
        let mut copy = self.clone();
        copy.flush();
        copy.value_at(q)
    }

    /// Merges the buffered numbers into the clusters, so that quantiles need no copy.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        sort(&mut self.buffer);
        self.clustered = self.count();
        self.clusters = merge_numbers(self.limit, &self.clusters, &self.buffer, self.clustered);
        self.buffer.clear();
    }

    /// Adds the numbers of another digest.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] where the compression differs; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        let (left, right) = (self.compression, other.compression);
        if left != right {
            return Err(SketchError::shape(NAME, "compression", left, right));
        }
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.flush();
        let mut theirs = other.clone();
        theirs.flush();
        self.clustered = self.clustered.saturating_add(theirs.clustered);
        self.clusters = merge(self.limit, &self.clusters, &theirs.clusters, self.clustered);
        Ok(())
    }

    /// Forgets all numbers.
    pub fn clear(&mut self) {
        self.clusters.clear();
        self.buffer.clear();
        self.clustered = 0;
        self.ignored = 0;
        self.min = f64::INFINITY;
        self.max = f64::NEG_INFINITY;
    }

    /// Numbers counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.clustered.saturating_add(self.buffer.len() as u64)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// NaN and infinities that were left out.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Least number, exact; `None` while empty.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// Greatest number, exact; `None` while empty.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The compression this digest was built with.
    #[must_use]
    pub const fn compression(&self) -> u32 {
        self.compression
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let clusters = self.clusters.capacity() * size_of::<Cluster>();
        size_of::<Self>() + clusters + 8 * self.buffer.capacity()
    }

    /// Grows the buffer up to its bound, then flushes.
    #[cold]
    fn make_room(&mut self) {
        let bound = Self::BUFFERED * self.compression as usize;
        let len = self.buffer.len();
        if len < bound {
            self.buffer.reserve_exact((len.max(32)).min(bound - len));
        } else {
            self.flush();
            self.buffer.reserve_exact(bound);
        }
    }

    /// The answer of a digest without buffered numbers that is not empty.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "q is 0 to 1"
    )]
    fn value_at(&self, q: f64) -> Option<f64> {
        let last = self.clustered - 1;
        let position = ((q * last as f64) as u64).min(last);
        if position == 0 {
            return Some(self.min);
        }
        if position == last {
            return Some(self.max);
        }
        let position = position as f64;
        // Mean positions, with the ends of the data as points of their own.
        let (mut at, mut value) = (0.0, self.min);
        let mut before = 0_u64;
        for cluster in &self.clusters {
            let middle = before as f64 + (cluster.weight as f64 - 1.0) / 2.0;
            if position <= middle {
                return Some(between(at, value, middle, cluster.mean, position));
            }
            (at, value) = (middle, cluster.mean);
            before = before.saturating_add(cluster.weight);
        }
        Some(between(at, value, last as f64, self.max, position))
    }
}

/// Number at a position between two points.
fn between(from: f64, low: f64, to: f64, high: f64, position: f64) -> f64 {
    if to <= from || position >= to {
        return high;
    }
    let share = (position - from) / (to - from);
    // Written so that the difference of two great numbers of opposite signs cannot overflow.
    (low * (1.0 - share) + high * share).min(high).max(low)
}

impl Quantiles for TDigest {
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

impl Extend<f64> for TDigest {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for value in values {
            self.insert(value);
        }
    }
}
