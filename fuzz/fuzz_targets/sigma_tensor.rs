//! Any bytes as a quantised tensor, and behind a valid header: the decoder and the plain twin agree.
//! And any finite floats as a tensor: they come back within the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_lang::tensor::{
    FloatType, Int8Config, compress_int8_f32, decompress_int8, decompress_int8_f32,
    decompress_int8_reference,
};
use sigma_lang::{Config, Limits};

const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, count], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    match flags % 3 {
        0 => check(bytes),
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
