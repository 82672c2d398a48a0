//! Decoding of LZ4 blocks ([format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md)).
//!
//! Runs of one byte are filled and overlapping matches copied by doubling, where `lz4_flex` goes
//! byte by byte. `lz4_flex` encodes what is long; the tests hold this decoder to it and to a plain twin.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// What short literals and matches are copied by.
const CHUNK_BYTES: usize = 16;
const MATCH_BYTES_MIN: usize = 4;
/// The most that a block grows by: a length byte of 255 stands for 255 bytes.
const EXPANSION_MAX: usize = 255;

/// Whether a block of this length can hold `raw_bytes` bytes.
pub(crate) fn may_hold(block_bytes: usize, raw_bytes: usize) -> bool {
    raw_bytes <= block_bytes.saturating_mul(EXPANSION_MAX)
}

/// Decodes `block` into the whole of `output`; `None` where it is no block of just that length.
/// What `output` held does not matter, and after `None` neither does what it holds.
pub(crate) fn decode(block: &[u8], output: &mut [u8]) -> Option<()> {
    let (mut at, mut end) = (0, 0);
    loop {
        let token = *block.get(at)?;
        at += 1;
        let literals = usize::from(token >> 4);
        if literals < 15
            && let Some(from) = chunk(block, at)
            && let Some(to) = chunk_mut(output, end)
        {
            // What is copied too far is written again.
            *to = from;
            at += literals;
            end += literals;
        } else {
            let literals = length(literals, block, &mut at)?;
            let from = block.get(at..at.checked_add(literals)?)?;
            output
                .get_mut(end..end.checked_add(literals)?)?
                .copy_from_slice(from);
            at += literals;
            end += literals;
            if at == block.len() {
                return (end == output.len()).then_some(());
            }
        }
        let distance = block.get(at..)?.first_chunk::<2>()?;
        let distance = usize::from(u16::from_le_bytes(*distance));
        at += 2;
        let bytes =
            length(usize::from(token & 15), block, &mut at)?.checked_add(MATCH_BYTES_MIN)?;
        repeat(output, end, distance, bytes)?;
        end += bytes;
    }
}

/// A length of four bits and, where those are all ones, the bytes that are added to it.
fn length(bits: usize, block: &[u8], at: &mut usize) -> Option<usize> {
    let mut length = bits;
    if bits == 15 {
        loop {
            let byte = *block.get(*at)?;
            *at += 1;
            length = length.checked_add(usize::from(byte))?;
            if byte != u8::MAX {
                break;
            }
        }
    }
    Some(length)
}

/// Writes `bytes` bytes at `end` that repeat those `distance` before.
fn repeat(output: &mut [u8], end: usize, distance: usize, bytes: usize) -> Option<()> {
    let from = end.checked_sub(distance).filter(|_| distance > 0)?;
    if bytes > output.len().checked_sub(end)? {
        return None;
    }
    if distance >= CHUNK_BYTES && bytes <= 2 * CHUNK_BYTES && end + 2 * CHUNK_BYTES <= output.len()
    {
        for step in [0, CHUNK_BYTES] {
            let copy = chunk(output, from + step)?;
            *chunk_mut(output, end + step)? = copy;
        }
        return Some(());
    }
    if distance == 1 {
        let byte = *output.get(from)?;
        output.get_mut(end..end + bytes)?.fill(byte);
        return Some(());
    }
    let mut done = 0;
    while done < bytes {
        let step = (distance + done).min(bytes - done);
        output.copy_within(from..from + step, end + done);
        done += step;
    }
    Some(())
}

fn chunk(bytes: &[u8], at: usize) -> Option<[u8; CHUNK_BYTES]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn chunk_mut(bytes: &mut [u8], at: usize) -> Option<&mut [u8; CHUNK_BYTES]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}

#[cfg(test)]
pub(crate) use tests::text;

#[cfg(test)]
mod tests {
    use lz4_flex::block::compress;
    use proptest::prelude::*;

    use super::*;

    fn decoded(block: &[u8], raw_bytes: usize) -> Option<Vec<u8>> {
        let mut output = vec![0xa5; raw_bytes];
        decode(block, &mut output).map(|()| output)
    }

    /// Text of runs, repeats with small and large distances, and noise.
    pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            (any::<u8>(), 0..600_usize).prop_map(|(byte, count)| vec![byte; count]),
            (prop::collection::vec(any::<u8>(), 1..40), 1..30_usize)
                .prop_map(|(part, count)| part.repeat(count)),
            prop::collection::vec(any::<u8>(), 0..400),
            prop::collection::vec(0..4_u8, 0..400),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn decodes_what_the_encoder_wrote(text in text()) {
            let block = compress(&text);
            prop_assert_eq!(decoded(&block, text.len()), Some(text.clone()));
            prop_assert_eq!(decoded(&block, text.len() + 1), None);
            if let Some(less) = text.len().checked_sub(1) {
                prop_assert_eq!(decoded(&block, less), None);
            }
        }

        #[test]
        fn takes_of_any_bytes_what_the_plain_twin_takes(
            text in text(), changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
            cut in any::<u16>(),
        ) {
            let mut block = compress(&text);
            for (position, byte) in changes {
                let count = block.len();
                block[usize::from(position) % count] = byte;
            }
            block.truncate(block.len().saturating_sub(usize::from(cut) % 3));
            let twin = plainly(&block, text.len() + 70_000);
            let twin = twin.filter(|raw| raw.len() == text.len());
            prop_assert_eq!(decoded(&block, text.len()), twin);
        }
    }

    /// The plain twin: one byte after another, as the format is described.
    fn plainly(block: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let mut rest = block.iter().copied();
        let mut output = Vec::new();
        let length = |bits: u8, rest: &mut dyn Iterator<Item = u8>| {
            let mut length = usize::from(bits);
            let mut more = bits == 15;
            while more {
                let byte = rest.next()?;
                length += usize::from(byte);
                more = byte == 255;
            }
            Some(length)
        };
        loop {
            let token = rest.next()?;
            for _ in 0..length(token >> 4, &mut rest)? {
                output.push(rest.next()?);
            }
            let Some(low) = rest.next() else {
                return Some(output);
            };
            let distance = usize::from(u16::from_le_bytes([low, rest.next()?]));
            for _ in 0..length(token & 15, &mut rest)? + 4 {
                let from = output.len().checked_sub(distance)?;
                output.push(*output.get(from)?);
            }
            if output.len() > bytes_max {
                return None;
            }
        }
    }

    #[test]
    fn a_long_length_needs_all_its_bytes() {
        for bytes in 0..600 {
            let mut block = vec![0xf0];
            block.resize(bytes + 1, 0xff);
            assert_eq!(decoded(&block, 1 << 20), None);
        }
        assert!(may_hold(10, 2550) && !may_hold(10, 2551) && may_hold(usize::MAX, usize::MAX));
    }
}
