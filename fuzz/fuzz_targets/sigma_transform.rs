//! Any bytes as the payload of a transformed frame: the fast decoder and the plain twin make the
//! same content of it (seen by its checksum), or both refuse it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_lang::{Decompressor, DictionaryRegistry, Limits, SigmaError, reference};

const LIMIT: u64 = 1 << 20;

/// The header of a container of one frame, then the magic of a tagged frame.
const HEAD: &[u8; 21] = b"\x53\x2a\x4d\x18\x09\x00\x00\x00SGL\x01\x00\x62\x26\x5c\xf1SGF1";

fuzz_target!(|bytes: &[u8]| {
    let Some((&[tag, low, high], payload)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let content_bytes = (u64::from(low) | u64::from(high) << 8) + payload.len() as u64 + 1;
    let mut frame = HEAD.to_vec();
    frame.push(2 + tag % 4);
    for mut number in [content_bytes, payload.len() as u64] {
        while number >= 0x80 {
            frame.push(number as u8 | 0x80);
            number >>= 7;
        }
        frame.push(number as u8);
    }
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&[0; 4]);

    let limits = Limits::default().output_bytes_max(LIMIT).frame_bytes_max(LIMIT);
    let twin = reference::decompress(&frame, &limits, &DictionaryRegistry::new(), None);
    let mut out = Vec::new();
    let fast = Decompressor::new(limits).decompress_into(&frame, &mut out);
    match (&fast, &twin) {
        (
            Err(SigmaError::ChecksumMismatch { computed, .. }),
            Err(SigmaError::ChecksumMismatch {
                computed: expected, ..
            }),
        ) => assert_eq!(computed, expected),
        (Err(SigmaError::ChecksumMismatch { .. }), _)
        | (_, Err(SigmaError::ChecksumMismatch { .. })) => panic!("{fast:?} {twin:?}"),
        (Ok(()), Ok(content)) => assert_eq!(&out, content),
        (Ok(()), Err(_)) | (Err(_), Ok(_)) => panic!("{fast:?} {twin:?}"),
        (Err(_), Err(_)) => {}
    }
});
