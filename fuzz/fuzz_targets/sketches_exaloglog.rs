//! Any bytes are refused or decode to an ExaLogLog or UltraLogLog that encodes to the same bytes and
//! can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::distinct::{Exa, LogLogSketch, Shape, Ultra};

fn decode<S: Shape>(data: &[u8]) {
    let Ok(mut sketch) = LogLogSketch::<S>::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    sketch.insert(&1_u64);
    assert!(sketch.estimate() > 0.0);
    sketch.reduce_precision(4).expect("4 is the least precision");
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    assert_eq!(sketch, other);
    LogLogSketch::<S>::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
}

fuzz_target!(|data: &[u8]| {
    decode::<Exa>(data);
    decode::<Ultra>(data);
});
