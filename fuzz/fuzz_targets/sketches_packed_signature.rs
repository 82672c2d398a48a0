//! Any bytes are refused or decode to a PackedSignature that encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::similarity::PackedSignature;

fuzz_target!(|data: &[u8]| {
    let Ok(signature) = PackedSignature::from_bytes(data) else { return };
    let body = data.len() - 8;
    assert_eq!(signature.to_bytes()[..body], data[..body]);
    assert_eq!(signature.jaccard(&signature), Ok(1.0));
});
