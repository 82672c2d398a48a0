//! Quantised keys and values: the documented bound holds, the plain twin agrees, bad input is refused.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small test numbers, compared where they must be equal"
)]

use proptest::prelude::*;
use sigma_lang::tensor::{
    FloatType, KvConfig, KvShape, compress_kv, compress_kv_f32, decompress_kv, decompress_kv_f32,
    decompress_kv_reference,
};
use sigma_lang::{Limits, SigmaError};

mod data;
mod floats;

use floats::{finite, float_type, half_unit, read};

/// A step, as the format page has it, at most: of the values of a channel in a block.
fn step_max(values: &[f64], percent: u32) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let far = values.iter().fold(0f64, |far, v| far.max((v - mean).abs()));
    let wanted = (f64::from(percent) / 100.0 * square.sqrt())
        .max(far / 126.0)
        .max(mean.abs() / 16_256.0);
    if wanted == 0.0 {
        0.0
    } else {
        wanted.max(2f64.powi(-126)) * 1.125 * (1.0 + 2f64.powi(-10))
    }
}

fn check(bytes: &[u8], float: FloatType, shape: KvShape, config: KvConfig) {
    let packed = compress_kv(bytes, float, shape, &config).unwrap();
    let limits = Limits::default();
    let (found, back) = decompress_kv(&packed, &limits).unwrap();
    assert_eq!((found, back.len()), (float, bytes.len()));
    let wide = decompress_kv_f32(&packed, &limits).unwrap();
    let (twin_type, twin) = decompress_kv_reference(&packed, &limits).unwrap();
    assert_eq!((twin_type, twin.len()), (float, wide.len()));
    let width = float.width();
    for (place, (twin, wide)) in twin.iter().zip(&wide).enumerate() {
        let held = twin.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
        assert_eq!(held, f64::from(*wide), "{place}");
        let narrow = read(float, &back[place * width..(place + 1) * width]);
        assert!(narrow.is_finite(), "{place}");
        let max = match float {
            FloatType::F32 => f64::from(f32::MAX),
            FloatType::Bf16 => f64::from(f32::from_bits(0x7F7F_0000)),
            _ => 65_504.0,
        };
        let held = twin.clamp(-max, max);
        assert!((held - narrow).abs() <= half_unit(float, held), "{place}");
    }
    let values: Vec<f64> = bytes.chunks_exact(width).map(|e| read(float, e)).collect();
    let tensor = shape.tokens * shape.channels;
    for (index, tensor_values) in values.chunks(tensor.max(1)).enumerate() {
        let blocks = tensor_values.chunks(config.block_tokens * shape.channels);
        for (block, block_values) in blocks.enumerate() {
            let start = index * tensor + block * config.block_tokens * shape.channels;
            for channel in 0..shape.channels {
                let own = || block_values.iter().skip(channel).step_by(shape.channels);
                let values: Vec<f64> = own().copied().collect();
                let bound = step_max(&values, config.step_percent) / 2.0 * (1.0 + 2f64.powi(-7));
                for (token, value) in values.iter().enumerate() {
                    let place = start + token * shape.channels + channel;
                    let error = (value - twin[place]).abs();
                    assert!(error <= bound, "{place}: {value} became {}", twin[place]);
                }
            }
        }
    }
}

