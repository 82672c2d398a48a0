//! Payloads to tokens.

use super::super::streams::{PayloadReader, reserve};
use super::{LENGTH_MIN, LENGTH_MORE, OFFSET_BIAS, RECENT, TOKEN_BITS_MAX, planes_of, shift_of};
use crate::error::SigmaError;
use crate::frame::Cursor;
use crate::simd::{self, Kernel};

/// Bytes of a copy whose length is not known beforehand.
const COPY: usize = 32;

/// Appends the content of a payload to `out`, which has room for it.
pub(crate) fn decode(
    reader: &mut PayloadReader<'_, '_>,
    content_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let width = usize::from(reader.cursor.u8("element width")?);
    let bits = u32::from(reader.cursor.u8("bits of a token")?);
    let bits_max = TOKEN_BITS_MAX.min(8 * u32::try_from(width).unwrap_or(0));
    if ![2, 4, 8].contains(&width) || !(1..=bits_max).contains(&bits) {
        return Err(reader.corrupt("element width or bits of a token are none of the format"));
    }
    let tokens = content_bytes / width;
    let literals = read_literals(reader, tokens, width, bits)?;
    let mut buffers = reader.take_buffers(4);
    let result = match buffers.as_mut_slice() {
        [heads, offsets, more, bits, ..] => {
            let heads = reader.stream(heads)?;
            let offsets = reader.stream_of(heads.len(), offsets)?;
            let more = reader.stream(more)?;
            let bits = reader.stream(bits)?;
            let sequences = Sequences {
                heads,
                offsets,
                more: Cursor::new(more, 0),
                bits: BitReader { bytes: bits, at: 0 },
                recent: [1, 2],
            };
            let start = out.len();
            reserve(out, tokens * width)?;
            out.resize(start + tokens * width, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            let done = match width {
                2 => sequences.put_together::<2>(&literals, room),
                4 => sequences.put_together::<4>(&literals, room),
                _ => sequences.put_together::<8>(&literals, room),
            };
            done.ok_or_else(|| reader.corrupt("sequences do not make the content"))
        }
        _ => Ok(()),
    };
    reader.give_buffers(buffers);
    result?;
    let tail = reader.cursor.take(content_bytes % width, "last bytes")?;
    out.extend_from_slice(tail);
    reader.end()
}

/// The literal tokens as elements; at most `tokens` of them.
fn read_literals(
    reader: &mut PayloadReader<'_, '_>,
    tokens: usize,
    width: usize,
    bits: u32,
) -> Result<Vec<u8>, SigmaError> {
    let mut values: Vec<u32> = Vec::new();
    let mut scratch = Vec::new();
    for index in 0..planes_of(bits) {
        let plane = if index == 0 {
            reader.stream(&mut scratch)?
        } else {
            reader.stream_of(values.len(), &mut scratch)?
        };
        if plane.len() > tokens {
            return Err(reader.corrupt("more literals than tokens"));
        }
        if index == 0 {
            values
                .try_reserve(plane.len())
                .map_err(|_| failed(4 * plane.len()))?;
        }
        simd::run(AddPlane(plane, index, &mut values));
    }
    let mut literals = Vec::new();
    // A copy of whole chunks may reach behind the last.
    let bytes = values.len() * width + COPY;
    literals.try_reserve(bytes).map_err(|_| failed(bytes))?;
    let shift = shift_of(bits);
    match width {
        2 => simd::run(Widen::<2>(&values, shift, &mut literals)),
        4 => simd::run(Widen::<4>(&values, shift, &mut literals)),
        _ => simd::run(Widen::<8>(&values, shift, &mut literals)),
    }
    Ok(literals)
}

fn failed(bytes: usize) -> SigmaError {
    SigmaError::AllocationFailed {
        what: "tokens of a frame",
        bytes: bytes as u64,
    }
}

struct AddPlane<'a>(&'a [u8], usize, &'a mut Vec<u32>);

impl Kernel<()> for AddPlane<'_> {
    #[inline(always)]
    fn run(self) {
        let AddPlane(plane, index, values) = self;
        if index == 0 {
            values.extend(plane.iter().map(|&byte| u32::from(byte)));
            return;
        }
        for (value, &byte) in values.iter_mut().zip(plane) {
            *value |= u32::from(byte) << (8 * index);
        }
    }
}

struct Widen<'a, const W: usize>(&'a [u32], u32, &'a mut Vec<u8>);

impl<const W: usize> Kernel<()> for Widen<'_, W> {
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 64;
        let Widen(values, shift, literals) = self;
        let mut block = [[0u8; W]; BLOCK];
        for values in values.chunks(BLOCK) {
            for (element, value) in block.iter_mut().zip(values) {
                let bytes = (value >> shift).to_le_bytes();
                for (to, from) in element.iter_mut().zip(bytes) {
                    *to = from;
                }
            }
            let (block, _) = block.split_at_checked(values.len()).unwrap_or_default();
            literals.extend_from_slice(block.as_flattened());
        }
    }
}

