//! Floats of every type as the tests of tensors need them, by a way of their own.

use proptest::prelude::*;
use sigma_lang::tensor::FloatType;

/// Value of an element, exactly.
pub(crate) fn read(float: FloatType, bytes: &[u8]) -> f64 {
    match float {
        FloatType::F32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        FloatType::Bf16 => f64::from(f32::from_le_bytes([0, 0, bytes[0], bytes[1]])),
        _ => {
            let bits = u16::from_le_bytes(bytes.try_into().unwrap());
            let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match exponent {
                0 => mantissa * 2f64.powi(-24),
                31 => f64::INFINITY,
                _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
            };
            if bits >> 15 == 1 {
                -magnitude
            } else {
                magnitude
            }
        }
    }
}

/// Half a unit in the last place of a value of this type.
pub(crate) fn half_unit(float: FloatType, value: f64) -> f64 {
    let (bits, least) = match float {
        FloatType::F32 => return 0.0,
        FloatType::Bf16 => (8, -134),
        _ => (11, -25),
    };
    let exponent = if value == 0.0 {
        -1000
    } else {
        value.abs().log2().floor() as i32
    };
    2f64.powi((exponent - bits).max(least))
}

pub(crate) fn finite(float: FloatType, mut bytes: Vec<u8>) -> Vec<u8> {
    let width = float.width();
    bytes.truncate(bytes.len() / width * width);
    for element in bytes.chunks_exact_mut(width) {
        if !read(float, element).is_finite() {
            element[width - 1] &= 0x83;
        }
    }
    bytes
}

pub(crate) fn float_type() -> impl Strategy<Value = FloatType> {
    prop_oneof![
        Just(FloatType::F32),
        Just(FloatType::Bf16),
        Just(FloatType::F16)
    ]
}
