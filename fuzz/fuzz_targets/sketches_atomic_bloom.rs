//! Any bytes are refused or decode to an AtomicBloom that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::membership::AtomicBloom;

fuzz_target!(|data: &[u8]| {
    let Ok(filter) = AtomicBloom::from_bytes(data) else { return };
    let bytes = filter.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    filter.insert(&1_u64);
    assert!(filter.contains(&1_u64));
    filter.clone().merge(&filter).expect("the same shape");
    AtomicBloom::from_bytes(&filter.to_bytes()).expect("a used filter can be read again");
});
