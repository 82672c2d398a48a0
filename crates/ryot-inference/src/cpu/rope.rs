//! Rotation of queries and keys by their position.

use super::Isa;
use super::lanes::lanes;
use super::pool::Pool;
use super::shared::SharedRows;
use crate::model::RopePairs;

/// Angle per position of each coupled pair of a head.
#[derive(Debug, Clone)]
pub(crate) struct RopeTable {
    pub(crate) frequencies: Vec<f64>,
    pub(crate) pairs: RopePairs,
}

/// Cosines and sines for the rows of one call.
#[derive(Debug)]
pub(crate) struct Angles {
    /// `[row][pair]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
    each: usize,
    pairs: RopePairs,
}

impl RopeTable {
    pub(crate) fn angles(&self, pool: &Pool, positions: &[usize]) -> Angles {
        let each = self.frequencies.len();
        let mut cos = vec![0f32; positions.len() * each];
        let mut sin = cos.clone();
        let rows = (
            SharedRows::new(&mut cos, each),
            SharedRows::new(&mut sin, each),
        );
        let work = |row: usize| {
            // SAFETY: one row is one item of the region.
            let (cos, sin) = unsafe { (rows.0.row(row), rows.1.row(row)) };
            for ((f, cos), sin) in self.frequencies.iter().zip(cos).zip(sin) {
                #[expect(clippy::cast_precision_loss, reason = "positions are below 2^53")]
                let (s, c) = (positions[row] as f64 * f).sin_cos();
                #[expect(clippy::cast_possible_truncation, reason = "the tables are f32")]
                {
                    (*cos, *sin) = (c as f32, s as f32);
                }
            }
        };
        if positions.len() < 4 {
            (0..positions.len()).for_each(work);
        } else {
            pool.share(positions.len(), &work);
        }
        Angles {
            cos,
            sin,
            each,
            pairs: self.pairs,
        }
    }
}

impl RopeTable {
    /// What turns a head that stands somewhere to the place `by` tokens before; one row.
    pub(crate) fn back(&self, by: usize) -> Angles {
        #[expect(clippy::cast_precision_loss, reason = "positions are below 2^53")]
        let angles = self.frequencies.iter().map(|f| -(by as f64) * f);
        #[expect(clippy::cast_possible_truncation, reason = "the tables are f32")]
        let (sin, cos) = angles.map(|a| (a.sin() as f32, a.cos() as f32)).unzip();
        Angles {
            cos,
            sin,
            each: self.frequencies.len(),
            pairs: self.pairs,
        }
    }
}

impl Angles {
    /// Rotates one head of row `row`.
    pub(crate) fn turn(&self, isa: Isa, row: usize, head: &mut [f32]) {
        let angles = row * self.each..(row + 1) * self.each;
        turn(
            isa,
            &self.cos[angles.clone()],
            &self.sin[angles],
            self.pairs,
            head,
        );
    }
}

lanes! {
    fn turn(cos: &[f32], sin: &[f32], pairs: RopePairs, head: &mut [f32]) = turn_body
}

#[inline(always)]
fn turn_body(cos: &[f32], sin: &[f32], pairs: RopePairs, head: &mut [f32]) {
    match pairs {
        RopePairs::Adjacent => {
            let (pairs, _) = head.as_chunks_mut::<2>();
            for (([a, b], cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
        RopePairs::Halves => {
            let (first, second) = head.split_at_mut(cos.len());
            let pairs = first.iter_mut().zip(second);
            for (((a, b), cos), sin) in pairs.zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}
