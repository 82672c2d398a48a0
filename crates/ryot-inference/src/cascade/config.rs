//! Settings of a cascade.

use crate::error::{InferError, Result};

/// Settings of a [`Cascade`](super::Cascade), checked once by
/// [`Cascade::new`](super::Cascade::new).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CascadeConfig {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) chunk_items: usize,
    pub(super) batch_items: usize,
    pub(super) cache_groups: usize,
}

const CHUNK_MAX: usize = 1 << 24;
const BATCH_MAX: usize = 1 << 20;
const CACHE_MAX: usize = 1 << 24;

impl Default for CascadeConfig {
    fn default() -> Self {
        Self {
            low: 0.1,
            high: 0.9,
            chunk_items: 8192,
            batch_items: 256,
            cache_groups: 64,
        }
    }
}

impl CascadeConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Base scores from `low` up to but not including `high` are uncertain. Default 0.1 to 0.9, in
    /// the units of the base scorer. `low` must not be above `high`; infinities are legal, equal
    /// ends make nothing uncertain.
    ///
    /// A wider band costs more and lets the expensive scorer decide more.
    pub fn band(mut self, low: f32, high: f32) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    /// Items that the base scorer is given at once. Default 8,192, legal 1 to 16,777,216.
    ///
    /// Working memory grows with it, not with the number of items.
    pub fn chunk_items(mut self, items: usize) -> Self {
        self.chunk_items = items;
        self
    }

    /// Uncertain items that the meta scorer is given at once. Default 256, legal 1 to 1,048,576.
    ///
    /// Larger batches use the processor better; each holds `items * features` numbers.
    pub fn batch_items(mut self, items: usize) -> Self {
        self.batch_items = items;
        self
    }

    /// Groups kept for items to come, the least recently used one goes first. Default 64, legal 1
    /// to 16,777,216.
    pub fn cache_groups(mut self, groups: usize) -> Self {
        self.cache_groups = groups;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.low.is_nan() || self.high.is_nan() || self.low > self.high {
            let value = format!("{} to {}", self.low, self.high);
            return Err(InferError::parameter("band", value, "low at most high"));
        }
        for (name, value, most) in [
            ("chunk_items", self.chunk_items, CHUNK_MAX),
            ("batch_items", self.batch_items, BATCH_MAX),
            ("cache_groups", self.cache_groups, CACHE_MAX),
        ] {
            if !(1..=most).contains(&value) {
                return Err(InferError::parameter(name, value, format!("1 to {most}")));
            }
        }
        Ok(())
    }
}
