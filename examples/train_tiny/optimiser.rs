//! AdamW with a warm-up and a cosine, on plain numbers.

use candle_core::{Device, Tensor};

use super::Result;
use super::net::Net;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.95;
const EPSILON: f32 = 1e-8;
/// For matrices; norms do not decay.
const WEIGHT_DECAY: f32 = 0.1;
/// Largest length of the whole gradient.
const GRADIENT_NORM_MAX: f32 = 1.0;
/// The rate ends at this part of its highest.
const RATE_END: f64 = 0.03;

/// First and second moments of every parameter.
pub(crate) struct AdamW {
    pub(crate) first: Vec<Vec<f32>>,
    pub(crate) second: Vec<Vec<f32>>,
}

/// The learning rate of `step` (from 0): a straight warm-up, then a half cosine.
pub(crate) fn rate(step: usize, steps: usize, highest: f64) -> f64 {
    let warm = (steps / 25).clamp(1, 100);
    if step < warm {
        return highest * (step + 1) as f64 / warm as f64;
    }
    let part = (step - warm) as f64 / (steps - warm).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos());
    highest * (RATE_END + (1.0 - RATE_END) * cosine)
}

impl AdamW {
    pub(crate) fn new(net: &Net) -> Self {
        let zeros = || net.parameters.iter().map(|p| vec![0.0; p.var.elem_count()]);
        Self {
            first: zeros().collect(),
            second: zeros().collect(),
        }
    }

    /// One step; `step` counts from 0. Gives the length of the gradient before it was cut.
    pub(crate) fn step(
        &mut self,
        net: &Net,
        gradient: &[Vec<f32>],
        step: usize,
        rate: f64,
    ) -> Result<f32> {
        let square = |g: &Vec<f32>| g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "f32 is enough for a length"
        )]
        let norm = gradient.iter().map(square).sum::<f64>().sqrt() as f32;
        if !norm.is_finite() {
            return Err(format!("the gradient of step {step} is not finite").into());
        }
        let cut = (GRADIENT_NORM_MAX / norm.max(1e-12)).min(1.0);
        let count = i32::try_from(step + 1)?;
        let (scale1, scale2) = (
            1.0 / (1.0 - BETA1.powi(count)),
            1.0 / (1.0 - BETA2.powi(count)),
        );
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        let rate = rate as f32;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (first, second)) in
            net.parameters.iter().zip(gradient).zip(moments)
        {
            let var = &parameter.var;
            let decay = if var.rank() > 1 {
                1.0 - rate * WEIGHT_DECAY
            } else {
                1.0
            };
            let mut values = var.flatten_all()?.to_vec1::<f32>()?;
            let moments = first.iter_mut().zip(second.iter_mut());
            for ((x, g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
                let g = g * cut;
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *x = *x * decay - rate * (*m * scale1) / ((*v * scale2).sqrt() + EPSILON);
            }
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
        }
        Ok(norm)
    }
}
