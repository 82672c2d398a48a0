//! Tokens to payloads.

use super::super::streams::{Effort, StreamEncoder, reserve};
use super::matcher::{Parts, Search, Tables, take_apart};
use super::{TOKEN_BITS_MAX, Tokens, planes_of, shift_of};
use crate::error::SigmaError;
use crate::simd::{self, Kernel};

/// Entries of the table, as a power of two: no more than the content has tokens.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 10..=15;
/// The same where speed does not come first, and of the table of pairs.
const TABLE_BITS_MORE: std::ops::RangeInclusive<u32> = 10..=17;
const PAIR_BITS: u32 = 13;
/// Bytes from which a pair is too far away to be worth a reference.
const PAIR_REACH: usize = 16 << 10;

/// Room that is used again.
#[derive(Debug, Default)]
pub(crate) struct TokenScratch {
    tokens: Vec<u8>,
    plane: Vec<u8>,
    tables: Tables,
    parts: Parts,
}

/// Bits of the largest element, or nothing if that is no token.
pub(super) fn bits_of(content: &[u8], width: usize) -> Option<u32> {
    let all = match width {
        2 => simd::run(Union::<2>(content)),
        4 => simd::run(Union::<4>(content)),
        _ => simd::run(Union::<8>(content)),
    };
    Some(bits_in(all)).filter(|&bits| bits <= TOKEN_BITS_MAX)
}

/// Appends the payload of `content`. False, and nothing appended, if its elements are no tokens or there is none.
pub(crate) fn encode(
    shape: Tokens,
    content: &[u8],
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<bool, SigmaError> {
    let count = content.len() / shape.width;
    if count == 0 {
        return Ok(false);
    }
    let mut scratch = std::mem::take(&mut streams.tokens);
    let (elements, tail) = content.split_at(count * shape.width);
    let narrowed = &mut scratch.tokens;
    let mut token_bytes = if shape.bits_seen > 16 { 4 } else { 2 };
    let mut bits = narrow(elements, shape.width, token_bytes, narrowed)?;
    if token_bytes == 2 && bits > 16 {
        token_bytes = 4;
        bits = narrow(elements, shape.width, token_bytes, narrowed)?;
    }
    if bits > TOKEN_BITS_MAX {
        streams.tokens = scratch;
        return Ok(false);
    }
    let tokens = if token_bytes == shape.width {
        elements
    } else {
        narrowed
    };
    let far_bits = if streams.fast {
        count.ilog2().clamp(*TABLE_BITS.start(), *TABLE_BITS.end())
    } else {
        let (least, most) = (*TABLE_BITS_MORE.start(), *TABLE_BITS_MORE.end());
        count.ilog2().clamp(least, most)
    };
    let search = Search {
        far_bits,
        near: (!streams.fast).then_some((PAIR_BITS, PAIR_REACH)),
    };
    let (tables, parts) = (&mut scratch.tables, &mut scratch.parts);
    if token_bytes == 2 {
        take_apart::<2>(tokens, search, tables, parts);
    } else {
        take_apart::<4>(tokens, search, tables, parts);
    }
    let [width, ..] = shape.width.to_le_bytes();
    let [bits_byte, ..] = bits.to_le_bytes();
    out.extend_from_slice(&[width, bits_byte]);
    for index in 0..planes_of(bits) {
        let shift = (shift_of(bits), index);
        split(parts.literals(), token_bytes, shift, &mut scratch.plane);
        streams.write(&scratch.plane, Effort::Symbols, out)?;
    }
    for (stream, effort) in [
        (parts.heads(), Effort::Symbols),
        (parts.offsets(), Effort::Symbols),
        (parts.more.as_slice(), Effort::Symbols),
        (parts.bits(), Effort::Store),
    ] {
        streams.write(stream, effort, out)?;
    }
    out.extend_from_slice(tail);
    streams.tokens = scratch;
    Ok(true)
}

/// Bits of the largest of numbers, of which this is all together, bit by bit.
fn bits_in(all: u64) -> u32 {
    (64 - all.leading_zeros()).max(1)
}

/// All elements together, bit by bit.
struct Union<'a, const W: usize>(&'a [u8]);

impl<const W: usize> Kernel<u64> for Union<'_, W> {
    #[inline(always)]
    fn run(self) -> u64 {
        let (elements, _) = self.0.as_chunks::<W>();
        let mut all = 0;
        for element in elements {
            all |= word_of(element);
        }
        all
    }
}

/// Puts the low bytes of each element in place of what is in `tokens`, unless that is all of it. Bits of the
/// largest element.
fn narrow(
    elements: &[u8],
    width: usize,
    token_bytes: usize,
    tokens: &mut Vec<u8>,
) -> Result<u32, SigmaError> {
    tokens.clear();
    if width != token_bytes {
        reserve(tokens, elements.len() / width * token_bytes)?;
    }
    let all = match (width, token_bytes) {
        (4, 2) => simd::run(Narrow::<4, 2> { elements, tokens }),
        (8, 2) => simd::run(Narrow::<8, 2> { elements, tokens }),
        (2, 4) => simd::run(Narrow::<2, 4> { elements, tokens }),
        (8, _) => simd::run(Narrow::<8, 4> { elements, tokens }),
        (4, _) => simd::run(Union::<4>(elements)),
        _ => simd::run(Union::<2>(elements)),
    };
    Ok(bits_in(all))
}

struct Narrow<'a, const W: usize, const N: usize> {
    elements: &'a [u8],
    tokens: &'a mut Vec<u8>,
}

impl<const W: usize, const N: usize> Kernel<u64> for Narrow<'_, W, N> {
    #[inline(always)]
    fn run(self) -> u64 {
        const BLOCK: usize = 128;
        let (elements, _) = self.elements.as_chunks::<W>();
        let mut block = [[0u8; N]; BLOCK];
        let mut all = 0;
        for elements in elements.chunks(BLOCK) {
            for (token, element) in block.iter_mut().zip(elements) {
                let word = word_of(element);
                all |= word;
                for (to, from) in token.iter_mut().zip(word.to_le_bytes()) {
                    *to = from;
                }
            }
            let (block, _) = block.split_at_checked(elements.len()).unwrap_or_default();
            self.tokens.extend_from_slice(block.as_flattened());
        }
        all
    }
}

/// The number of an element.
#[inline(always)]
fn word_of<const W: usize>(element: &[u8; W]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(element) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// Byte `index` of every token, shifted up.
fn split(tokens: &[u8], token_bytes: usize, shift: (u32, usize), plane: &mut Vec<u8>) {
    plane.clear();
    if token_bytes == 2 {
        simd::run(Split::<2>(tokens, shift, plane));
    } else {
        simd::run(Split::<4>(tokens, shift, plane));
    }
}

struct Split<'a, const N: usize>(&'a [u8], (u32, usize), &'a mut Vec<u8>);

impl<const N: usize> Kernel<()> for Split<'_, N> {
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 256;
        let Split(tokens, (shift, index), plane) = self;
        let (tokens, _) = tokens.as_chunks::<N>();
        let down = 8 * index;
        let mut block = [0u8; BLOCK];
        for tokens in tokens.chunks(BLOCK) {
            for (byte, token) in block.iter_mut().zip(tokens) {
                let mut bytes = [0; 4];
                for (to, from) in bytes.iter_mut().zip(token) {
                    *to = *from;
                }
                [*byte, ..] = (u32::from_le_bytes(bytes) << shift >> down).to_le_bytes();
            }
            let (block, _) = block.split_at_checked(tokens.len()).unwrap_or_default();
            plane.extend_from_slice(block);
        }
    }
}
