//! The run itself.

use std::num::NonZeroUsize;
use std::time::Instant;

use lru::LruCache;

use super::{CascadeConfig, CascadeModel, CascadeReport, FeatureBatch, FeatureRow, FeatureSchema};
use crate::error::{BoxError, InferError, Result};

/// Which scorer decided about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The cheap one, which was certain.
    Base,
    /// The expensive one.
    Meta,
}

/// The decision about one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f32,
    /// Whose score it is.
    pub stage: Stage,
}

/// Decisions about all items, in their order, and what they cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CascadeOutcome {
    /// One per item.
    pub scores: Vec<Scored>,
    /// What was done.
    pub report: CascadeReport,
}

/// Runs a [`CascadeModel`] over items.
///
/// ```
/// use ryot_inference::BoxError;
/// use ryot_inference::cascade::*;
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// /// Is a number above 0.5? The base scorer sees one digit, the meta scorer all.
/// struct Digits;
/// impl CascadeModel for Digits {
///     type Item = f32;
///     type Group = ();
///     fn base(&mut self, items: &[f32], scores: &mut Vec<f32>) -> Result<(), BoxError> {
///         scores.extend(items.iter().map(|x| (x * 10.0).round() / 10.0));
///         Ok(())
///     }
///     fn group_of(&self, _: &f32) -> u64 { 0 }
///     fn load_group(&mut self, _: u64) -> Result<(), BoxError> { Ok(()) }
///     fn features(&mut self, item: &f32, _: f32, _: &(), row: &mut FeatureRow)
///         -> Result<(), BoxError> {
///         Ok(row.set(0, *item)?)
///     }
///     fn meta(&mut self, batch: &FeatureBatch<'_>, scores: &mut Vec<f32>)
///         -> Result<(), BoxError> {
///         scores.extend(batch.values().iter().map(|x| if *x > 0.5 { 1.0 } else { 0.0 }));
///         Ok(())
///     }
/// }
/// let config = CascadeConfig::new().band(0.45, 0.55);
/// let schema = FeatureSchema::new().probability("value");
/// let outcome = Cascade::new(Digits, schema, config)?.run(&[0.1, 0.46, 0.52, 0.9])?;
/// let scores: Vec<f32> = outcome.scores.iter().map(|s| s.score).collect();
/// assert_eq!(scores, [0.1, 0.0, 1.0, 0.9]);
/// assert_eq!(outcome.report.uncertain, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cascade<M: CascadeModel> {
    model: M,
    schema: FeatureSchema,
    config: CascadeConfig,
}

impl<M: CascadeModel> Cascade<M> {
    /// Checks settings and schema.
    ///
    /// # Errors
    /// [`InferError::Parameter`] names the setting that is out of range.
    pub fn new(model: M, schema: FeatureSchema, config: CascadeConfig) -> Result<Self> {
        config.validate()?;
        schema.validate()?;
        Ok(Self {
            model,
            schema,
            config,
        })
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Gives the model back.
    pub fn into_model(self) -> M {
        self.model
    }

    /// Scores every item.
    ///
    /// Cost: the base scorer over all items; groups, features and the meta scorer over the
    /// uncertain ones. Memory beside the result: one chunk of scores, one batch of features, the
    /// cached groups, whatever the number of items.
    ///
    /// # Errors
    /// [`InferError::Cascade`] with what a scorer failed with, [`InferError::ScoreCount`],
    /// [`InferError::ScoreNotANumber`], [`InferError::MissingFeature`],
    /// [`InferError::FeatureValue`].
    pub fn run(&mut self, items: &[M::Item]) -> Result<CascadeOutcome> {
        let mut scores = Vec::with_capacity(items.len());
        let mut run = Run::new(&self.schema, &self.config);
        for chunk in items.chunks(self.config.chunk_items) {
            run.base(&mut self.model, chunk, &mut scores)?;
            let first = scores.len() - chunk.len();
            for (offset, item) in chunk.iter().enumerate() {
                let index = first + offset;
                let score = scores.get(index).map_or(0.0, |s| s.score);
                if !(self.config.low..self.config.high).contains(&score) {
                    continue;
                }
                run.escalate(&mut self.model, item, index, score)?;
                if run.waiting.len() == self.config.batch_items {
                    run.meta(&mut self.model, &mut scores)?;
                }
            }
        }
        run.meta(&mut self.model, &mut scores)?;
        run.report.items = items.len();
        Ok(CascadeOutcome {
            scores,
            report: run.report,
        })
    }
}

/// The buffers of one run.
struct Run<'a, G> {
    schema: &'a FeatureSchema,
    report: CascadeReport,
    groups: LruCache<u64, (G, usize)>,
    group_bytes: usize,
    row: FeatureRow,
    /// Items of the batch, and their features.
    waiting: Vec<usize>,
    values: Vec<f32>,
    fresh: Vec<f32>,
}

