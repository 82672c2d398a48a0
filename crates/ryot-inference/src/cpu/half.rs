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
    (rounded_bits(value) >> 16) as u16
}

/// Widens a bfloat16; exact.
#[inline(always)]
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bits of `value` rounded to the nearest bfloat16, as an f32 has them.
#[inline(always)]
fn rounded_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let odd = bits >> 16 & 1;
    let rounded = bits.wrapping_add(0x7fff + odd);
    let bits = if value.is_nan() {
        bits | 0x40_0000
    } else {
        rounded
    };
    bits & 0xffff_0000
}

/// Two numbers as bfloat16 in one word, the first in its low half.
#[inline(always)]
pub(crate) fn bf16_pair(low: f32, high: f32) -> u32 {
    rounded_bits(low) >> 16 | rounded_bits(high)
}

/// The numbers of a pair, widened; exact.
#[inline(always)]
pub(crate) fn of_bf16_pair(pair: u32) -> [f32; 2] {
    [
        f32::from_bits(pair << 16),
        f32::from_bits(pair & 0xffff_0000),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_rounds_to_nearest_ties_to_even() {
        for (value, bits) in [
            (1.0, 0x3f80),
            (-2.0, 0xc000),
            // halfway between two: the even one
            (1.0 + 1.0 / 256.0, 0x3f80),
            (1.0 + 3.0 / 256.0, 0x3f82),
            (1.0 + 1.1 / 256.0, 0x3f81),
            (f32::MAX, 0x7f80),
            (f32::INFINITY, 0x7f80),
            (f32::NEG_INFINITY, 0xff80),
            (0.0, 0),
            (-0.0, 0x8000),
            (f32::from_bits(0x0001_8001), 2),
        ] {
            assert_eq!(f32_to_bf16(value), bits, "{value}");
            let pair = bf16_pair(value, 1.0);
            assert_eq!(pair, 0x3f80_0000 | u32::from(bits), "{value}");
            let [low, high] = of_bf16_pair(pair);
            assert_eq!((low.to_bits(), high), (u32::from(bits) << 16, 1.0));
            assert_eq!(bf16_to_f32(bits).to_bits(), low.to_bits());
        }
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xff80_0001, 0xffff_ffff] {
            assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(bits))).is_nan());
        }
    }
}
