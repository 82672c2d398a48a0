//! Any bytes as a quantised tensor and as quantised keys and values, and behind a valid header: the decoder and
//! the plain twin agree. And any finite floats as a tensor and as a state: they come back within the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_lang::tensor::{
    FloatType, Int8Config, KvConfig, KvShape, compress_int8_f32, compress_kv_f32, decompress_int8,
    decompress_int8_f32, decompress_int8_reference, decompress_kv, decompress_kv_f32,
    decompress_kv_reference,
};
use sigma_lang::{Config, Limits};

const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, count], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    match flags % 6 {
        0 => check(bytes),
        2 => check_state(bytes),
        3 => check_state(&forged_state(flags, count, bytes)),
        4 => check_state_bound(bytes, usize::from(flags >> 3) + 1, usize::from(count)),
        1 => {
            let mut tensor = b"SGT8\x01".to_vec();
            tensor.extend_from_slice(&[flags >> 2 & 3, 5 + (flags >> 4 & 3), count & 0x7F]);
            let check32 = xxhash_rust::xxh64::xxh64(&tensor, 0) as u32;
            tensor.extend_from_slice(&check32.to_le_bytes());
            let container = sigma_lang::compress(bytes, &Config::new()).expect("compresses");
            tensor.extend_from_slice(&container);
            check(&tensor);
        }
        _ => check_bound(bytes, 32 << (count % 3)),
    }
});

fn check(bytes: &[u8]) {
    let limits = Limits::default()
        .output_bytes_max(LIMIT)
        .frame_bytes_max(LIMIT);
    let fast = decompress_int8(bytes, &limits);
    let twin = decompress_int8_reference(bytes, &limits);
    match (fast, twin) {
        (Ok((float, out)), Ok((twin_float, values))) => {
            assert_eq!((float, out.len()), (twin_float, values.len() * float.width()));
            assert!(out.len() as u64 <= LIMIT);
        }
        (Err(_), Err(_)) => {}
        (fast, twin) => panic!("{fast:?} {twin:?}"),
    }
}

fn check_bound(bytes: &[u8], group: usize) {
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|element| f32::from_le_bytes(element.try_into().expect("four bytes")))
        .collect();
    let packed = compress_int8_f32(&values, &Int8Config::new().group_values(group));
    if values.iter().any(|value| !value.is_finite()) {
        assert!(packed.is_err());
        return;
    }
    let packed = packed.expect("finite values");
    let (float, _) = decompress_int8(&packed, &Limits::default()).expect("own bytes");
    assert_eq!(float, FloatType::F32);
    let back = decompress_int8_f32(&packed, &Limits::default()).expect("own bytes");
    for (values, back) in values.chunks(group).zip(back.chunks(group)) {
        let largest = values.iter().fold(0f64, |max, value| max.max(f64::from(value.abs())));
        let bound = largest / 254.0 * (1.0 + 2f64.powi(-14)) + 2f64.powi(-142);
        for (value, back) in values.iter().zip(back) {
            assert!((f64::from(*value) - f64::from(*back)).abs() <= bound);
        }
    }
}

/// A header of a small state and a payload that are checked right.
fn forged_state(flags: u8, count: u8, payload: &[u8]) -> Vec<u8> {
    let mut state = b"SGTK\x01".to_vec();
    let tokens = 1 + (count >> 3 & 7);
    state.extend_from_slice(&[flags >> 3 & 3, flags >> 5, tokens, count & 7, 1 + (count >> 6)]);
    let check32 = xxhash_rust::xxh64::xxh64(&state, 0) as u32;
    state.extend_from_slice(&check32.to_le_bytes());
    state.extend_from_slice(payload);
    let check32 = xxhash_rust::xxh3::xxh3_64(payload) as u32;
    state.extend_from_slice(&check32.to_le_bytes());
    state
}

fn check_state(bytes: &[u8]) {
    let limits = Limits::default().output_bytes_max(LIMIT);
    let fast = decompress_kv(bytes, &limits);
    let twin = decompress_kv_reference(bytes, &limits);
    match (fast, twin) {
        (Ok((float, out)), Ok((twin_float, values))) => {
            assert_eq!((float, out.len()), (twin_float, values.len() * float.width()));
            assert!(out.len() as u64 <= LIMIT);
            let wide = decompress_kv_f32(bytes, &Limits::default()).expect("decoded before");
            for (wide, value) in wide.iter().zip(values) {
                assert_eq!(f64::from(*wide), value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)));
            }
        }
        (Err(_), Err(_)) => {}
        (fast, twin) => panic!("{fast:?} {twin:?}"),
    }
}

fn check_state_bound(bytes: &[u8], channels: usize, percent: usize) {
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|element| f32::from_le_bytes(element.try_into().expect("four bytes")))
        .collect();
    let tokens = values.len() / channels;
    let values = &values[..tokens * channels];
    let percent = u32::try_from(percent).expect("a byte").clamp(1, 200);
    let config = KvConfig::new().step_percent(percent).block_tokens(16);
    let packed = compress_kv_f32(values, KvShape::new(tokens, channels), &config);
    if tokens == 0 || values.iter().any(|value| !value.is_finite()) {
        assert!(packed.is_err());
        return;
    }
    let packed = packed.expect("finite values");
    let back = decompress_kv_f32(&packed, &Limits::default()).expect("own bytes");
    for (values, back) in values.chunks(16 * channels).zip(back.chunks(16 * channels)) {
        for channel in 0..channels {
            let own = || values.iter().skip(channel).step_by(channels).map(|v| f64::from(*v));
            let count = own().count() as f64;
            let mean = own().sum::<f64>() / count;
            let square = own().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let far = own().fold(0f64, |far, value| far.max((value - mean).abs()));
            let step = (f64::from(percent) / 100.0 * square.sqrt())
                .max(far / 126.0)
                .max(mean.abs() / 16_256.0)
                .max(2f64.powi(-126));
            let bound = step * 1.125 * (1.0 + 2f64.powi(-7) + 2f64.powi(-10)) / 2.0;
            for (value, back) in own().zip(back.iter().skip(channel).step_by(channels)) {
                assert!((value - f64::from(*back)).abs() <= bound);
            }
        }
    }
}
