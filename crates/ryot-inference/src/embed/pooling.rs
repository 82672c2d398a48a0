//! Hidden states on their way to one vector.

use super::config::{Pooling, Settings};

/// What has been seen of one text.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pooling: Pooling,
    /// Sums of the numbers of all tokens, or the numbers of the last one.
    numbers: Vec<f64>,
    tokens: usize,
}

impl Pool {
    pub(super) fn new(pooling: Pooling, dimensions: usize) -> Self {
        Self {
            pooling,
            numbers: vec![0.0; dimensions],
            tokens: 0,
        }
    }

    /// Takes the hidden state of the next token.
    pub(super) fn add(&mut self, hidden: &[f32]) {
        self.tokens += 1;
        for (number, hidden) in self.numbers.iter_mut().zip(hidden) {
            *number = match self.pooling {
                Pooling::Mean => *number + f64::from(*hidden),
                Pooling::Last => f64::from(*hidden),
            };
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounding to f32 is the point; tokens are far below 2^53"
    )]
    pub(super) fn finish(self, settings: &Settings) -> Vec<f32> {
        let count = match self.pooling {
            Pooling::Mean => self.tokens.max(1) as f64,
            Pooling::Last => 1.0,
        };
        let length = if settings.normalise {
            let squares: f64 = self.numbers.iter().map(|n| (n / count).powi(2)).sum();
            if squares > 0.0 { squares.sqrt() } else { 1.0 }
        } else {
            1.0
        };
        let numbers = self.numbers.iter();
        numbers.map(|n| (n / count / length) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pooling: Pooling, normalise: bool) -> Settings {
        Settings {
            pooling,
            normalise,
            text_tokens_max: 9,
            batch_tokens: 9,
        }
    }

    #[test]
    fn mean_last_and_length() {
        let run = |pooling, normalise| {
            let mut pool = Pool::new(pooling, 2);
            pool.add(&[1.0, 2.0]);
            pool.add(&[5.0, 6.0]);
            pool.finish(&settings(pooling, normalise))
        };
        assert_eq!(run(Pooling::Mean, false), [3.0, 4.0]);
        assert_eq!(run(Pooling::Mean, true), [0.6, 0.8]);
        assert_eq!(run(Pooling::Last, false), [5.0, 6.0]);
        let nothing = Pool::new(Pooling::Mean, 3);
        assert_eq!(nothing.finish(&settings(Pooling::Mean, true)), [0.0; 3]);
    }
}
