//! Any bytes are refused or decode to an ApacheHll that encodes stably, counts, merges and reduces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sketches::distinct::{ApacheHll, ApacheHllType};

fuzz_target!(|data: &[u8]| {
    let Ok(mut sketch) = ApacheHll::from_bytes(data) else { return };
    let bytes = sketch.to_bytes();
    let again = ApacheHll::from_bytes(&bytes).expect("what was written can be read");
    assert_eq!(again.to_bytes(), bytes);
    assert!(sketch.estimate() >= 0.0);
    for kind in [ApacheHllType::Hll4, ApacheHllType::Hll6, ApacheHllType::Hll8] {
        let other = sketch.clone().with_kind(kind);
        let read = ApacheHll::from_bytes(&other.to_bytes()).expect("every kind can be read");
        assert_eq!(read.estimate().to_bits(), other.estimate().to_bits());
    }
    (0..50).for_each(|key| sketch.insert_u64(key));
    sketch.merge(&again).expect("enough memory");
    sketch.reduce_precision(4).expect("a legal precision");
    assert!(sketch.estimate() > 0.0);
    ApacheHll::from_bytes(&sketch.to_bytes()).expect("a used sketch can be read again");
});
