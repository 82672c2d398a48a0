//! Codes, steps, zeros and predictors to floats.

use super::quantise::{Predictor, ZERO_MAX, mask, predicted};
use crate::simd::{self, Kernel};

/// Per channel of a block, to be used again.
#[derive(Debug, Default)]
pub(super) struct Channels {
    step: Vec<f32>,
    zero: Vec<i32>,
    halves: Vec<u8>,
    wholes: Vec<u8>,
}

/// What a block has for its channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    /// Low and high bytes of the steps; of the zeros.
    pub(super) steps: [&'a [u8]; 2],
    pub(super) zeros: [&'a [u8]; 2],
    pub(super) predictors: &'a [u8],
}

impl Channels {
    /// Reads what a block has for its channels; says what is wrong with it.
    pub(super) fn read(&mut self, sides: Sides<'_>) -> Result<(), &'static str> {
        self.step.clear();
        self.zero.clear();
        self.halves.clear();
        self.wholes.clear();
        let [low, high] = sides.steps;
        for (low, high) in low.iter().zip(high) {
            let step = f32::from_bits(u32::from(u16::from_le_bytes([*low, *high])) << 16);
            if !step.is_finite() || step.is_sign_negative() {
                return Err("step is negative or not finite");
            }
            self.step.push(step);
        }
        let [low, high] = sides.zeros;
        for (low, high) in low.iter().zip(high) {
            let folded = i32::from(u16::from_le_bytes([*low, *high]));
            let zero = (folded >> 1) ^ -(folded & 1);
            if zero.abs() > ZERO_MAX {
                return Err("zero is over 16256 steps");
            }
            self.zero.push(zero);
        }
        for predictor in sides.predictors {
            if *predictor > Predictor::Whole as u8 {
                return Err("predictor is unknown");
            }
            self.halves.push(mask(*predictor == Predictor::Half as u8));
            self.wholes.push(mask(*predictor == Predictor::Whole as u8));
        }
        Ok(())
    }
}

/// Appends the values of a block: `codes` are whole tokens, and are replaced by what they were before
/// prediction. `write` makes the bytes of a value.
pub(super) fn block<const W: usize>(
    channels: &Channels,
    codes: &mut [u8],
    write: impl Fn(f32) -> [u8; W],
    out: &mut Vec<u8>,
) {
    simd::run(Block {
        channels,
        codes,
        write,
        out,
    });
}

struct Block<'a, F> {
    channels: &'a Channels,
    codes: &'a mut [u8],
    write: F,
    out: &'a mut Vec<u8>,
}

impl<const W: usize, F: Fn(f32) -> [u8; W]> Kernel<()> for Block<'_, F> {
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "15 bits")]
    fn run(self) {
        let Block {
            channels,
            codes,
            write,
            out,
        } = self;
        let count = channels.step.len().max(1);
        let start = out.len();
        out.resize(start + W * codes.len(), 0);
        let (elements, _) = out
            .get_mut(start..)
            .unwrap_or_default()
            .as_chunks_mut::<W>();
        let mut before: &mut [u8] = &mut [];
        for (row, elements) in codes
            .chunks_exact_mut(count)
            .zip(elements.chunks_exact_mut(count))
        {
            let masks = channels.halves.iter().zip(&channels.wholes);
            for ((code, before), (half, whole)) in row.iter_mut().zip(&*before).zip(masks) {
                *code = code.wrapping_add(predicted(*before, *half, *whole));
            }
            let scales = channels.step.iter().zip(&channels.zero);
            for ((code, element), (step, zero)) in row.iter().zip(elements).zip(scales) {
                *element = write((zero + i32::from(code.cast_signed())) as f32 * step);
            }
            before = row;
        }
    }
}
