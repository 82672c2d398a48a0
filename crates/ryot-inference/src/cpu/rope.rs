//! Rotation of queries and keys by their position.

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
    pub(crate) fn angles(&self, positions: impl Iterator<Item = usize>) -> Angles {
        let each = self.frequencies.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            for f in &self.frequencies {
                #[expect(clippy::cast_precision_loss, reason = "positions are below 2^53")]
                let (s, c) = (position as f64 * f).sin_cos();
                #[expect(clippy::cast_possible_truncation, reason = "the tables are f32")]
                {
                    cos.push(c as f32);
                    sin.push(s as f32);
                }
            }
        }
        Angles {
            cos,
            sin,
            each,
            pairs: self.pairs,
        }
    }
}

impl Angles {
    /// Rotates one head of row `row`.
    pub(crate) fn turn(&self, row: usize, head: &mut [f32]) {
        let cos = &self.cos[row * self.each..(row + 1) * self.each];
        let sin = &self.sin[row * self.each..(row + 1) * self.each];
        match self.pairs {
            RopePairs::Adjacent => {
                let (pairs, _) = head.as_chunks_mut::<2>();
                for (([a, b], cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
            RopePairs::Halves => {
                let (first, second) = head.split_at_mut(self.each);
                let pairs = first.iter_mut().zip(second);
                for (((a, b), cos), sin) in pairs.zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}
