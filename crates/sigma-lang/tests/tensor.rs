//! Quantised tensors: the documented bound holds, bad input is refused.

#![allow(clippy::cast_possible_truncation, reason = "small test numbers")]

use proptest::prelude::*;
use sigma_lang::tensor::{
    FloatType, Int8Config, compress_int8, compress_int8_f32, decompress_int8, decompress_int8_f32,
    decompress_int8_reference,
};
use sigma_lang::{Limits, SigmaError, decompress};

mod data;
mod floats;

use floats::{finite, float_type, half_unit, read};

fn check_bound(bytes: &[u8], float: FloatType, group: usize) {
    let config = Int8Config::new().group_values(group);
    let packed = compress_int8(bytes, float, &config).unwrap();
    let (found, back) = decompress_int8(&packed, &Limits::default()).unwrap();
    assert_eq!((found, back.len()), (float, bytes.len()));
    let wide = decompress_int8_f32(&packed, &Limits::default()).unwrap();
    let (twin_type, twin) = decompress_int8_reference(&packed, &Limits::default()).unwrap();
    assert_eq!((twin_type, twin.len()), (float, wide.len()));
    let width = float.width();
    let values: Vec<f64> = bytes.chunks_exact(width).map(|e| read(float, e)).collect();
    for (index, group_values) in values.chunks(group).enumerate() {
        let largest = group_values
            .iter()
            .fold(0f64, |max, value| max.max(value.abs()));
        let bound = largest / 254.0 * (1.0 + 2f64.powi(-14)) + 2f64.powi(-142);
        for (offset, value) in group_values.iter().enumerate() {
            let place = index * group + offset;
            let error = (value - f64::from(wide[place])).abs();
            assert!(error <= bound, "{place}: {value} became {}", wide[place]);
            let exact = twin[place];
            let rounding = exact.abs() * 2f64.powi(-24) + 2f64.powi(-150);
            assert!(
                (exact - f64::from(wide[place])).abs() <= rounding,
                "{place}"
            );
            let narrow = read(float, &back[place * width..(place + 1) * width]);
            let error = (value - narrow).abs();
            let largest_side = narrow.abs().max(exact.abs());
            assert!(
                error <= bound + half_unit(float, largest_side),
                "{place}: {value} became {narrow}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_bound_holds_for_any_bits(
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        float in float_type(),
        group in prop_oneof![Just(32usize), Just(64), Just(128)],
    ) {
        check_bound(&finite(float, bytes), float, group);
    }

    #[test]
    fn the_bound_holds_for_small_magnitudes(
        bits in proptest::collection::vec(0u32..3000, 0..300),
        float in float_type(),
    ) {
        let bytes: Vec<u8> = match float {
            FloatType::F32 => bits.iter().flat_map(|b| b.to_le_bytes()).collect(),
            _ => bits.iter().flat_map(|b| (*b as u16).to_le_bytes()).collect(),
        };
        check_bound(&finite(float, bytes), float, 64);
    }
}

#[test]
fn the_bound_holds_at_the_edges() {
    for value in [
        0.0,
        -0.0,
        1.0,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        127.0,
        126.5,
    ] {
        let bytes = [value, value / 2.0, -value / 3.0]
            .map(f32::to_le_bytes)
            .concat();
        check_bound(&bytes, FloatType::F32, 32);
        check_bound(&value.to_le_bytes(), FloatType::F32, 128);
    }
    for value in [0x7BFFu16, 0xFBFF, 1, 0x8001, 0x0400] {
        check_bound(&value.to_le_bytes(), FloatType::F16, 32);
    }
    check_bound(&0x7F7Fu16.to_le_bytes(), FloatType::Bf16, 32);
    check_bound(&[], FloatType::Bf16, 64);
    check_bound(&data::floats(20_000, 2), FloatType::Bf16, 64);
    check_bound(&data::floats(20_000, 4), FloatType::F32, 128);
}

#[test]
fn a_slice_gives_the_bytes_of_its_bytes() {
    let bytes = data::floats(10_000, 4);
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|e| f32::from_le_bytes(e.try_into().unwrap()))
        .collect();
    let config = Int8Config::new();
    assert_eq!(
        compress_int8(&bytes, FloatType::F32, &config).unwrap(),
        compress_int8_f32(&values, &config).unwrap()
    );
    let packed = compress_int8(&bytes, FloatType::F32, &config).unwrap();
    assert!(packed.len() * 3 < bytes.len(), "{}", packed.len());
}

#[test]
fn bad_input_is_refused() {
    let config = Int8Config::new();
    for (place, value) in [(0, f32::NAN), (70, f32::INFINITY), (99, f32::NEG_INFINITY)] {
        let mut values = vec![1.0; 100];
        values[place] = value;
        let error = compress_int8_f32(&values, &config).unwrap_err();
        assert!(matches!(error, SigmaError::TensorNotFinite { index } if index == place));
    }
    let error = compress_int8(&[0; 7], FloatType::F32, &config).unwrap_err();
    assert!(matches!(
        error,
        SigmaError::TensorLength { bytes: 7, width: 4 }
    ));
    for values in [0, 1, 16, 48, 256] {
        let error = compress_int8_f32(&[1.0], &config.group_values(values)).unwrap_err();
        assert!(matches!(
            error,
            SigmaError::InvalidConfig {
                name: "group_values",
                ..
            }
        ));
    }
}

#[test]
fn damage_limits_and_other_decoders() {
    let bytes = data::floats(2_000, 2);
    let packed = compress_int8(&bytes, FloatType::Bf16, &Int8Config::new()).unwrap();
    // Never taken for a lossless container.
    assert!(matches!(
        decompress(&packed, &Limits::default()),
        Err(SigmaError::NotSigma { .. })
    ));
    let exact = Limits::default().output_bytes_max(2_000);
    decompress_int8(&packed, &exact).unwrap();
    let error = decompress_int8(&packed, &exact.output_bytes_max(1_999)).unwrap_err();
    assert!(
        matches!(error, SigmaError::LimitExceeded { value: 2_000, .. }),
        "{error}"
    );
    let error = decompress_int8_f32(&packed, &exact).unwrap_err();
    assert!(
        matches!(error, SigmaError::LimitExceeded { value: 4_000, .. }),
        "{error}"
    );
    for length in 0..packed.len() {
        assert!(
            decompress_int8(&packed[..length], &exact).is_err(),
            "cut to {length}"
        );
    }
    let back = decompress_int8(&packed, &exact).unwrap();
    let mut damaged = packed.clone();
    for bit in 0..packed.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        let fast = decompress_int8(&damaged, &exact);
        let twin = decompress_int8_reference(&damaged, &exact);
        assert_eq!(fast.is_ok(), twin.is_ok(), "bit {bit}: {fast:?}");
        if let Ok(fast) = fast {
            assert!(fast == back, "bit {bit}");
        }
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}