/// What repeats, in order.
struct Sequences<'p> {
    heads: &'p [u8],
    offsets: &'p [u8],
    more: Cursor<'p>,
    bits: BitReader<'p>,
    /// The last offsets, in tokens.
    recent: [usize; 2],
}

impl Sequences<'_> {
    /// Fills `room` with literals and what repeats of it; nothing if they do not fit, or anything is left.
    fn put_together<const W: usize>(mut self, literals: &[u8], room: &mut [u8]) -> Option<()> {
        let (mut taken, mut done) = (0usize, 0usize);
        for (&head, &code) in self.heads.iter().zip(self.offsets) {
            let count = self.length(usize::from(head >> 4))?;
            let length = self.length(usize::from(head & 15))?;
            let bytes = count.checked_mul(W)?;
            copy_literals(literals, taken, bytes, room, done)?;
            taken += bytes;
            done += bytes;
            let back = self.offset(code)?.checked_mul(W)?;
            let bytes = length.checked_add(LENGTH_MIN)?.checked_mul(W)?;
            repeat::<W>(room, done, back, bytes)?;
            done += bytes;
        }
        let rest = literals.get(taken..)?;
        let room = room.get_mut(done..)?;
        if rest.len() != room.len() || !self.more.rest().is_empty() || !self.bits.is_done() {
            return None;
        }
        room.copy_from_slice(rest);
        Some(())
    }

    #[inline(always)]
    fn length(&mut self, short: usize) -> Option<usize> {
        if short < LENGTH_MORE {
            return Some(short);
        }
        let more = self.more.varint("length of a repetition").ok()?;
        usize::try_from(more).ok()?.checked_add(LENGTH_MORE)
    }

    /// The offset in tokens, at least 1.
    #[inline(always)]
    fn offset(&mut self, code: u8) -> Option<usize> {
        let [last, before] = self.recent;
        let code = u64::from(code);
        let offset = match code {
            0 => return Some(last),
            1 => before,
            _ => {
                let (log, half) = ((code - RECENT) / 2 + 2, (code - RECENT) % 2);
                let bits = u32::try_from(log).ok().filter(|&log| log <= 32)? - 1;
                let biased = (2 | half) << bits | self.bits.take(bits)?;
                usize::try_from(biased - OFFSET_BIAS).ok()?
            }
        };
        self.recent = [offset, last];
        Some(offset)
    }
}

/// Copies literals, in whole chunks where there is room.
#[inline(always)]
fn copy_literals(
    literals: &[u8],
    taken: usize,
    bytes: usize,
    room: &mut [u8],
    done: usize,
) -> Option<()> {
    let from = literals.get(taken..)?;
    let to = room.get_mut(done..)?;
    if let (true, Some(from), Some(to)) = (
        bytes <= COPY,
        from.first_chunk::<COPY>(),
        to.first_chunk_mut::<COPY>(),
    ) {
        *to = *from;
        return Some(());
    }
    to.get_mut(..bytes)?.copy_from_slice(from.get(..bytes)?);
    Some(())
}

/// Copies `bytes` bytes that stand `back` bytes before `done` to there; they may overlap what they make.
#[inline(always)]
fn repeat<const W: usize>(room: &mut [u8], done: usize, back: usize, bytes: usize) -> Option<()> {
    let start = done.checked_sub(back)?;
    let end = done.checked_add(bytes).filter(|&end| end <= room.len())?;
    if back >= COPY {
        let mut at = 0;
        while at < bytes {
            let chunk = room
                .get(start + at..)
                .and_then(|from| from.first_chunk::<COPY>());
            let chunk = chunk.copied();
            let to = room.get_mut(done + at..);
            let to = to.and_then(|to| to.first_chunk_mut::<COPY>());
            match (chunk, to) {
                (Some(chunk), Some(to)) => *to = chunk,
                _ => {
                    for place in done + at..end {
                        let byte = *room.get(place - back)?;
                        *room.get_mut(place)? = byte;
                    }
                    break;
                }
            }
            at += COPY;
        }
        return Some(());
    }
    for place in (done..end).step_by(W) {
        let element: [u8; W] = *room.get(place - back..)?.first_chunk()?;
        *room.get_mut(place..)?.first_chunk_mut()? = element;
    }
    Some(())
}

/// Bits from the lowest of the first byte on.
struct BitReader<'p> {
    bytes: &'p [u8],
    /// Bits taken.
    at: usize,
}

impl BitReader<'_> {
    /// The next bits, at most 32.
    #[inline(always)]
    fn take(&mut self, bits: u32) -> Option<u64> {
        let rest = self.bytes.get(self.at / 8..)?;
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest
                .iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        let value = word >> (self.at % 8) & ((1 << bits) - 1);
        self.at += bits as usize;
        (self.at <= 8 * self.bytes.len()).then_some(value)
    }

    /// Whether all bytes are taken, and what is left of the last is 0.
    fn is_done(&self) -> bool {
        let left = self.bytes.get(self.at / 8..).unwrap_or_default();
        match *left {
            [] => true,
            [last] => !self.at.is_multiple_of(8) && last >> (self.at % 8) == 0,
            _ => false,
        }
    }
}