impl<'a, G> Run<'a, G> {
    fn new(schema: &'a FeatureSchema, config: &CascadeConfig) -> Self {
        Self {
            schema,
            report: CascadeReport::default(),
            groups: LruCache::new(
                NonZeroUsize::new(config.cache_groups).unwrap_or(NonZeroUsize::MIN),
            ),
            group_bytes: 0,
            row: FeatureRow::new(schema.len()),
            waiting: Vec::new(),
            values: Vec::new(),
            fresh: Vec::new(),
        }
    }

    fn base<M: CascadeModel<Group = G>>(
        &mut self,
        model: &mut M,
        chunk: &[M::Item],
        scores: &mut Vec<Scored>,
    ) -> Result<()> {
        let started = Instant::now();
        self.fresh.clear();
        model.base(chunk, &mut self.fresh).map_err(failed("base"))?;
        check_scores("base", &self.fresh, chunk.len(), |at| scores.len() + at)?;
        let stage = Stage::Base;
        scores.extend(self.fresh.iter().map(|&score| Scored { score, stage }));
        let cost = &mut self.report.base;
        cost.items += chunk.len();
        cost.time += started.elapsed();
        cost.bytes_peak = cost
            .bytes_peak
            .max(self.fresh.capacity() * size_of::<f32>());
        Ok(())
    }

    /// Computes the features of an uncertain item; it waits for its batch.
    fn escalate<M: CascadeModel<Group = G>>(
        &mut self,
        model: &mut M,
        item: &M::Item,
        index: usize,
        score: f32,
    ) -> Result<()> {
        let started = Instant::now();
        let key = model.group_of(item);
        if self.groups.contains(&key) {
            self.report.group_hits += 1;
        } else {
            let group = model.load_group(key).map_err(failed("group"))?;
            let bytes = model.group_bytes(&group);
            self.group_bytes += bytes;
            // the group that goes leaves after the new one came
            let peak = &mut self.report.features.bytes_peak;
            *peak = (*peak).max(self.group_bytes);
            if let Some((_, (_, freed))) = self.groups.push(key, (group, bytes)) {
                self.group_bytes -= freed;
            }
            self.report.groups_loaded += 1;
        }
        self.row.clear();
        if let Some((group, _)) = self.groups.get(&key) {
            model
                .features(item, score, group, &mut self.row)
                .map_err(failed("features"))?;
        }
        self.schema.harmonise(&self.row, index, &mut self.values)?;
        self.waiting.push(index);
        self.report.uncertain += 1;
        let cost = &mut self.report.features;
        cost.items += 1;
        cost.time += started.elapsed();
        Ok(())
    }

    /// Scores the batch, if there is one.
    fn meta<M: CascadeModel<Group = G>>(
        &mut self,
        model: &mut M,
        scores: &mut [Scored],
    ) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let rows = self.waiting.len();
        let batch = FeatureBatch {
            values: &self.values,
            columns: self.schema.len(),
            rows,
        };
        self.fresh.clear();
        model
            .meta(&batch, &mut self.fresh)
            .map_err(failed("meta"))?;
        let item = |at: usize| self.waiting.get(at).copied().unwrap_or_default();
        check_scores("meta", &self.fresh, rows, item)?;
        for (index, &score) in self.waiting.iter().zip(&self.fresh) {
            if let Some(slot) = scores.get_mut(*index) {
                let stage = Stage::Meta;
                *slot = Scored { score, stage };
            }
        }
        let numbers = self.values.capacity() + self.fresh.capacity();
        let bytes = numbers * size_of::<f32>() + self.waiting.capacity() * size_of::<usize>();
        let cost = &mut self.report.meta;
        cost.items += rows;
        cost.time += started.elapsed();
        cost.bytes_peak = cost.bytes_peak.max(bytes);
        self.report.meta_batches += 1;
        self.waiting.clear();
        self.values.clear();
        Ok(())
    }
}

fn failed(stage: &'static str) -> impl FnOnce(BoxError) -> InferError {
    move |source| InferError::Cascade { stage, source }
}

/// One number per item, none of them NaN, which no band would hold.
fn check_scores(
    stage: &'static str,
    scores: &[f32],
    expected: usize,
    item: impl Fn(usize) -> usize,
) -> Result<()> {
    if scores.len() != expected {
        return Err(InferError::ScoreCount {
            stage,
            found: scores.len(),
            expected,
        });
    }
    match scores.iter().position(|s| s.is_nan()) {
        Some(at) => Err(InferError::ScoreNotANumber {
            stage,
            item: item(at),
        }),
        None => Ok(()),
    }
}
