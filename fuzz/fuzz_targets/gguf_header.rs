//! Arbitrary bytes as a GGUF header: no panic, and what is accepted lies inside the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ryot_inference::gguf::GgufHeader;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = GgufHeader::read(data, data.len() as u64) else { return };
    let mut spans = Vec::new();
    for tensor in header.tensors() {
        assert!(tensor.end() <= data.len() as u64);
        assert_eq!(header.tensor(&tensor.name), Some(tensor));
        let elements: u64 = tensor.shape.iter().product();
        let blocks = elements / tensor.kind.block_elements();
        assert_eq!(tensor.bytes, blocks * tensor.kind.block_bytes());
        spans.push((tensor.start, tensor.end()));
    }
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
});
