//! The expensive scorer: a network with one hidden layer, trained here by plain gradient descent.

use crate::dna::Rng;

const HIDDEN: usize = 96;
const EPOCHS: usize = 12;
const RATE: f32 = 0.03;

/// `sigmoid(second * relu(first * x))`, with biases as last columns.
pub(crate) struct Network {
    inputs: usize,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Eight running sums, which fit a vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (x, y) in a8.iter().zip(b8) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

impl Network {
    /// Learns to tell `rows` (each of `inputs` numbers) with their labels apart.
    pub(crate) fn train(rows: &[(Vec<f32>, bool)], inputs: usize, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let width = (2.0 / inputs as f32).sqrt();
        let mut random = |count: usize, width: f32| -> Vec<f32> {
            (0..count)
                .map(|_| width * (2.0 * rng.unit() - 1.0))
                .collect()
        };
        let mut network = Self {
            inputs,
            first: random(HIDDEN * (inputs + 1), width),
            second: random(HIDDEN + 1, 0.2),
        };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut hidden = [0.0; HIDDEN];
        for epoch in 0..EPOCHS {
            let rate = RATE * (1.0 - epoch as f32 / EPOCHS as f32);
            for i in (1..order.len()).rev() {
                order.swap(i, rng.below(i + 1));
            }
            for &index in &order {
                let (row, label) = &rows[index];
                let error = network.forward(row, &mut hidden) - f32::from(u8::from(*label));
                network.descend(row, &hidden, rate * error);
            }
        }
        network
    }

    /// The probability that `row` is a site.
    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        self.forward(row, &mut [0.0; HIDDEN])
    }

    fn forward(&self, row: &[f32], hidden: &mut [f32; HIDDEN]) -> f32 {
        for (h, weights) in hidden
            .iter_mut()
            .zip(self.first.chunks_exact(self.inputs + 1))
        {
            *h = (dot(&weights[..self.inputs], row) + weights[self.inputs]).max(0.0);
        }
        let sum = dot(&self.second[..HIDDEN], hidden) + self.second[HIDDEN];
        1.0 / (1.0 + (-sum).exp())
    }

    fn descend(&mut self, row: &[f32], hidden: &[f32; HIDDEN], step: f32) {
        let units = self
            .first
            .chunks_exact_mut(self.inputs + 1)
            .zip(&mut self.second);
        for ((weights, second), h) in units.zip(hidden) {
            if *h > 0.0 {
                let back = step * *second;
                for (w, x) in weights.iter_mut().zip(row) {
                    *w -= back * x;
                }
                weights[self.inputs] -= back;
            }
            *second -= step * h;
        }
        self.second[HIDDEN] -= step;
    }
}
