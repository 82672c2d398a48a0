//! A block of tokens to codes, steps, zeros and predictors.

use crate::simd::{self, Kernel};
use crate::tensor::convert::low_byte;

/// Largest distance of a value from the mean of its channel, in steps: codes are within -127..=127.
const FAR_STEPS_MAX: f64 = 126.0;
/// Largest distance of the mean from 0, in steps: with a code added it has 14 bits, so that its product with a
/// step is exact in f32.
pub(super) const ZERO_MAX: i32 = 16_256;
/// Least step that is not 0: its inverse is finite.
const STEP_MIN: f32 = f32::MIN_POSITIVE;
/// Bits of a step below its three of mantissa, which are 0: steps compress better for it.
const STEP_CUT: u32 = 0x000F_FFFF;
/// A prediction must lower the sum of the codes to less than this share.
const PREDICTED_NUMERATOR: u32 = 15;
const PREDICTED_DENOMINATOR: u32 = 16;

/// How a code is predicted from that of the token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Predictor {
    /// Not.
    Nothing = 0,
    /// By its half, rounded down.
    Half = 1,
    /// By itself.
    Whole = 2,
}

/// What a chunk is made of, block by block.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Of each channel of each block: the upper half of an f32.
    pub(super) steps: Vec<u16>,
    /// The same: code of 0, its sign in the lowest bit.
    pub(super) zeros: Vec<u16>,
    /// The same: a [`Predictor`].
    pub(super) predictors: Vec<u8>,
    /// Of each value.
    pub(super) codes: Vec<u8>,
}

impl Parts {
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.zeros.clear();
        self.predictors.clear();
        self.codes.clear();
    }
}

/// Per channel, to be used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    mean: Vec<f32>,
    square: Vec<f32>,
    far: Vec<f32>,
    /// Steps into 1, and the codes of the mean.
    inverse: Vec<f32>,
    zero: Vec<f32>,
    /// Sums of distances of the codes: from 0, from half the one before, from the one before.
    sums: [Vec<u16>; 3],
    halves: Vec<u8>,
    wholes: Vec<u8>,
}

/// Appends the block of `values`, which are whole tokens of `channels` values and finite. A step is `percent`
/// hundredths of the standard deviation of its channel, if that suffices.
pub(super) fn block(
    values: &[f32],
    channels: usize,
    percent: u32,
    scratch: &mut Scratch,
    parts: &mut Parts,
) {
    simd::run(Block {
        values,
        channels,
        percent,
        scratch,
        parts,
    });
}

struct Block<'a> {
    values: &'a [f32],
    channels: usize,
    percent: u32,
    scratch: &'a mut Scratch,
    parts: &'a mut Parts,
}

impl Kernel<()> for Block<'_> {
    #[inline(always)]
    fn run(self) {
        let Block {
            values,
            channels,
            percent,
            scratch,
            parts,
        } = self;
        scratch.measure(values, channels);
        scratch.set_steps(values, channels, percent, parts);
        let start = parts.codes.len();
        parts.codes.resize(start + values.len(), 0);
        let codes = parts.codes.get_mut(start..).unwrap_or_default();
        scratch.quantise(values, channels, codes);
        scratch.choose(channels, codes, &mut parts.predictors);
        scratch.predict(channels, codes);
    }
}

impl Scratch {
    /// Means, sums of squared distances from them, and the largest distances.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "at most 256 tokens")]
    fn measure(&mut self, values: &[f32], channels: usize) {
        let tokens = (values.len() / channels) as f32;
        for sums in [&mut self.mean, &mut self.square, &mut self.far] {
            sums.clear();
            sums.resize(channels, 0.0);
        }
        for row in values.chunks_exact(channels) {
            for (mean, value) in self.mean.iter_mut().zip(row) {
                *mean += *value;
            }
        }
        for mean in &mut self.mean {
            *mean /= tokens;
        }
        for row in values.chunks_exact(channels) {
            let sums = self.mean.iter().zip(&mut self.square).zip(&mut self.far);
            for (((mean, square), far), value) in sums.zip(row) {
                let distance = value - mean;
                *square += distance * distance;
                *far = far.max(distance.abs());
            }
        }
        for square in &mut self.square {
            *square /= tokens;
        }
    }

    /// Sets the step and the zero of each channel.
    #[inline(always)]
    fn set_steps(&mut self, values: &[f32], channels: usize, percent: u32, parts: &mut Parts) {
        self.inverse.clear();
        self.zero.clear();
        let figures = self.mean.iter().zip(&self.square).zip(&self.far);
        for (channel, ((mean, square), far)) in figures.enumerate() {
            let mut figures = [mean, square, far].map(|figure| f64::from(*figure));
            let [_, square, far] = figures;
            if !square.is_finite() || (square < f64::from(f32::MIN_POSITIVE) && far > 0.0) {
                figures = exact_figures(values, channels, channel);
            }
            let (step, zero) = step_and_zero(figures, percent);
            self.inverse.push(if step > 0.0 { 1.0 / step } else { 0.0 });
            self.zero.push(zero);
            parts.steps.push((step.to_bits() >> 16) as u16);
            #[expect(clippy::cast_possible_truncation, reason = "a whole number of 15 bits")]
            parts.zeros.push(fold_sign(zero as i32));
        }
    }

