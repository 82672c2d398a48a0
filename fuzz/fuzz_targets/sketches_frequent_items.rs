//! Any bytes are refused or decode to a FrequentItems that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::top_k::FrequentItems;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = FrequentItems::<u64>::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.add(7_u64, 3);
    assert!(sketch.get(&7).is_some_and(|heavy| heavy.count >= 3));
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    FrequentItems::<u64>::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
