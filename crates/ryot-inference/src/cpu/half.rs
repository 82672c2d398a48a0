//! Sixteen-bit floats.

/// Widens an IEEE half; exact.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    match exponent {
        0 => {
            // 2^-24 steps
            #[expect(clippy::cast_precision_loss, reason = "ten bits")]
            let magnitude = fraction as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(sign | magnitude.to_bits())
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// Rounds to the nearest bfloat16, ties to even; what is not a number stays so.
#[inline(always)]
pub(crate) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let odd = bits >> 16 & 1;
    let rounded = (bits.wrapping_add(0x7fff + odd)) >> 16;
    if value.is_nan() {
        (bits >> 16) as u16 | 0x40
    } else {
        rounded as u16
    }
}
