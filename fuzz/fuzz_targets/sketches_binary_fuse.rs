//! Any bytes are refused or decode to a BinaryFuse8 that encodes to the same bytes and can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::BinaryFuse8;

fuzz_target!(|data: &[u8]| {
    let Ok(filter) = BinaryFuse8::from_bytes(data) else { return };
    let bytes = filter.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    let keys: Vec<u64> = (0..50).collect();
    let mut found = Vec::new();
    filter.contains_each(&keys, &mut found);
    for (key, found) in keys.iter().zip(found) {
        assert_eq!(filter.contains(key), found);
    }
});
