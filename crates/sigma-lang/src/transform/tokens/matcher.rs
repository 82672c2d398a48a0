//! Finds what comes again in a row of tokens.
//!
//! A table has one entry for each hash of the next three tokens: where they stood last, and bits of the hash
//! that tell them from others without a look at the place. Where more is searched, a second table knows pairs
//! of tokens, which are worth a reference only from near.

use super::{LENGTH_MIN, LENGTH_MORE, OFFSET_BIAS, RECENT};
use crate::frame::write_varint;
use crate::simd::{self, Kernel};

/// Tokens that were not found in a row, as a power of two, after which one more is passed over at each step.
const SKIP_BITS: u32 = 7;
/// Bytes of a copy whose length is not known beforehand.
const COPY: usize = 16;
const MIX: u64 = 0xCF1B_BCDC_B7A5_6463;

/// How much to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Search {
    /// Entries of the table of three tokens, as a power of two.
    pub(super) far_bits: u32,
    /// The same of pairs, and the bytes from which a pair is too far away.
    pub(super) near: Option<(u32, usize)>,
}

/// Tables, to be used again.
#[derive(Debug, Default)]
pub(super) struct Tables {
    far: Vec<u64>,
    near: Vec<u64>,
}

/// A row of tokens taken apart. Buffers keep their length from use to use; what counts is said beside.
#[derive(Debug, Default)]
pub(super) struct Parts {
    literals: Vec<u8>,
    literal_bytes: usize,
    heads: Vec<u8>,
    offsets: Vec<u8>,
    sequences: usize,
    pub(super) more: Vec<u8>,
    bits: BitWriter,
}

impl Parts {
    /// Tokens that do not come again, as they were.
    pub(super) fn literals(&self) -> &[u8] {
        self.literals.get(..self.literal_bytes).unwrap_or_default()
    }

    pub(super) fn heads(&self) -> &[u8] {
        self.heads.get(..self.sequences).unwrap_or_default()
    }

    pub(super) fn offsets(&self) -> &[u8] {
        self.offsets.get(..self.sequences).unwrap_or_default()
    }

    pub(super) fn bits(&self) -> &[u8] {
        self.bits.bytes.get(..self.bits.end()).unwrap_or_default()
    }

    fn clear(&mut self, bytes: usize, token_bytes: usize) {
        let sequences = bytes / token_bytes / LENGTH_MIN + 1;
        grow(&mut self.literals, bytes + COPY);
        grow(&mut self.heads, sequences);
        grow(&mut self.offsets, sequences);
        grow(&mut self.bits.bytes, 4 * sequences + 16);
        (self.literal_bytes, self.sequences) = (0, 0);
        self.more.clear();
        self.bits.clear();
    }

    /// Appends literals: whole copies, of which the last may reach further than what counts.
    #[inline(always)]
    fn push_literals(&mut self, tokens: &[u8], start: usize, bytes: usize) {
        let mut done = 0;
        while done < bytes {
            let from = tokens.get(start + done..);
            let to = self.literals.get_mut(self.literal_bytes + done..);
            let (Some(from), Some(to)) = (from, to) else {
                break;
            };
            match (from.first_chunk::<COPY>(), to.first_chunk_mut::<COPY>()) {
                (Some(from), Some(to)) => *to = *from,
                _ => {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = *from;
                    }
                }
            }
            done += COPY;
        }
        self.literal_bytes += bytes;
    }
}

fn grow(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
}

/// Bits from the lowest of the first byte on.
#[derive(Debug, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Whole bytes so far, and the bits of the one that is not.
    at: usize,
    left: u64,
    left_bits: u32,
}

impl BitWriter {
    fn clear(&mut self) {
        (self.at, self.left, self.left_bits) = (0, 0, 0);
    }

    /// Appends the low `bits` bits of `value`, at most 32, of which the others are 0.
    #[inline(always)]
    fn put(&mut self, value: u64, bits: u32) {
        self.left |= value << self.left_bits;
        self.left_bits += bits;
        let room = self.bytes.get_mut(self.at..);
        if let Some(room) = room.and_then(|room| room.first_chunk_mut::<8>()) {
            *room = self.left.to_le_bytes();
        }
        let whole = self.left_bits / 8;
        self.at += whole as usize;
        self.left >>= 8 * whole;
        self.left_bits %= 8;
    }

