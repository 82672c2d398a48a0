//! Any bytes as the payload of a frame that copies from a base: the fast decoder and the plain twin make the
//! same content of it (seen by its checksum), or both refuse it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigma_lang::{
    Config, DictionaryRegistry, Limits, SigmaError, compress_with_base, decompress_with_base, reference,
};

const LIMIT: u64 = 1 << 20;

static BASE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..4096u32).flat_map(|n| (n * n / 5).to_le_bytes()).collect());

/// The header of a container of one frame against the base, then the magic of a tagged frame and the tag.
static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let packed = compress_with_base(&BASE, &BASE, &Config::new()).expect("compresses");
    let header_bytes = 8 + usize::from(packed[4]);
    packed[..header_bytes + 5].to_vec()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&[low, high], payload)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let content_bytes = (u64::from(low) | u64::from(high) << 8) + payload.len() as u64 + 1;
    let mut packed = HEAD.clone();
    for mut number in [content_bytes, payload.len() as u64] {
        while number >= 0x80 {
            packed.push(number as u8 | 0x80);
            number >>= 7;
        }
        packed.push(number as u8);
    }
    packed.extend_from_slice(payload);
    packed.extend_from_slice(&[0; 4]);

    let limits = Limits::default().output_bytes_max(LIMIT).frame_bytes_max(LIMIT);
    let twin = reference::decompress(&packed, &limits, &DictionaryRegistry::new(), Some(&BASE));
    let fast = decompress_with_base(&BASE, &packed, &limits);
    match (&fast, &twin) {
        (
            Err(SigmaError::ChecksumMismatch { computed, .. }),
            Err(SigmaError::ChecksumMismatch {
                computed: expected, ..
            }),
        ) => assert_eq!(computed, expected),
        (Err(SigmaError::ChecksumMismatch { .. }), _)
        | (_, Err(SigmaError::ChecksumMismatch { .. })) => panic!("{fast:?} {twin:?}"),
        (Ok(content), Ok(expected)) => assert_eq!(content, expected),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{fast:?} {twin:?}"),
        (Err(_), Err(_)) => {}
    }
});
