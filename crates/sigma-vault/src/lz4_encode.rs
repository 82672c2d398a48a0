//! Encoding of short LZ4 blocks ([format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md)),
//! greedy with one candidate per hash, as the reference's fast mode.
//!
//! For values of about a kilobyte `lz4_flex` spends much of its time on clearing a table made for
//! 64 KiB; here the table is as large as the value wants. Longer ones are left to it.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// Longer values are not for this encoder.
pub(crate) const INPUT_BYTES_MAX: usize = 4096;
const MATCH_BYTES_MIN: usize = 4;
/// No match begins within so many bytes of the end, and none reaches into the last five.
const MATCH_START_END_BYTES: usize = 12;
const LITERALS_END_BYTES: usize = 5;
/// After so many tries in vain, as a power of two, every second position is tried, and so on.
const PATIENCE_BITS: usize = 5;

/// Appends the block for `input`, at most [`INPUT_BYTES_MAX`] bytes long, to `output`; false, and
/// nothing appended, where it would be longer than `bytes_max`.
pub(crate) fn encode(input: &[u8], bytes_max: usize, output: &mut Vec<u8>) -> bool {
    let before = output.len();
    let fits = if input.len() <= 512 {
        encode_with::<256>(input, bytes_max, output)
    } else {
        encode_with::<1024>(input, bytes_max, output)
    };
    if fits.is_none() {
        output.truncate(before);
    }
    fits.is_some()
}

/// `SLOTS`, a power of two, is the size of the table.
fn encode_with<const SLOTS: usize>(
    input: &[u8],
    bytes_max: usize,
    output: &mut Vec<u8>,
) -> Option<()> {
    let end_max = output.len().checked_add(bytes_max)?;
    output.reserve(bytes_max.min(input.len()));
    // Position 0 stands for none as well: the bytes there are compared in any case.
    let mut table = [0_u16; SLOTS];
    let (mut at, mut done) = (1, 0);
    let last = input.len().saturating_sub(MATCH_START_END_BYTES);
    while let Some((mut start, mut from)) = next_match(input, &mut table, at, last) {
        from = run_or(input, start, from)?;
        while start > done && from > 0 && input.get(start - 1) == input.get(from - 1) {
            (start, from) = (start - 1, from - 1);
        }
        let end = input.len() - LITERALS_END_BYTES;
        let bytes = common(input.get(start..end)?, input.get(from..)?);
        let literals = input.get(done..start)?;
        if output.len() + literals.len() + 3 > end_max {
            return None;
        }
        let token = output.len();
        output.push(0);
        let high = lengths(literals.len(), output);
        output.extend_from_slice(literals);
        output.extend_from_slice(&u16::try_from(start - from).ok()?.to_le_bytes());
        let low = lengths(bytes - MATCH_BYTES_MIN, output);
        *output.get_mut(token)? = high << 4 | low;
        done = start + bytes;
        at = done;
    }
    let literals = input.get(done..)?;
    let token = output.len();
    output.push(0);
    *output.get_mut(token)? = lengths(literals.len(), output) << 4;
    output.extend_from_slice(literals);
    (output.len() <= end_max).then_some(())
}

/// The next position, from `at` to before `last`, whose four bytes stood earlier, and where.
#[inline(always)]
fn next_match<const SLOTS: usize>(
    input: &[u8],
    table: &mut [u16; SLOTS],
    mut at: usize,
    last: usize,
) -> Option<(usize, usize)> {
    let mut tries = 1 << PATIENCE_BITS;
    while at < last {
        let word = word_at(input, at)?;
        let hash = word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOTS.trailing_zeros());
        let slot = table.get_mut(usize::try_from(hash).ok()?)?;
        let from = usize::from(*slot);
        *slot = u16::try_from(at).ok()?;
        if word_at(input, from)? == word {
            return Some((at, from));
        }
        at += tries >> PATIENCE_BITS;
        tries += 1;
    }
    None
}

