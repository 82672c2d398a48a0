//! What a run did and cost.

use std::time::Duration;

/// Time and memory of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StageCost {
    /// Items that the stage worked on.
    pub items: usize,
    /// Time inside the stage.
    pub time: Duration,
    /// Most bytes that the cascade held for the stage at once; what the scorers hold is theirs.
    pub bytes_peak: usize,
}

/// What a run of a cascade did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CascadeReport {
    /// Items scored.
    pub items: usize,
    /// Items in the band, which the meta scorer decided.
    pub uncertain: usize,
    /// The base scorer, over all items.
    pub base: StageCost,
    /// Groups and features, over uncertain items. Its bytes are those of the cached groups.
    pub features: StageCost,
    /// The meta scorer, over uncertain items. Its bytes are those of a batch.
    pub meta: StageCost,
    /// Calls of the meta scorer.
    pub meta_batches: usize,
    /// Groups that were made.
    pub groups_loaded: usize,
    /// Times that a group was found in the cache.
    pub group_hits: usize,
}

impl CascadeReport {
    /// The share of items that went to the meta scorer, 0 to 1.
    pub fn escalated_share(&self) -> f64 {
        match self.items {
            0 => 0.0,
            items => self.uncertain as f64 / items as f64,
        }
    }

    /// Time in all stages.
    pub fn time(&self) -> Duration {
        self.base.time + self.features.time + self.meta.time
    }

    /// Most bytes of all stages together.
    pub fn bytes_peak(&self) -> usize {
        self.base.bytes_peak + self.features.bytes_peak + self.meta.bytes_peak
    }
}