    /// Codes of the values, before prediction.
    #[inline(always)]
    fn quantise(&self, values: &[f32], channels: usize, codes: &mut [u8]) {
        let rows = values.chunks_exact(channels);
        for (row, codes) in rows.zip(codes.chunks_exact_mut(channels)) {
            let steps = self.inverse.iter().zip(&self.zero);
            for ((value, code), (inverse, zero)) in row.iter().zip(codes).zip(steps) {
                let distance = (value * inverse).round_ties_even() - zero;
                *code = low_byte(distance.clamp(-127.0, 127.0));
            }
        }
    }

    /// Chooses the predictor of each channel: that which leaves the least.
    #[inline(always)]
    fn choose(&mut self, channels: usize, codes: &[u8], predictors: &mut Vec<u8>) {
        for sums in &mut self.sums {
            sums.clear();
            sums.resize(channels, 0);
        }
        let [own, half, whole] = &mut self.sums;
        let rows = codes.chunks_exact(channels);
        for (before, row) in rows.clone().zip(rows.skip(1)) {
            let sums = own.iter_mut().zip(half.iter_mut()).zip(whole.iter_mut());
            for (((own, half), whole), (before, code)) in sums.zip(before.iter().zip(row)) {
                let (before, code) = (before.cast_signed(), code.cast_signed());
                *own += u16::from(code.unsigned_abs());
                *half += u16::from(code.abs_diff(before >> 1));
                *whole += u16::from(code.abs_diff(before));
            }
        }
        self.halves.clear();
        self.wholes.clear();
        for ((own, half), whole) in own.iter().zip(half.iter()).zip(whole.iter()) {
            let kept = u32::from(*own) * PREDICTED_NUMERATOR / PREDICTED_DENOMINATOR;
            let predictor = if u32::from(*half.min(whole)) >= kept {
                Predictor::Nothing
            } else if half <= whole {
                Predictor::Half
            } else {
                Predictor::Whole
            };
            predictors.push(predictor as u8);
            self.halves.push(mask(predictor == Predictor::Half));
            self.wholes.push(mask(predictor == Predictor::Whole));
        }
    }

    /// Replaces codes by what differs from their prediction, from the last token to the first.
    #[inline(always)]
    fn predict(&self, channels: usize, codes: &mut [u8]) {
        let mut end = codes.len();
        while end > channels {
            let (before, rows) = codes.split_at_mut(end - channels);
            let before = before.get(end - 2 * channels..).unwrap_or_default();
            let row = rows.get_mut(..channels).unwrap_or_default();
            let masks = self.halves.iter().zip(&self.wholes);
            for ((code, before), (half, whole)) in row.iter_mut().zip(before).zip(masks) {
                *code = code.wrapping_sub(predicted(*before, *half, *whole));
            }
            end -= channels;
        }
    }
}

/// The prediction from the code before, with the masks of the channel.
#[inline(always)]
pub(super) fn predicted(before: u8, half: u8, whole: u8) -> u8 {
    ((before.cast_signed() >> 1).cast_unsigned() & half) | (before & whole)
}

/// All bits, or none.
#[inline(always)]
pub(super) fn mask(is_set: bool) -> u8 {
    if is_set { 0xFF } else { 0 }
}

/// A number with its sign in the lowest bit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within -16256..=16256"
)]
fn fold_sign(value: i32) -> u16 {
    ((value << 1) ^ (value >> 31)) as u16
}

/// Step of a channel with this mean, mean squared distance from it and largest distance, and the code of the
/// mean.
fn step_and_zero([mean, square, far]: [f64; 3], percent: u32) -> (f32, f32) {
    let wanted = (f64::from(percent) / 100.0 * square.sqrt())
        .max(far / FAR_STEPS_MAX)
        .max(mean.abs() / f64::from(ZERO_MAX));
    let step = step_of(wanted);
    if step == 0.0 {
        return (0.0, 0.0);
    }
    let zero = (mean / f64::from(step)).round_ties_even();
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of 15 bits")]
    let zero = zero.clamp(-f64::from(ZERO_MAX), f64::from(ZERO_MAX)) as f32;
    (step, zero)
}

/// The least step that is not below `wanted`, of those with three bits of mantissa; 0 for 0.
fn step_of(wanted: f64) -> f32 {
    if wanted == 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounded up below")]
    let mut bits = (wanted as f32).max(STEP_MIN).to_bits();
    if f64::from(f32::from_bits(bits)) < wanted {
        bits += 1;
    }
    let step = f32::from_bits((bits + STEP_CUT) & !STEP_CUT);
    if step.is_finite() {
        step
    } else {
        f32::from_bits(f32::MAX.to_bits() & !STEP_CUT)
    }
}

/// Mean, mean squared distance from it and largest distance of a channel, in f64.
#[expect(clippy::cast_precision_loss, reason = "at most 256 tokens")]
fn exact_figures(values: &[f32], channels: usize, channel: usize) -> [f64; 3] {
    let own = || {
        values
            .iter()
            .skip(channel)
            .step_by(channels)
            .map(|v| f64::from(*v))
    };
    let tokens = (values.len() / channels) as f64;
    let mean = own().sum::<f64>() / tokens;
    let square = own().map(|value| (value - mean).powi(2)).sum::<f64>() / tokens;
    let far = own().fold(0.0, |far: f64, value| far.max((value - mean).abs()));
    [mean, square, far]
}