/// Keys as models have them: channels of very different magnitude and mean that change slowly along the
/// tokens, with noise.
fn state(tensors: usize, shape: KvShape, seed: u64) -> Vec<u8> {
    let noise = data::noise(8 * tensors * shape.tokens * shape.channels, seed);
    let noise: Vec<f64> = noise
        .chunks_exact(8)
        .map(|bytes| {
            let words = bytes.iter().map(|byte| f64::from(*byte) - 127.5);
            words.sum::<f64>() / 209.0
        })
        .collect();
    let mut bytes = Vec::new();
    for (index, noise) in noise.iter().enumerate() {
        let (token, channel) = (
            index / shape.channels % shape.tokens,
            index % shape.channels,
        );
        let magnitude = f64::powi(1.3, channel as i32 % 23 - 11);
        let drift = (token as f64 / 9.0 + channel as f64).sin();
        let value = magnitude * (noise + 2.0 * drift + (channel % 7) as f64);
        let bits = (value as f32).to_bits();
        bytes.extend_from_slice(&((bits + 0x8000) >> 16).to_le_bytes()[..2]);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_bound_holds_for_any_bits(
        bytes in proptest::collection::vec(any::<u8>(), 0..6000),
        float in float_type(),
        tokens in 1usize..40,
        channels in 1usize..40,
        block_tokens in 1usize..20,
        percent in 1u32..=200,
    ) {
        let mut bytes = finite(float, bytes);
        let tensor = tokens * channels * float.width();
        bytes.truncate(bytes.len() / tensor * tensor);
        let config = KvConfig::new().block_tokens(block_tokens).step_percent(percent);
        check(&bytes, float, KvShape::new(tokens, channels), config);
    }

    #[test]
    fn damage_is_found_by_both(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let shape = KvShape::new(20, 16);
        let mut packed = compress_kv(&state(2, shape, 3), FloatType::Bf16, shape, &KvConfig::new()).unwrap();
        let at = at.index(packed.len());
        if cut {
            packed.truncate(at);
        } else {
            packed[at] ^= 1 << bit;
        }
        prop_assert!(decompress_kv(&packed, &Limits::default()).is_err());
        prop_assert!(decompress_kv_f32(&packed, &Limits::default()).is_err());
        prop_assert!(decompress_kv_reference(&packed, &Limits::default()).is_err());
    }
}

#[test]
fn the_bound_holds_for_states_and_at_the_edges() {
    for (tensors, tokens, channels) in [(4, 130, 96), (1, 1, 300), (3, 64, 1), (2, 300, 1000)] {
        let shape = KvShape::new(tokens, channels);
        check(
            &state(tensors, shape, 9),
            FloatType::Bf16,
            shape,
            KvConfig::new(),
        );
    }
    for values in [
        [0.0f32; 6],
        [-0.0, 0.0, -0.0, 0.0, -0.0, 0.0],
        [f32::MAX, f32::MIN, f32::MAX, f32::MIN, f32::MAX, f32::MAX],
        [f32::MAX; 6],
        [1e-45, -1e-45, 0.0, 1e-45, 1e-40, -1e-40],
        [1e30, 1e30, 1e-30, 1e-30, 1.0, -1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.000_000_1],
    ] {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for shape in [KvShape::new(6, 1), KvShape::new(3, 2), KvShape::new(1, 6)] {
            check(&bytes, FloatType::F32, shape, KvConfig::new());
        }
    }
    check(&[], FloatType::F16, KvShape::new(5, 7), KvConfig::new());
}

#[test]
fn a_value_that_does_not_change_comes_back_as_it_was() {
    let mut bytes = Vec::new();
    for half in (0..0x7F80u16)
        .step_by(13)
        .chain((0x8000..0xFF80).step_by(11))
    {
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    let channels = bytes.len() / 2;
    let state = bytes.repeat(3);
    let shape = KvShape::new(3, channels);
    let packed = compress_kv(&state, FloatType::Bf16, shape, &KvConfig::new()).unwrap();
    let (_, back) = decompress_kv(&packed, &Limits::default()).unwrap();
    for (value, back) in state.chunks_exact(2).zip(back.chunks_exact(2)) {
        let value = read(FloatType::Bf16, value);
        // Below the least step nothing is kept.
        if value.abs() > 2f64.powi(-110) {
            assert_eq!(value, read(FloatType::Bf16, back));
        }
    }
}

#[test]
fn states_take_a_quarter_and_drifting_ones_less() {
    let shape = KvShape::new(256, 256);
    let bytes = state(2, shape, 5);
    let packed = compress_kv(&bytes, FloatType::Bf16, shape, &KvConfig::new()).unwrap();
    assert!(packed.len() * 4 < bytes.len(), "{}", packed.len());
    let coarse = KvConfig::new().step_percent(60);
    let less = compress_kv(&bytes, FloatType::Bf16, shape, &coarse).unwrap();
    assert!(less.len() * 5 < packed.len() * 4);
    // The same in f32 gives the same codes.
    let wide: Vec<f32> = bytes
        .chunks_exact(2)
        .map(|e| f32::from_le_bytes([0, 0, e[0], e[1]]))
        .collect();
    let packed_wide = compress_kv_f32(&wide, shape, &KvConfig::new()).unwrap();
    assert_eq!(packed_wide.len(), packed.len());
    assert_eq!(
        decompress_kv_f32(&packed_wide, &Limits::default()).unwrap(),
        decompress_kv_f32(&packed, &Limits::default()).unwrap()
    );
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let shape = KvShape::new(2, 3);
    let config = KvConfig::new();
    let pack =
        |bytes: &[u8], shape, config: &KvConfig| compress_kv(bytes, FloatType::Bf16, shape, config);
    assert!(matches!(
        pack(&[0; 13], shape, &config),
        Err(SigmaError::TensorLength {
            bytes: 13,
            width: 2
        })
    ));
    assert!(matches!(
        pack(&[0; 14], shape, &config),
        Err(SigmaError::TensorShape {
            values: 7,
            tokens: 2,
            channels: 3
        })
    ));
    for wrong in [
        KvShape::new(0, 3),
        KvShape::new(2, 0),
        KvShape::new(1, 65_537),
    ] {
        assert!(matches!(
            pack(&[0; 12], wrong, &config),
            Err(SigmaError::TensorShape { .. })
        ));
    }
    let mut bytes = [0; 24];
    bytes[17] = 0x7F;
    bytes[16] = 0x80;
    assert!(matches!(
        pack(&bytes, shape, &config),
        Err(SigmaError::TensorNotFinite { index: 8 })
    ));
    for (config, setting) in [
        (config.step_percent(0), "step_percent"),
        (config.step_percent(201), "step_percent"),
        (config.block_tokens(0), "block_tokens"),
        (config.block_tokens(257), "block_tokens"),
    ] {
        let refused = pack(&[], shape, &config);
        assert!(matches!(refused, Err(SigmaError::InvalidConfig { name, .. }) if name == setting));
    }
}

/// A header with these fields and its check, and this payload with its own.
fn forged(float: u8, fields: [u64; 4], payload: &[u8]) -> Vec<u8> {
    let mut packed = b"SGTK\x01".to_vec();
    packed.push(float);
    for mut field in fields {
        while field >= 0x80 {
            packed.push(field as u8 | 0x80);
            field >>= 7;
        }
        packed.push(field as u8);
    }
    let check = xxhash_rust::xxh64::xxh64(&packed, 0) as u32;
    packed.extend_from_slice(&check.to_le_bytes());
    packed.extend_from_slice(payload);
    let check = xxhash_rust::xxh3::xxh3_64(payload) as u32;
    packed.extend_from_slice(&check.to_le_bytes());
    packed
}

#[test]
fn hostile_headers_are_refused_before_anything_is_allocated() {
    let limits = Limits::default();
    let far = u64::MAX >> 1;
    for (fields, too_much) in [
        ([far, 1, 1, 64], true),
        ([1 << 40, 1 << 10, 1 << 10, 64], true),
        ([1, far, 1, 64], true),
        ([far, far, 65_536, 64], false),
        ([1, 0, 1, 64], false),
        ([1, 1, 0, 64], false),
        ([1, 1, 65_537, 64], false),
        ([1, 1, 1, 0], false),
        ([1, 1, 1, 257], false),
        ([1, 1, 1, 1], false),
    ] {
        let packed = forged(1, fields, &[]);
        let error = decompress_kv(&packed, &limits).unwrap_err();
        let is_limit = matches!(error, SigmaError::LimitExceeded { .. });
        assert_eq!(is_limit, too_much, "{fields:?}: {error}");
        assert!(decompress_kv_reference(&packed, &limits).is_err());
    }
    let unknown = decompress_kv(&forged(3, [0, 1, 1, 1], &[]), &limits);
    assert!(matches!(
        unknown,
        Err(SigmaError::UnknownTag { tag: 3, .. })
    ));
    let tight = limits.output_bytes_max(59);
    let packed = compress_kv_f32(&[1.0; 15], KvShape::new(5, 3), &KvConfig::new()).unwrap();
    assert!(matches!(
        decompress_kv(&packed, &tight),
        Err(SigmaError::LimitExceeded {
            value: 60,
            allowed: 59,
            ..
        })
    ));
}

/// One block of one token and two channels from stored streams: steps, zeros, predictors, codes.
fn streams(steps: [u16; 2], zeros: [u16; 2], predictors: [u8; 2], codes: [u8; 2]) -> Vec<u8> {
    let [a, b] = steps.map(u16::to_le_bytes);
    let [c, d] = zeros.map(u16::to_le_bytes);
    let pairs = [
        [a[0], b[0]],
        [a[1], b[1]],
        [c[0], d[0]],
        [c[1], d[1]],
        predictors,
        codes,
    ];
    pairs
        .iter()
        .flat_map(|pair| [&[4u8][..], pair.as_slice()].concat())
        .collect()
}

#[test]
fn fields_of_a_payload_are_held_to_the_format() {
    let limits = Limits::default();
    let fields = [1, 1, 2, 8];
    let good = streams([0x3F80, 0], [5, 32_512], [2, 0], [0x80, 1]);
    let packed = forged(0, fields, &good);
    assert_eq!(decompress_kv_f32(&packed, &limits).unwrap(), [-131.0, 0.0]);
    assert_eq!(
        decompress_kv_reference(&packed, &limits).unwrap().1,
        [-131.0, 0.0]
    );
    for (what, payload) in [
        ("step", streams([0x7F80, 0], [0; 2], [0; 2], [0; 2])),
        ("step", streams([0x3F80, 0x8000], [0; 2], [0; 2], [0; 2])),
        ("zero", streams([0x3F80, 0], [32_514, 0], [0; 2], [0; 2])),
        ("predictor", streams([0x3F80, 0], [0; 2], [0, 3], [0; 2])),
        ("bytes follow", [good.as_slice(), &[0]].concat()),
        ("stream", good[..good.len() - 3].to_vec()),
    ] {
        let packed = forged(0, fields, &payload);
        assert!(decompress_kv(&packed, &limits).is_err(), "{what}");
        assert!(decompress_kv_reference(&packed, &limits).is_err(), "{what}");
    }
}
