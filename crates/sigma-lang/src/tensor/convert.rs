//! bf16 and f16 to f32 and back, to the nearest, ties to even.

pub(super) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Of a finite value.
#[inline(always)]
pub(super) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    (rounded >> 16) as u16
}

pub(super) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1F;
    let mantissa = u32::from(bits & 0x3FF);
    let magnitude = match exponent {
        // Denormal: mantissa * 2^-24, exact in f32.
        #[expect(clippy::cast_precision_loss, reason = "ten bits")]
        0 => (mantissa as f32) * f32::from_bits(0x3380_0000),
        0x1F => f32::from_bits(0x7F80_0000 | mantissa << 13),
        _ => f32::from_bits((exponent + 112) << 23 | mantissa << 13),
    };
    f32::from_bits(magnitude.to_bits() | sign)
}

/// Of a finite value; what is too large for f16 becomes infinite.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each field was cut to its bits"
)]
pub(super) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude < 0x3880_0000 {
        // Below 2^-14: adding 2^-1 leaves the value in units of 2^-24 in the low bits, rounded.
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0x3F00_0000) as u16;
    }
    let rounded = magnitude.wrapping_add(0xFFF + (magnitude >> 13 & 1));
    if rounded >= 0x4780_0000 {
        return sign | 0x7C00;
    }
    sign | ((rounded - (112 << 23)) >> 13) as u16
}

/// A whole number of at most 22 bits as a two's complement byte. Unlike a cast, this is done in wide registers.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
pub(super) fn low_byte(whole: f32) -> u8 {
    // Of 2^23 + 2^22 the unit in the last place is 1, and the low bits are 0.
    (whole + 12_582_912.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_comes_back() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            if value.is_finite() {
                assert_eq!(f32_to_f16(value), bits, "{value}");
            } else {
                assert_eq!(bits & 0x7C00, 0x7C00);
            }
            let value = bf16_to_f32(bits);
            if value.is_finite() {
                assert_eq!(f32_to_bf16(value), bits);
            }
        }
    }

    #[test]
    fn whole_numbers_become_bytes() {
        for code in i8::MIN..=i8::MAX {
            assert_eq!(low_byte(f32::from(code)), code.cast_unsigned());
        }
        assert_eq!(low_byte(-0.0), 0);
    }

    #[test]
    fn rounding_is_to_the_nearest_and_even() {
        assert_eq!(f16_to_f32(0x3C00), 1.0);
        assert_eq!(f16_to_f32(1), 2f32.powi(-24));
        // Between 1 and its neighbour, 1 + 2^-10.
        assert_eq!(f32_to_f16(1.0 + 2f32.powi(-11)), 0x3C00);
        assert_eq!(f32_to_f16(1.0 + 3.0 * 2f32.powi(-11)), 0x3C02);
        assert_eq!(f32_to_f16(1.0 + 2f32.powi(-11) * 1.01), 0x3C01);
        assert_eq!(f32_to_f16(2f32.powi(-25)), 0);
        assert_eq!(f32_to_f16(2f32.powi(-25) * 1.5), 1);
        assert_eq!(f32_to_f16(65519.0), 0x7BFF);
        assert_eq!(f32_to_f16(65520.0), 0x7C00);
        assert_eq!(f32_to_bf16(1.0 + 2f32.powi(-8)), 0x3F80);
        assert_eq!(f32_to_bf16(1.0 + 3.0 * 2f32.powi(-8)), 0x3F82);
    }
}
