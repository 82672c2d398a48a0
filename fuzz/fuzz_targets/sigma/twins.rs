//! A payload in a container of one tagged frame, and the fast decoder held to its plain twin.

use sigma_lang::{Limits, SigmaError};

const LIMIT: u64 = 1 << 20;

/// Limits under which no input takes long.
pub fn limits() -> Limits {
    Limits::default()
        .output_bytes_max(LIMIT)
        .frame_bytes_max(LIMIT)
}

/// A frame whose payload is the content, and which states one length only.
const TAG_NOISE: u8 = 4;

/// A container of one tagged frame: `head` is all before the frame's tag; the frame states as many content
/// bytes as the payload has, and `more` and one more, but for a noise frame; its check is 0.
pub fn container(head: &[u8], tag: u8, more: u16, payload: &[u8]) -> Vec<u8> {
    let mut container = head.to_vec();
    container.push(tag);
    let payload_bytes = payload.len() as u64;
    let content_bytes = u64::from(more) + payload_bytes + 1;
    let skipped = usize::from(tag == TAG_NOISE);
    for mut number in [content_bytes, payload_bytes].into_iter().skip(skipped) {
        while number >= 0x80 {
            container.push(number as u8 | 0x80);
            number >>= 7;
        }
        container.push(number as u8);
    }
    container.extend_from_slice(payload);
    container.extend_from_slice(&[0; 4]);
    container
}

/// Both make the same content, seen by its checksum where that is wrong, or both refuse.
pub fn expect_agreement(fast: &Result<Vec<u8>, SigmaError>, twin: &Result<Vec<u8>, SigmaError>) {
    match (fast, twin) {
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
}
