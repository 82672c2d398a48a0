//! What a user of a cascade implements.

use super::{FeatureBatch, FeatureRow};
use crate::error::BoxError;

/// The two scorers of a cascade and the features between them.
///
/// Items of one group share what is expensive to get (a sequence, a page, a parsed file): it is
/// made once by [`CascadeModel::load_group`], when the first uncertain item of the group comes.
/// The scorers take `&mut self` so that they can keep buffers.
pub trait CascadeModel {
    /// What is scored.
    type Item;
    /// What the items of one group share.
    type Group;

    /// Appends one score per item to `scores`. Called for every item, in order, in chunks.
    ///
    /// # Errors
    /// Any error ends the run and is the source of [`InferError::Cascade`](crate::InferError).
    fn base(&mut self, items: &[Self::Item], scores: &mut Vec<f32>) -> Result<(), BoxError>;

    /// The group of an item.
    fn group_of(&self, item: &Self::Item) -> u64;

    /// Makes what the items of a group share.
    ///
    /// # Errors
    /// As [`CascadeModel::base`].
    fn load_group(&mut self, group: u64) -> Result<Self::Group, BoxError>;

    /// Bytes that a loaded group holds, for the report. Default: the size of the type.
    fn group_bytes(&self, _group: &Self::Group) -> usize {
        size_of::<Self::Group>()
    }

    /// Sets the features of an uncertain item that are known.
    ///
    /// # Errors
    /// As [`CascadeModel::base`].
    fn features(
        &mut self,
        item: &Self::Item,
        base_score: f32,
        group: &Self::Group,
        row: &mut FeatureRow,
    ) -> Result<(), BoxError>;

    /// Appends one score per row of `batch` to `scores`.
    ///
    /// # Errors
    /// As [`CascadeModel::base`].
    fn meta(&mut self, batch: &FeatureBatch<'_>, scores: &mut Vec<f32>) -> Result<(), BoxError>;
}
