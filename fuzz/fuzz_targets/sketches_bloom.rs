//! Any bytes are refused or decode to a BloomFilter that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::BloomFilter;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = BloomFilter::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.insert(&1_u64);
    assert!(sketch.contains(&1_u64));
    assert!(sketch.estimated_items() > 0.0);
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    BloomFilter::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
