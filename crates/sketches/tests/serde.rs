//! Serde writes the bytes of the codec and reads them back through it.
#![cfg(feature = "serde")]

use sketches::{DdSketch, HyperLogLog, Signature, SpaceSaving};

#[test]
fn sketches_go_through_a_text_format() {
    let mut hll = HyperLogLog::new(10).unwrap();
    hll.extend(0..3_000_u32);
    let text = serde_json::to_string(&hll).unwrap();
    assert_eq!(serde_json::from_str::<HyperLogLog>(&text).unwrap(), hll);

    let mut top = SpaceSaving::new(3).unwrap();
    top.extend(["a", "b", "a"].map(String::from));
    let text = serde_json::to_string(&top).unwrap();
    let again: SpaceSaving<String> = serde_json::from_str(&text).unwrap();
    assert_eq!(again.top(3), top.top(3));
}

#[test]
fn damage_is_reported_by_the_codec() {
    let text = serde_json::to_string(&DdSketch::new(0.01).unwrap()).unwrap();
    let error = serde_json::from_str::<Signature>(&text)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("minhash: family code 80 in the bytes, expected 64"),
        "{error}"
    );
}
