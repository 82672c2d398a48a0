//! Any bytes are refused or decode to a SpaceSaving that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::SpaceSaving;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = SpaceSaving::<String>::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.add("key".into(), 7);
    assert!(sketch.top(usize::MAX).is_sorted_by(|a, b| a.count >= b.count));
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    SpaceSaving::<String>::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
