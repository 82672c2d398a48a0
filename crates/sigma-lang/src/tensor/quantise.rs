//! Groups of f32 to codes and scales.

use super::convert::low_byte;
use crate::error::SigmaError;
use crate::simd::{self, Kernel};

/// Largest code; -128 is not used, so that the range is symmetric.
const CODE_MAX: f32 = 127.0;

/// Appends the code of each value of a group (as two's complement) and gives the scale. `before`
/// values stand in front of the group.
pub(super) fn quantise_group(
    group: &[f32],
    before: usize,
    codes: &mut Vec<u8>,
) -> Result<f32, SigmaError> {
    if let Some(index) = group.iter().position(|value| !value.is_finite()) {
        return Err(SigmaError::TensorNotFinite {
            index: before + index,
        });
    }
    let largest = group.iter().fold(0f32, |max, value| max.max(value.abs()));
    let scale = largest / CODE_MAX;
    if scale == 0.0 {
        codes.resize(codes.len() + group.len(), 0);
        return Ok(0.0);
    }
    simd::run(Codes {
        group,
        scale,
        codes,
    });
    Ok(scale)
}

/// Appends the codes of values at a scale that is not 0.
struct Codes<'a> {
    group: &'a [f32],
    scale: f32,
    codes: &'a mut Vec<u8>,
}

impl Kernel<()> for Codes<'_> {
    #[inline(always)]
    fn run(self) {
        let code = |value: &f32| {
            let code = (value / self.scale).round_ties_even();
            low_byte(code.clamp(-CODE_MAX, CODE_MAX))
        };
        self.codes.extend(self.group.iter().map(code));
    }
}

/// The value of a code.
#[expect(clippy::cast_possible_wrap, reason = "two's complement is meant")]
pub(super) fn dequantise(code: u8, scale: f32) -> f32 {
    (f32::from(code as i8) * scale).clamp(f32::MIN, f32::MAX)
}
