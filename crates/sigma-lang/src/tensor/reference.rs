//! The plain twin of the tensor decoder: `docs/formats/sigma-tensor.md` value by value, in f64.

use super::format::{FloatType, corrupt};
use crate::decode::reference;
use crate::dictionary::DictionaryRegistry;
use crate::error::SigmaError;
use crate::frame::check32;
use crate::limits::Limits;

/// Decodes a quantised tensor, slowly: its type, and its values before they are rounded to it.
///
/// # Errors
/// As [`decompress_int8`](crate::tensor::decompress_int8).
pub fn decompress_int8_reference(
    packed: &[u8],
    limits: &Limits,
) -> Result<(FloatType, Vec<f64>), SigmaError> {
    let at = |index: usize| {
        packed
            .get(index)
            .copied()
            .ok_or(corrupt(0, "header is cut"))
    };
    if packed.get(..5) != Some(b"SGT8\x01") {
        return Err(SigmaError::NotSigma { offset: 0 });
    }
    let float = match at(5)? {
        0 => FloatType::F32,
        1 => FloatType::Bf16,
        2 => FloatType::F16,
        _ => return Err(corrupt(5, "type")),
    };
    let group = match at(6)? {
        5 => 32,
        6 => 64,
        7 => 128,
        _ => return Err(corrupt(6, "group")),
    };
    let (mut values, mut position) = (0u64, 7);
    loop {
        let byte = u64::from(at(position)?);
        let shift = 7 * (position - 7);
        if shift > 63 || (shift == 63 && byte > 1) || (byte == 0 && shift > 0) {
            return Err(corrupt(7, "number of values"));
        }
        values |= (byte & 0x7F) << shift;
        position += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (header, rest) = packed.split_at_checked(position).unwrap_or_default();
    let (check, container) = rest
        .split_first_chunk::<4>()
        .ok_or(corrupt(7, "header is cut"))?;
    if u32::from_le_bytes(*check) != check32(header) {
        return Err(corrupt(7, "checksum of the header"));
    }
    if values.saturating_mul(float.width() as u64) > limits.output_bytes_max {
        return Err(corrupt(7, "over the limit"));
    }
    let limits = limits.output_bytes_max(values + 4 * values.div_ceil(group));
    let content = reference::decompress(container, &limits, &DictionaryRegistry::new(), None)?;
    let groups = values.div_ceil(group);
    if content.len() as u64 != values + 4 * groups {
        return Err(corrupt(7, "number of codes"));
    }
    let mut out = Vec::new();
    for index in 0..values {
        let scale_at = usize::try_from(4 * (index / group)).unwrap_or(usize::MAX);
        let code_at = usize::try_from(4 * groups + index).unwrap_or(usize::MAX);
        let scale = content
            .get(scale_at..)
            .and_then(|rest| rest.first_chunk::<4>());
        let scale = f64::from(f32::from_le_bytes(*scale.unwrap_or(&[0; 4])));
        if !scale.is_finite() || scale.is_sign_negative() {
            return Err(corrupt(7, "scale"));
        }
        let code = content.get(code_at).copied().unwrap_or_default();
        let value = f64::from(i8::from_le_bytes([code])) * scale;
        out.push(value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)));
    }
    Ok((float, out))
}
