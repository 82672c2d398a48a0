//! Any bytes are refused or decode to a keyed sketch that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::{
    BloomFilter, HyperLogLog,
    hash::{HashSketch, InsertHash, Keyed, SipKey},
};

fn check<S: HashSketch + InsertHash>(data: &[u8]) {
    let key = SipKey::new([1, 2]);
    // The identity of the key cannot be guessed: put it where it belongs.
    let mut bytes = data.to_vec();
    if let Some(place) = bytes.get_mut(8..16) {
        place.copy_from_slice(&key.id().to_le_bytes());
    }
    let Ok(mut sketch) = Keyed::<S>::from_bytes(&bytes, key.clone()) else { return };
    let body = bytes.len() - 8;
    assert_eq!(sketch.to_bytes()[..body], bytes[..body]);
    sketch.insert("a key");
    Keyed::<S>::from_bytes(&sketch.to_bytes(), key).expect("a used sketch can be read again");
}

fuzz_target!(|data: &[u8]| {
    check::<BloomFilter>(data);
    check::<HyperLogLog>(data);
});
