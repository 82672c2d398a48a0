use proptest::prelude::*;

use super::*;
use crate::error::{BoxError, InferError};

/// Base scores are the items; the meta scorer adds the features up.
#[derive(Default)]
struct Sums {
    loads: Vec<u64>,
    feature_calls: usize,
    meta_rows: usize,
    leave_out: Option<usize>,
    too_few: bool,
}

fn schema() -> FeatureSchema {
    FeatureSchema::new()
        .count("count")
        .probability("probability")
        .annotation("annotation", 7.0)
}

impl CascadeModel for Sums {
    type Item = f32;
    type Group = u64;

    fn base(&mut self, items: &[f32], scores: &mut Vec<f32>) -> Result<(), BoxError> {
        scores.extend_from_slice(&items[usize::from(self.too_few)..]);
        Ok(())
    }

    fn group_of(&self, item: &f32) -> u64 {
        if *item < 0.5 { 1 } else { 2 }
    }

    fn load_group(&mut self, group: u64) -> Result<u64, BoxError> {
        self.loads.push(group);
        Ok(group * 10)
    }

    fn features(
        &mut self,
        item: &f32,
        base_score: f32,
        group: &u64,
        row: &mut FeatureRow,
    ) -> Result<(), BoxError> {
        assert_eq!(*item, base_score);
        self.feature_calls += 1;
        for (column, value) in [*group as f32, base_score, 1.0].into_iter().enumerate() {
            row.set(column, (Some(column) != self.leave_out).then_some(value))?;
        }
        Ok(())
    }

    fn meta(&mut self, batch: &FeatureBatch<'_>, scores: &mut Vec<f32>) -> Result<(), BoxError> {
        self.meta_rows += batch.rows();
        scores.extend((0..batch.rows()).map(|r| batch.row(r).unwrap().iter().sum::<f32>()));
        Ok(())
    }
}

fn run(model: Sums, items: &[f32]) -> crate::Result<(Sums, CascadeOutcome)> {
    let config = CascadeConfig::new()
        .band(0.2, 0.8)
        .chunk_items(3)
        .batch_items(2);
    let mut cascade = Cascade::new(model, schema(), config)?;
    let outcome = cascade.run(items)?;
    Ok((cascade.into_model(), outcome))
}

#[test]
fn only_the_band_is_escalated_and_its_lower_end_belongs_to_it() {
    let (model, outcome) = run(Sums::default(), &[0.1, 0.2, 0.5, 0.79, 0.8, 0.9]).unwrap();
    let stages: Vec<bool> = outcome
        .scores
        .iter()
        .map(|s| s.stage == Stage::Meta)
        .collect();
    assert_eq!(stages, [false, true, true, true, false, false]);
    let scores: Vec<f32> = outcome.scores.iter().map(|s| s.score).collect();
    assert_eq!(scores, [0.1, 11.2, 21.5, 21.79, 0.8, 0.9]);
    assert_eq!((model.feature_calls, model.meta_rows), (3, 3));
    assert_eq!(model.loads, [1, 2]);
    let report = outcome.report;
    assert_eq!(
        (report.items, report.uncertain, report.meta_batches),
        (6, 3, 2)
    );
    assert_eq!((report.groups_loaded, report.group_hits), (2, 1));
    assert!((report.escalated_share() - 0.5).abs() < 1e-12);
}

#[test]
fn missing_values_follow_their_kind() {
    let leave = |column| Sums {
        leave_out: Some(column),
        ..Sums::default()
    };
    // group 1 is 10, the score 0.25, the annotation 1
    let count = run(leave(0), &[0.25]).unwrap().1.scores[0].score;
    assert_eq!(count, 1.25);
    let annotation = run(leave(2), &[0.25]).unwrap().1.scores[0].score;
    assert_eq!(annotation, 17.25);
    let error = run(leave(1), &[0.9, 0.25]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "feature probability of item 1 is missing, and a probability has no default"
    );
}

#[test]
fn values_that_do_not_fit_their_kind_are_named() {
    let schema = schema();
    for (column, value) in [
        (0, -1.0),
        (0, f32::INFINITY),
        (1, 1.5),
        (1, f32::NAN),
        (2, f32::NAN),
    ] {
        let mut row = FeatureRow::new(3);
        row.set(1, 0.5).unwrap();
        row.set(column, value).unwrap();
        let error = schema.harmonise(&row, 4, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(error, InferError::FeatureValue { item: 4, .. }),
            "{error}"
        );
    }
    assert!(FeatureRow::new(3).set(3, 1.0).is_err());
}

#[test]
fn wrong_scorers_and_settings_are_errors() {
    let model = Sums {
        too_few: true,
        ..Sums::default()
    };
    let error = run(model, &[0.1, 0.2]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the base scorer gave 1 scores for 2 items"
    );
    let error = run(Sums::default(), &[0.1, f32::NAN]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the base scorer gave no number for item 1"
    );
    for (config, name) in [
        (CascadeConfig::new().band(0.5, 0.4), "band"),
        (CascadeConfig::new().band(f32::NAN, 0.4), "band"),
        (CascadeConfig::new().chunk_items(0), "chunk_items"),
        (CascadeConfig::new().batch_items(0), "batch_items"),
        (CascadeConfig::new().cache_groups(0), "cache_groups"),
    ] {
        let error = Cascade::new(Sums::default(), schema(), config)
            .err()
            .unwrap();
        assert!(error.to_string().starts_with(name), "{error}");
    }
    let schema = FeatureSchema::new().annotation("a", f32::NAN);
    assert!(Cascade::new(Sums::default(), schema, CascadeConfig::new()).is_err());
}

#[test]
fn a_full_cache_forgets_the_group_that_was_not_used_longest() {
    let config = CascadeConfig::new().band(0.0, 1.0).cache_groups(1);
    let mut cascade = Cascade::new(Sums::default(), schema(), config).unwrap();
    let report = cascade.run(&[0.1, 0.2, 0.6, 0.3]).unwrap().report;
    assert_eq!((report.groups_loaded, report.group_hits), (3, 1));
    assert_eq!(report.features.bytes_peak, 2 * size_of::<u64>());
    assert_eq!(cascade.model().loads, [1, 2, 1]);
}

proptest! {
    /// Whatever the chunks and batches: one decision per item, meta scores exactly in the band.
    #[test]
    fn equals_deciding_item_by_item(
        items in proptest::collection::vec(0.0_f32..1.0, 0..200),
        ends in (0.0_f32..1.0, 0.0_f32..1.0),
        chunk in 1_usize..40,
        batch in 1_usize..40,
        cache in 1_usize..3,
    ) {
        let (low, high) = (ends.0.min(ends.1), ends.0.max(ends.1));
        let config = CascadeConfig::new()
            .band(low, high)
            .chunk_items(chunk)
            .batch_items(batch)
            .cache_groups(cache);
        let mut cascade = Cascade::new(Sums::default(), schema(), config).unwrap();
        let outcome = cascade.run(&items).unwrap();
        prop_assert_eq!(outcome.scores.len(), items.len());
        for (item, scored) in items.iter().zip(&outcome.scores) {
            let group = if *item < 0.5 { 10.0 } else { 20.0 };
            let expected = match low <= *item && *item < high {
                true => Scored { score: group + item + 1.0, stage: Stage::Meta },
                false => Scored { score: *item, stage: Stage::Base },
            };
            prop_assert_eq!(*scored, expected);
        }
    }
}