    fn end(&self) -> usize {
        self.at + usize::from(self.left_bits > 0)
    }
}

/// Takes apart a row of tokens of `N` bytes, 2 or 4, of which there is a whole number.
pub(super) fn take_apart<const N: usize>(
    tokens: &[u8],
    search: Search,
    tables: &mut Tables,
    parts: &mut Parts,
) {
    parts.clear(tokens.len(), N);
    let row = Row::<N> {
        tokens,
        anchor: 0,
        recent: [1, 2],
        parts,
    };
    tables.far.clear();
    tables.far.resize(1 << search.far_bits, 0);
    let far = tables.far.as_mut_slice();
    match search.near {
        None => simd::run(SearchFar { row, far }),
        Some((bits, reach)) => {
            tables.near.clear();
            tables.near.resize(1 << bits, 0);
            let near = tables.near.as_mut_slice();
            simd::run(SearchBoth {
                row,
                far,
                near,
                reach,
            });
        }
    }
}

struct SearchFar<'a, const N: usize> {
    row: Row<'a, N>,
    far: &'a mut [u64],
}

impl<const N: usize> Kernel<()> for SearchFar<'_, N> {
    #[inline(always)]
    fn run(mut self) {
        self.row.search_far(self.far);
        self.row.end();
    }
}

struct SearchBoth<'a, const N: usize> {
    row: Row<'a, N>,
    far: &'a mut [u64],
    near: &'a mut [u64],
    reach: usize,
}

impl<const N: usize> Kernel<()> for SearchBoth<'_, N> {
    #[inline(always)]
    fn run(mut self) {
        self.row.search_both(self.far, self.near, self.reach);
        self.row.end();
    }
}

/// A row and how far it is taken apart.
struct Row<'a, const N: usize> {
    tokens: &'a [u8],
    /// Where the tokens begin that are in no part yet.
    anchor: usize,
    /// The last offsets, in tokens.
    recent: [usize; 2],
    parts: &'a mut Parts,
}

