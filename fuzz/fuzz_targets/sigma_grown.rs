//! Any bytes as the payload of a frame that copies from a base: the fast decoder and the plain twin make the
//! same content of it (seen by its checksum), or both refuse it.
#![no_main]

#[path = "sigma/twins.rs"]
mod twins;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigma_lang::{Config, DictionaryRegistry, compress_with_base, decompress_with_base, reference};

const TAG_GROWN: u8 = 5;

static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..4096u32)
        .flat_map(|n| (n * n / 5).to_le_bytes())
        .collect()
});

/// The header of a container of one frame against the base, then the magic of a tagged frame.
static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let packed = compress_with_base(&BASE, &BASE, &Config::new()).expect("compresses");
    let header_bytes = 8 + usize::from(packed[4]);
    packed[..header_bytes + 4].to_vec()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&[low, high], payload)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let more = u16::from_le_bytes([low, high]);
    let packed = twins::container(&HEAD, TAG_GROWN, more, payload);
    let limits = twins::limits();
    let twin = reference::decompress(&packed, &limits, &DictionaryRegistry::new(), Some(&BASE));
    let fast = decompress_with_base(&BASE, &packed, &limits);
    twins::expect_agreement(&fast, &twin);
});
