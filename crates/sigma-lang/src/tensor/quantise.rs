//! Groups of f32 to codes and scales.

use crate::error::SigmaError;

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
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within -127..=127"
    )]
    let code = |value: &f32| {
        let code = (value / scale).round_ties_even();
        code.clamp(-CODE_MAX, CODE_MAX) as i8 as u8
    };
    codes.extend(group.iter().map(code));
    Ok(scale)
}

/// The value of a code.
#[expect(clippy::cast_possible_wrap, reason = "two's complement is meant")]
pub(super) fn dequantise(code: u8, scale: f32) -> f32 {
    (f32::from(code as i8) * scale).clamp(f32::MIN, f32::MAX)
}