impl<const N: usize> Row<'_, N> {
    /// The tokens from `place` on, if there are enough of them to look for them.
    #[inline(always)]
    fn window(&self, place: usize) -> Option<&[u8; 16]> {
        self.tokens.get(place..)?.first_chunk()
    }

    /// Whether two tokens from `place` on are those `back` bytes before.
    #[inline(always)]
    fn pair_repeats(&self, place: usize, back: usize) -> bool {
        let before = place.wrapping_sub(back);
        if N == 2 {
            let pair = |place| {
                let bytes = self.tokens.get(place..)?.first_chunk()?;
                Some(u32::from_le_bytes(*bytes))
            };
            pair(place).is_some_and(|own| pair(before) == Some(own))
        } else {
            let pair = |place| {
                let bytes = self.tokens.get(place..)?.first_chunk()?;
                Some(u64::from_le_bytes(*bytes))
            };
            pair(place).is_some_and(|own| pair(before) == Some(own))
        }
    }

    #[inline(always)]
    fn search_far(&mut self, far: &mut [u64]) {
        let shift = 64 - far.len().ilog2();
        let mut place = N;
        while let Some(window) = self.window(place) {
            let hash = hash_three::<N>(window);
            let (check, found) = exchange(far, hash, shift, tag::<N>(hash), place);
            let is_far = (check ^ found) >> 32 == 0;
            let back = N * self.recent_offset();
            let is_recent = self.pair_repeats(place + N, back);
            if !(is_far | is_recent) {
                place += N + ((place - self.anchor) >> SKIP_BITS) / N * N;
                continue;
            }
            let (start, back) = if is_recent {
                (place + N, back)
            } else {
                (place, place - place_of(found).min(place))
            };
            let Some(end) = self.push(start, back) else {
                place += N;
                continue;
            };
            for passed in [place + N, end - 2 * N, end - N] {
                if let Some(window) = self.window(passed) {
                    let hash = hash_three::<N>(window);
                    exchange(far, hash, shift, tag::<N>(hash), passed);
                }
            }
            place = end;
        }
    }

    #[inline(always)]
    fn search_both(&mut self, far: &mut [u64], near: &mut [u64], reach: usize) {
        let far_shift = 64 - far.len().ilog2();
        let near_shift = 64 - near.len().ilog2();
        let mut place = N;
        while let Some(window) = self.window(place) {
            let hash = hash_three::<N>(window);
            let (check, found) = exchange(far, hash, far_shift, tag::<N>(hash), place);
            let is_far = (check ^ found) >> 32 == 0;
            let hash = hash_two::<N>(window);
            let (check, found_near) = exchange(near, hash, near_shift, hash << 32, place);
            let is_near = (check ^ found_near) >> 32 == 0 && place_of(found_near) + reach > place;
            let back = N * self.recent_offset();
            let is_recent = self.pair_repeats(place + N, back);
            if !(is_far | is_near | is_recent) {
                place += N + ((place - self.anchor) >> SKIP_BITS) / N * N;
                continue;
            }
            let found = if is_far { found } else { found_near };
            let (start, back) = if is_recent {
                (place + N, back)
            } else {
                (place, place - place_of(found).min(place))
            };
            let Some(end) = self.push(start, back) else {
                place += N;
                continue;
            };
            for passed in [place + N, end - 2 * N, end - N] {
                if let Some(window) = self.window(passed) {
                    let hash = hash_three::<N>(window);
                    exchange(far, hash, far_shift, tag::<N>(hash), passed);
                    let hash = hash_two::<N>(window);
                    exchange(near, hash, near_shift, hash << 32, passed);
                }
            }
            place = end;
        }
    }

    /// What is in no part yet becomes literals.
    #[inline(always)]
    fn end(&mut self) {
        let rest = self.tokens.len() - self.anchor;
        self.parts.push_literals(self.tokens, self.anchor, rest);
    }

    #[inline(always)]
    fn recent_offset(&self) -> usize {
        let [last, _] = self.recent;
        last
    }

    /// Appends the sequence that ends with what comes again from `start` on, `back` bytes after it stood first,
    /// as far as it goes both ways. Where it ends, or nothing if it is too short.
    #[inline(always)]
    fn push(&mut self, start: usize, back: usize) -> Option<usize> {
        if back == 0 {
            return None;
        }
        let bytes = same_after(self.tokens, start, back) / N * N;
        if bytes < LENGTH_MIN * N {
            return None;
        }
        let end = start + bytes;
        let room = (start - self.anchor).min(start - back);
        let start = start - same_before::<N>(self.tokens, start, back, room);
        let literals = (start - self.anchor) / N;
        let length = (end - start) / N - LENGTH_MIN;
        self.parts
            .push_literals(self.tokens, self.anchor, literals * N);
        let capped = literals.min(LENGTH_MORE) << 4 | length.min(LENGTH_MORE);
        let [head, ..] = capped.to_le_bytes();
        for number in [literals, length] {
            if number >= LENGTH_MORE {
                write_varint((number - LENGTH_MORE) as u64, &mut self.parts.more);
            }
        }
        let code = self.offset_code(back / N);
        let place = self.parts.sequences;
        let head_place = self.parts.heads.get_mut(place);
        if let Some((own_head, own_code)) = head_place.zip(self.parts.offsets.get_mut(place)) {
            (*own_head, *own_code) = (head, code);
        }
        self.parts.sequences += 1;
        self.anchor = end;
        Some(end)
    }

    /// The code of an offset in tokens; its bits are appended, and it is the last from now on.
    #[inline(always)]
    fn offset_code(&mut self, offset: usize) -> u8 {
        let [last, before] = self.recent;
        let biased = offset as u64 + OFFSET_BIAS;
        let log = biased.ilog2();
        let code = RECENT + 2 * u64::from(log - 2) + (biased >> (log - 1) & 1);
        let (code, bits) = if offset == last {
            (0, 0)
        } else if offset == before {
            (1, 0)
        } else {
            (code, log - 1)
        };
        self.parts.bits.put(biased & ((1 << bits) - 1), bits);
        self.recent = [offset, if offset == last { before } else { last }];
        let [code, ..] = code.to_le_bytes();
        code
    }
}

