//! Any bytes are refused or decode to a Kll that encodes to the same bytes and can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::quantiles::Kll;

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = Kll::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let body = data.len() - 8;
    assert_eq!(bytes[..body], data[..body]);
    if sketch.count() > u64::MAX / 4 {
        return; // more numbers than a stream can hold
    }
    sketch.insert(1.5);
    for step in 0..=16 {
        let value = sketch.quantile(f64::from(step) / 16.0).expect("not empty");
        assert!(value.is_finite());
    }
    let other = sketch.clone();
    sketch.merge(&other).expect("the same shape");
    Kll::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
