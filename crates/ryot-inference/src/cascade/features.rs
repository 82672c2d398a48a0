//! What the expensive scorer is given, and what stands in for a value that is missing.

use crate::error::{InferError, Result};

/// What a feature means, which decides what a missing value becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FeatureKind {
    /// How often something was seen: finite, at least 0. Missing means 0: nothing was seen.
    Count,
    /// A probability from 0 to 1. Missing is an error: no number says "unknown".
    Probability,
    /// A finite number about the item that is not known for every item.
    Annotation {
        /// What a missing value becomes.
        default: f32,
    },
}

/// The features of a cascade, in the order of the columns.
///
/// ```
/// use ryot_inference::cascade::FeatureSchema;
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let schema = FeatureSchema::new()
///     .count("neighbours")
///     .probability("base score")
///     .annotation("conservation", 0.5);
/// assert_eq!(schema.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureSchema {
    columns: Vec<(String, FeatureKind)>,
}

impl FeatureSchema {
    /// A schema without features.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of counts; a missing one is 0.
    pub fn count(self, name: impl Into<String>) -> Self {
        self.with(name.into(), FeatureKind::Count)
    }

    /// Adds a column of probabilities; a missing one is an error.
    pub fn probability(self, name: impl Into<String>) -> Self {
        self.with(name.into(), FeatureKind::Probability)
    }

    /// Adds a column of annotations; a missing one is `default`.
    pub fn annotation(self, name: impl Into<String>, default: f32) -> Self {
        self.with(name.into(), FeatureKind::Annotation { default })
    }

    fn with(mut self, name: String, kind: FeatureKind) -> Self {
        self.columns.push((name, kind));
        self
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Name and kind of every column.
    pub fn columns(&self) -> &[(String, FeatureKind)] {
        &self.columns
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (name, kind) in &self.columns {
            if let FeatureKind::Annotation { default } = kind
                && !default.is_finite()
            {
                let what = format!("default of {name}");
                return Err(InferError::parameter(
                    "annotation",
                    format!("{default} as the {what}"),
                    "a finite number",
                ));
            }
        }
        Ok(())
    }

    /// Completes `row`, the features of item `item`, and appends it to `values`.
    pub(super) fn harmonise(
        &self,
        row: &FeatureRow,
        item: usize,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        for ((name, kind), value) in self.columns.iter().zip(&row.values) {
            let (legal, allowed) = match (kind, value) {
                (FeatureKind::Count, None) => {
                    values.push(0.0);
                    continue;
                }
                (FeatureKind::Annotation { default }, None) => {
                    values.push(*default);
                    continue;
                }
                (FeatureKind::Probability, None) => {
                    return Err(InferError::MissingFeature {
                        feature: name.clone(),
                        item,
                    });
                }
                (FeatureKind::Count, Some(v)) => {
                    (v.is_finite() && *v >= 0.0, "a finite number of at least 0")
                }
                (FeatureKind::Probability, Some(v)) => ((0.0..=1.0).contains(v), "0 to 1"),
                (FeatureKind::Annotation { .. }, Some(v)) => (v.is_finite(), "a finite number"),
            };
            let value = value.unwrap_or_default();
            if !legal {
                return Err(InferError::FeatureValue {
                    feature: name.clone(),
                    item,
                    value,
                    allowed,
                });
            }
            values.push(value);
        }
        Ok(())
    }
}

/// The features of one item while they are collected; all missing at first.
#[derive(Debug)]
pub struct FeatureRow {
    values: Vec<Option<f32>>,
}

impl FeatureRow {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            values: vec![None; columns],
        }
    }

    pub(super) fn clear(&mut self) {
        self.values.fill(None);
    }

    /// Sets the value of `column`; `None` leaves it missing.
    ///
    /// # Errors
    /// [`InferError::Parameter`] if the schema has no such column.
    pub fn set(&mut self, column: usize, value: impl Into<Option<f32>>) -> Result<()> {
        let columns = self.values.len();
        match self.values.get_mut(column) {
            Some(slot) => {
                *slot = value.into();
                Ok(())
            }
            None => Err(InferError::parameter(
                "feature column",
                column,
                format!("below the {columns} columns of the schema"),
            )),
        }
    }
}

/// Complete features of several items, row by row.
#[derive(Debug)]
pub struct FeatureBatch<'a> {
    pub(super) values: &'a [f32],
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl<'a> FeatureBatch<'a> {
    /// Number of items.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features of an item.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// The features of item `row` of the batch.
    pub fn row(&self, row: usize) -> Option<&'a [f32]> {
        let start = row.checked_mul(self.columns)?;
        self.values.get(start..start.checked_add(self.columns)?)
    }
}
