//! Any bytes are refused or decode to an OnePermutation that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::similarity::OnePermutation;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = OnePermutation::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.insert(&7_u64);
    assert_eq!(sketch.jaccard(&sketch), Ok(1.0));
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    OnePermutation::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
