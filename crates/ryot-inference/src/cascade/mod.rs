//! Selective inference: a cheap scorer looks at everything, an expensive one at what is uncertain.
//!
//! | step | done by | for |
//! |---|---|---|
//! | base score | [`CascadeModel::base`] | every item |
//! | group | [`CascadeModel::load_group`], kept in an LRU cache | groups with an uncertain item |
//! | features | [`CascadeModel::features`], completed by the [`FeatureSchema`] | uncertain items |
//! | meta score | [`CascadeModel::meta`], in batches | uncertain items |
//!
//! An item is uncertain if its base score is in the band `[low, high)`. Every item gets a score: it
//! starts as the base score and is replaced where the item is uncertain.

mod config;
mod features;
mod model;
mod report;
mod runner;
#[cfg(test)]
mod tests;

pub use config::CascadeConfig;
pub use features::{FeatureBatch, FeatureKind, FeatureRow, FeatureSchema};
pub use model::CascadeModel;
pub use report::{CascadeReport, StageCost};
pub use runner::{Cascade, CascadeOutcome, Scored, Stage};