/// Puts the place into the table: its tag as an entry has it, and the entry that was there.
#[inline(always)]
fn exchange(table: &mut [u64], hash: u64, shift: u32, tag: u64, place: usize) -> (u64, u64) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as many bits as the table has"
    )]
    let slot = table.get_mut((hash >> shift) as usize);
    let found = match slot {
        Some(slot) => std::mem::replace(slot, tag | place as u64),
        None => 0,
    };
    (tag, found)
}

#[inline(always)]
fn place_of(entry: u64) -> usize {
    // Frames are shorter than 2^32 bytes.
    usize::try_from(entry & 0xffff_ffff).unwrap_or(0)
}

#[inline(always)]
fn words(window: &[u8; 16]) -> [u64; 2] {
    let (words, _) = window.as_chunks::<8>();
    match *words {
        [low, high] => [u64::from_le_bytes(low), u64::from_le_bytes(high)],
        _ => [0; 2],
    }
}

/// Of two bytes each, three tokens and their hash are the same to a bit.
#[inline(always)]
fn hash_three<const N: usize>(window: &[u8; 16]) -> u64 {
    let [low, high] = words(window);
    if N == 2 {
        (low << 16).wrapping_mul(MIX)
    } else {
        let mixed = (low ^ (high << 32).rotate_left(21)).wrapping_mul(MIX);
        mixed ^ mixed >> 29
    }
}

#[inline(always)]
fn hash_two<const N: usize>(window: &[u8; 16]) -> u64 {
    let [low, _] = words(window);
    if N == 2 {
        let mixed = (low << 32).wrapping_mul(MIX);
        mixed | mixed >> 32
    } else {
        let mixed = low.wrapping_mul(MIX);
        mixed ^ mixed >> 29
    }
}

/// The part of a hash that an entry has in its upper half.
#[inline(always)]
fn tag<const N: usize>(hash: u64) -> u64 {
    if N == 2 { hash >> 16 << 32 } else { hash << 32 }
}

/// Bytes from `start` on that are those `back` bytes before.
#[inline(always)]
fn same_after(bytes: &[u8], start: usize, back: usize) -> usize {
    let mut place = start;
    loop {
        let own = bytes.get(place..).and_then(|own| own.first_chunk::<32>());
        let other = bytes.get(place.wrapping_sub(back)..);
        let other = other.and_then(|other| other.first_chunk::<32>());
        let (Some(own), Some(other)) = (own, other) else {
            break;
        };
        let ([a, b, c, d], [e, f, g, h]) = (quarters(own), quarters(other));
        let [first, second, third, fourth] = [a ^ e, b ^ f, c ^ g, d ^ h];
        if first | second | third | fourth == 0 {
            place += 32;
            continue;
        }
        // Without branches that depend on the length, which nobody can foretell.
        let (low, high, passed) = if first | second != 0 {
            (first, second, 0)
        } else {
            (third, fourth, 16)
        };
        let (word, passed) = if low != 0 {
            (low, passed)
        } else {
            (high, passed + 8)
        };
        return place + passed + (word.trailing_zeros() / 8) as usize - start;
    }
    let own = bytes.get(place..).unwrap_or_default();
    let other = bytes.get(place.wrapping_sub(back)..).unwrap_or_default();
    let same = own
        .iter()
        .zip(other)
        .take_while(|(own, other)| own == other);
    place - start + same.count()
}

#[inline(always)]
fn quarters(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    match *words {
        [a, b, c, d] => [a, b, c, d].map(u64::from_le_bytes),
        _ => [0; 4],
    }
}

/// Bytes of whole tokens before `start` that are those `back` bytes before, at most `room`.
#[inline(always)]
fn same_before<const N: usize>(bytes: &[u8], start: usize, back: usize, room: usize) -> usize {
    let word = |end: usize| {
        let bytes = bytes.get(end.checked_sub(8)?..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let mut same = 0;
    while same < room {
        let end = start - same;
        let Some((own, other)) = word(end).zip(word(end - back)) else {
            // The first words of all: token by token.
            let token = |end: usize| bytes.get(end.checked_sub(N)?..end);
            while same < room && token(start - same) == token(start - same - back) {
                same += N;
            }
            break;
        };
        let more = ((own ^ other).leading_zeros() / 8) as usize / N * N;
        same += more;
        if more < 8 {
            break;
        }
    }
    same.min(room)
}
