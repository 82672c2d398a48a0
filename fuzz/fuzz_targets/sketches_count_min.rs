//! Any bytes are refused or decode to a CountMin that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::CountMin;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = CountMin::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    let before = sketch.estimate(&1_u64);
    sketch.add(&1_u64, 7);
    assert!(sketch.estimate(&1_u64) >= before);
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    CountMin::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
