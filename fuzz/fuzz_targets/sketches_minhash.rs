//! Any bytes are refused or decode to a Signature that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::Signature;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = Signature::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    let other = sketch.clone();
    assert_eq!(sketch.jaccard(&other), Ok(1.0));
    sketch.merge(&other).expect("the same shape");
    Signature::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
