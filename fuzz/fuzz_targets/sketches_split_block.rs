//! Any bytes are refused or decode to a SplitBlockBloom that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::SplitBlockBloom;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = SplitBlockBloom::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.insert(&1_u64);
    assert!(sketch.contains(&1_u64));
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    SplitBlockBloom::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
