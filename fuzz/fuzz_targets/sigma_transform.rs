//! Any bytes as the payload of a transformed frame: the fast decoder and the plain twin make the
//! same content of it (seen by its checksum), or both refuse it.
#![no_main]

#[path = "sigma/twins.rs"]
mod twins;

use libfuzzer_sys::fuzz_target;
use sigma_lang::{Decompressor, DictionaryRegistry, reference};

/// The header of a container of one frame, then the magic of a tagged frame.
const HEAD: &[u8; 21] = b"\x53\x2a\x4d\x18\x09\x00\x00\x00SGL\x01\x00\x62\x26\x5c\xf1SGF1";

fuzz_target!(|bytes: &[u8]| {
    let Some((&[tag, low, high], payload)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let more = u16::from_le_bytes([low, high]);
    let packed = twins::container(HEAD, 2 + tag % 7, more, payload);
    let limits = twins::limits();
    let twin = reference::decompress(&packed, &limits, &DictionaryRegistry::new(), None);
    let mut out = Vec::new();
    let fast = Decompressor::new(limits).decompress_into(&packed, &mut out);
    twins::expect_agreement(&fast.map(|()| out), &twin);
});