/// What stands before the match, if that is a run of one byte and no shorter so: decoders fill one at
/// once, where they copy other repetitions of less than a line piece by piece.
#[inline(always)]
fn run_or(input: &[u8], start: usize, from: usize) -> Option<usize> {
    const NEAR: usize = 64;
    let before = start.checked_sub(1)?;
    if from == before || start - from > NEAR || word_at(input, before)? != word_at(input, start)? {
        return Some(from);
    }
    let (rest, near) = (input.get(start..)?, input.get(before..)?);
    let is_run = common(rest, near) >= common(rest, input.get(from..)?);
    Some(if is_run { before } else { from })
}

#[inline(always)]
fn word_at(input: &[u8], at: usize) -> Option<u32> {
    let bytes = input.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// How many bytes the two have in common at their beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 16;
    let (ones, _) = one.as_chunks::<STEP>();
    let (others, _) = other.as_chunks::<STEP>();
    let equal = ones.iter().zip(others).take_while(|(a, b)| a == b);
    let same = equal.count() * STEP;
    let rest = one.iter().skip(same).zip(other.iter().skip(same));
    same + rest.take_while(|(a, b)| a == b).count()
}

/// The four bits for a length, whose rest is appended.
fn lengths(length: usize, output: &mut Vec<u8>) -> u8 {
    if let Ok(length @ 0..15) = u8::try_from(length) {
        return length;
    }
    let mut rest = length - 15;
    while rest >= 255 {
        output.push(255);
        rest -= 255;
    }
    output.push(u8::try_from(rest).unwrap_or(u8::MAX));
    15
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::{compress, decompress};
    use proptest::prelude::*;

    use super::*;

    fn encoded(input: &[u8]) -> Vec<u8> {
        let mut output = b"before".to_vec();
        assert!(encode(input, usize::MAX - 6, &mut output));
        assert_eq!(output.drain(..6).as_slice(), b"before");
        output
    }

    /// The block is one for `lz4_flex` and for our decoder, and the limit is kept to the byte.
    fn check(input: &[u8]) {
        let block = encoded(input);
        assert_eq!(decompress(&block, input.len()).unwrap(), input);
        let mut output = vec![0xa5; input.len()];
        assert_eq!(crate::lz4::decode(&block, &mut output), Some(()));
        assert_eq!(output, input);
        for (bytes_max, fits) in [(block.len(), true), (block.len() - 1, false)] {
            let mut output = vec![7];
            assert_eq!(encode(input, bytes_max, &mut output), fits);
            assert_eq!(output.len(), 1 + if fits { block.len() } else { 0 });
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in crate::lz4::text()) {
            check(text.get(..INPUT_BYTES_MAX).unwrap_or(&text));
        }
    }

    #[test]
    fn short_and_long_runs_come_back() {
        for bytes in (0..40).chain([254, 255, 256, 270, 511, 512, 513, 4000, INPUT_BYTES_MAX]) {
            check(&vec![0; bytes]);
            let mixed = (0..bytes).map(|n| u8::try_from(n * n / 7 % 251).unwrap());
            let mixed: Vec<u8> = mixed.collect();
            check(&mixed);
        }
    }

    #[test]
    fn a_run_repeats_the_byte_before_it() {
        let noise = |n: u32| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap();
        let mut value: Vec<u8> = (0..512).map(noise).collect();
        value.resize(1024, 0);
        let block = encoded(&value);
        // Token, two more bytes for 513 literals, then the distance.
        assert_eq!(block[516..518], [1, 0]);
        check(&value);
        // A longer match that is no run is taken: "abc" and the run stood before.
        let mut again = b"0123456789".to_vec();
        for _ in 0..2 {
            again.extend_from_slice(&[7; 12]);
            again.extend_from_slice(b"abcdefghijklmnop");
        }
        again.extend_from_slice(&[9; 16]);
        check(&again);
    }

    /// Not much is given away for speed: the reference's table is larger and its patience longer.
    #[test]
    fn blocks_are_about_as_short_as_those_of_lz4_flex() {
        let text = include_bytes!("vault.rs");
        let (mut ours, mut theirs) = (0, 0);
        for bytes in [300, 1024, 4096] {
            for part in text.chunks_exact(bytes) {
                ours += encoded(part).len();
                theirs += compress(part).len();
            }
        }
        assert!(ours * 100 <= theirs * 105, "{ours} and {theirs}");
    }
}
