//! Elements of equal width, taken apart into byte planes (tag 2).
//!
//! The first bytes of all elements, then the second bytes, and so on: bytes of one kind stand
//! together, and each plane is coded as suits it. Before that, a float may be rotated left by one
//! bit, which puts its exponent into one byte, and an integer may be replaced by its difference
//! from the element before it.

use super::halves;
use super::streams::{Effort, PayloadReader, StreamEncoder};
use crate::error::SigmaError;
use crate::simd::{self, Kernel};

/// What is done to an element before it is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Nothing = 0,
    /// Rotated left by one bit: the sign of a float goes to the end.
    Rotate = 1,
    /// Difference from the element before (wrapping), its sign moved to the lowest bit.
    Delta = 2,
    /// None, and planes of two bytes: whole small numbers stay together to be matched.
    Pairs = 3,
}

/// How a plane is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Whole(Effort),
    /// As half bytes, see [`halves`], the low and the high ones.
    Halves([Effort; 2]),
}

/// Bit of the step's byte: each plane says whether it is in halves.
const HALVES: u8 = 8;

/// Shape of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Planes {
    /// 2, 4 or 8 bytes.
    pub(crate) width: usize,
    pub(crate) step: Step,
}

impl Planes {
    /// Every shape, for detection and tests.
    pub(crate) const ALL: [Planes; 11] = [
        Planes::of(2, Step::Nothing),
        Planes::of(2, Step::Rotate),
        Planes::of(2, Step::Delta),
        Planes::of(4, Step::Nothing),
        Planes::of(4, Step::Rotate),
        Planes::of(4, Step::Delta),
        Planes::of(4, Step::Pairs),
        Planes::of(8, Step::Nothing),
        Planes::of(8, Step::Rotate),
        Planes::of(8, Step::Delta),
        Planes::of(8, Step::Pairs),
    ];

    const fn of(width: usize, step: Step) -> Planes {
        Planes { width, step }
    }

    /// Bytes of an element in each plane.
    pub(crate) fn plane_width(self) -> usize {
        if self.step == Step::Pairs { 2 } else { 1 }
    }

    fn parse(width: u8, step: u8) -> Option<Planes> {
        Planes::ALL
            .into_iter()
            .find(|planes| planes.width == usize::from(width) && planes.step as u8 == step)
    }

    /// Number of planes.
    pub(crate) fn count(self) -> usize {
        self.width / self.plane_width()
    }

    /// The planes of the whole elements of `content`, low byte first, in the first buffers of
    /// `planes`, of which more are made if they do not suffice.
    pub(crate) fn split<'p>(self, content: &[u8], planes: &'p mut Vec<Vec<u8>>) -> &'p [Vec<u8>] {
        let count = self.count();
        planes.resize_with(count.max(planes.len()), Vec::new);
        let (planes, _) = planes.split_at_mut(count);
        for plane in planes.iter_mut() {
            plane.clear();
            plane.reserve(content.len() / count);
        }
        simd::run(Split {
            shape: self,
            content,
            planes,
        });
        planes
    }

    /// Appends the elements of `planes`, all of the same length.
    fn join(self, planes: &[&[u8]], out: &mut Vec<u8>) {
        simd::run(Join {
            shape: self,
            planes,
            out,
        });
    }
}

/// Takes elements apart.
struct Split<'a> {
    shape: Planes,
    content: &'a [u8],
    planes: &'a mut [Vec<u8>],
}

impl Kernel<()> for Split<'_> {
    #[inline(always)]
    fn run(self) {
        let (content, planes, step) = (self.content, self.planes, self.shape.step);
        match self.shape.width {
            _ if step == Step::Pairs => split_pairs(content, planes),
            2 => split::<u16, 2>(content, step, planes),
            4 => split::<u32, 4>(content, step, planes),
            _ => split::<u64, 8>(content, step, planes),
        }
    }
}

/// Puts elements together.
struct Join<'a, 'p> {
    shape: Planes,
    planes: &'a [&'p [u8]],
    out: &'a mut Vec<u8>,
}

impl Kernel<()> for Join<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let (planes, step, out) = (self.planes, self.shape.step, self.out);
        match self.shape.width {
            _ if step == Step::Pairs => join_pairs(planes, out),
            2 => join::<u16, 2>(planes, step, out),
            4 => join::<u32, 4>(planes, step, out),
            _ => join::<u64, 8>(planes, step, out),
        }
    }
}

/// Appends the payload. `coding` says how to code a plane.
pub(crate) fn encode(
    planes: Planes,
    content: &[u8],
    streams: &mut StreamEncoder,
    coding: impl Fn(&[u8], &mut StreamEncoder) -> Result<Coding, SigmaError>,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let mut buffers = std::mem::take(&mut streams.buffers);
    let split = planes.split(content, &mut buffers);
    let mut codings = Vec::with_capacity(split.len());
    for plane in split {
        codings.push(coding(plane, streams)?);
    }
    // Pairs are there to be matched as a whole.
    let is_halves = |coding: &Coding| matches!(coding, Coding::Halves(_));
    let halved = planes.step != Step::Pairs && codings.iter().any(is_halves);
    out.push(u8::try_from(planes.width).unwrap_or(0));
    out.push(planes.step as u8 | if halved { HALVES } else { 0 });
    let mut halves = [Vec::new(), Vec::new()];
    for (plane, coding) in split.iter().zip(codings) {
        if halved {
            out.push(u8::from(is_halves(&coding)));
        }
        match coding {
            Coding::Halves(efforts) if halved => {
                halves::split(plane, &mut halves);
                for (half, effort) in halves.iter().zip(efforts) {
                    streams.write(half, effort, out)?;
                }
            }
            Coding::Halves(_) => streams.write(plane, Effort::Matches, out)?,
            Coding::Whole(effort) => streams.write(plane, effort, out)?,
        }
    }
    streams.buffers = buffers;
    let tail = content.len() - content.len() % planes.width;
    out.extend_from_slice(content.get(tail..).unwrap_or_default());
    Ok(())
}

/// Appends the content of a payload to `out`, which has room for it.
pub(crate) fn decode(
    reader: &mut PayloadReader<'_, '_>,
    content_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let width = reader.cursor.u8("element width")?;
    let step = reader.cursor.u8("step before the planes")?;
    let halved = step & HALVES != 0;
    let shape = Planes::parse(width, step & !HALVES);
    let legal = |planes: &Planes| !halved || planes.step != Step::Pairs;
    let Some(planes) = shape.filter(legal) else {
        return Err(reader.corrupt("element width or step is not one of the format"));
    };
    let bytes = content_bytes / planes.width * planes.plane_width();
    let count = planes.count();
    let mut buffers = reader.take_buffers(count);
    let mut halves = [Vec::new(), Vec::new()];
    let mut decoded = Vec::with_capacity(planes.width);
    for buffer in buffers.iter_mut().take(count) {
        let in_halves = if halved {
            reader.cursor.u8("form of a plane")?
        } else {
            0
        };
        decoded.push(match in_halves {
            0 => reader.stream_of(bytes, buffer)?,
            1 => join_halves(reader, bytes, &mut halves, buffer)?,
            _ => return Err(reader.corrupt("form of a plane is not 0 or 1")),
        });
    }
    planes.join(&decoded, out);
    reader.give_buffers(buffers);
    let tail = reader
        .cursor
        .take(content_bytes % planes.width, "last bytes")?;
    out.extend_from_slice(tail);
    reader.end()
}

/// The plane of `bytes` bytes whose halves are the next two streams.
fn join_halves<'b>(
    reader: &mut PayloadReader<'_, '_>,
    bytes: usize,
    halves: &mut [Vec<u8>; 2],
    plane: &'b mut Vec<u8>,
) -> Result<&'b [u8], SigmaError> {
    let half_bytes = halves::half_bytes(bytes);
    let [low, high] = halves;
    let low = reader.stream_of(half_bytes, low)?;
    let high = reader.stream_of(half_bytes, high)?;
    if !halves::join(low, high, bytes, plane) {
        return Err(reader.corrupt("half byte behind a plane is not 0"));
    }
    Ok(plane)
}

/// An unsigned integer of `N` bytes.
trait Element<const N: usize>: Copy + Default {
    fn from_le(bytes: [u8; N]) -> Self;
    fn to_le(self) -> [u8; N];
    /// Byte `index`, 0 the lowest.
    fn byte(self, index: usize) -> u8;
    fn rotated(self) -> Self;
    fn unrotated(self) -> Self;
    /// Zigzag of the difference from `before`.
    fn delta(self, before: Self) -> Self;
    /// The element whose delta from `before` is `self`.
    fn undelta(self, before: Self) -> Self;
}

macro_rules! element {
    ($unsigned:ty, $bytes:literal) => {
        impl Element<$bytes> for $unsigned {
            fn from_le(bytes: [u8; $bytes]) -> Self {
                Self::from_le_bytes(bytes)
            }
            fn to_le(self) -> [u8; $bytes] {
                self.to_le_bytes()
            }
            #[inline]
            fn byte(self, index: usize) -> u8 {
                let [low, ..] = (self >> (8 * index)).to_le_bytes();
                low
            }
            fn rotated(self) -> Self {
                self.rotate_left(1)
            }
            fn unrotated(self) -> Self {
                self.rotate_right(1)
            }
            fn delta(self, before: Self) -> Self {
                let difference = self.wrapping_sub(before);
                let sign = (difference >> (Self::BITS - 1)).wrapping_neg();
                difference << 1 ^ sign
            }
            fn undelta(self, before: Self) -> Self {
                before.wrapping_add(self >> 1 ^ (self & 1).wrapping_neg())
            }
        }
    };
}

element!(u16, 2);
element!(u32, 4);
element!(u64, 8);

#[inline(always)]
fn split<E: Element<N>, const N: usize>(content: &[u8], step: Step, planes: &mut [Vec<u8>]) {
    match step {
        Step::Nothing | Step::Pairs => split_with::<E, N>(content, |value, _| value, planes),
        Step::Rotate => split_with::<E, N>(content, |value, _| value.rotated(), planes),
        Step::Delta => split_with::<E, N>(content, E::delta, planes),
    }
}

#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "a block is at most as long as its codes"
)]
fn split_with<E: Element<N>, const N: usize>(
    content: &[u8],
    step: impl Fn(E, E) -> E,
    planes: &mut [Vec<u8>],
) {
    /// Elements at a time: they stay in the first cache.
    const BLOCK: usize = 256;
    let mut before = E::default();
    let mut codes = [E::default(); BLOCK];
    let mut bytes = [0u8; BLOCK];
    let (arrays, _) = content.as_chunks::<N>();
    for block in arrays.chunks(BLOCK) {
        for (code, &array) in codes.iter_mut().zip(block) {
            let value = E::from_le(array);
            *code = step(value, before);
            before = value;
        }
        for (index, plane) in planes.iter_mut().enumerate() {
            for (byte, code) in bytes.iter_mut().zip(&codes) {
                *byte = code.byte(index);
            }
            plane.extend_from_slice(&bytes[..block.len()]);
        }
    }
}

#[inline(always)]
fn join<E: Element<N>, const N: usize>(planes: &[&[u8]], step: Step, out: &mut Vec<u8>) {
    match step {
        Step::Nothing | Step::Pairs => join_with::<E, N>(planes, |value, _| value, out),
        Step::Rotate => join_with::<E, N>(planes, |value, _| value.unrotated(), out),
        Step::Delta => join_with::<E, N>(planes, E::undelta, out),
    }
}

#[inline(always)]
fn join_with<E: Element<N>, const N: usize>(
    planes: &[&[u8]],
    step: impl Fn(E, E) -> E,
    out: &mut Vec<u8>,
) {
    const BLOCK: usize = 64;
    let Ok(planes) = <[&[u8]; N]>::try_from(planes) else {
        return;
    };
    let elements = planes.iter().map(|plane| plane.len()).min().unwrap_or(0);
    let parts = planes.map(|plane| {
        plane
            .split_at_checked(elements)
            .unwrap_or_default()
            .0
            .as_chunks()
    });
    let mut before = E::default();
    let mut joined = [[0u8; N]; BLOCK];
    for index in 0..elements / BLOCK {
        let block = parts.map(|(blocks, _)| blocks.get(index).unwrap_or(&[0; BLOCK]));
        before = join_block(block, &step, before, &mut joined);
        out.extend_from_slice(joined.as_flattened());
    }
    // A short last block is filled up; what that makes is not used.
    let last = parts.map(|(_, rest)| {
        let mut block = [0; BLOCK];
        for (place, byte) in block.iter_mut().zip(rest) {
            *place = *byte;
        }
        block
    });
    join_block(last.each_ref(), &step, before, &mut joined);
    let (joined, _) = joined
        .split_at_checked(elements % BLOCK)
        .unwrap_or_default();
    out.extend_from_slice(joined.as_flattened());
}

/// Joins a block of elements; gives the last.
#[expect(
    clippy::indexing_slicing,
    reason = "the index of a plane is below N, that of a byte below the block's length"
)]
#[inline(always)]
fn join_block<E: Element<N>, const N: usize, const BLOCK: usize>(
    planes: [&[u8; BLOCK]; N],
    step: &impl Fn(E, E) -> E,
    mut before: E,
    joined: &mut [[u8; N]; BLOCK],
) -> E {
    for index in 0..BLOCK {
        let value = E::from_le(std::array::from_fn(|plane| planes[plane][index]));
        before = step(value, before);
        joined[index] = before.to_le();
    }
    before
}

#[inline(always)]
fn split_pairs(content: &[u8], planes: &mut [Vec<u8>]) {
    match planes {
        [low, high] => split_pairs_of([low, high], content),
        [a, b, c, d] => split_pairs_of([a, b, c, d], content),
        _ => {}
    }
}

/// `N` pairs of bytes per element.
#[expect(
    clippy::indexing_slicing,
    reason = "the index of a plane is below N, that of a pair below the block's length"
)]
#[inline(always)]
fn split_pairs_of<const N: usize>(planes: [&mut Vec<u8>; N], content: &[u8]) {
    const BLOCK: usize = 64;
    let (pairs, _) = content.as_chunks::<2>();
    let (elements, _) = pairs.as_chunks::<N>();
    let mut planes = planes;
    for block in elements.chunks(BLOCK) {
        let mut split = [[[0u8; 2]; BLOCK]; N];
        for (index, element) in block.iter().enumerate() {
            for plane in 0..N {
                split[plane][index] = element[plane];
            }
        }
        for (plane, split) in planes.iter_mut().zip(&split) {
            plane.extend_from_slice(split[..block.len()].as_flattened());
        }
    }
}

#[inline(always)]
fn join_pairs(planes: &[&[u8]], out: &mut Vec<u8>) {
    match planes {
        [low, high] => join_pairs_of([low, high], out),
        [a, b, c, d] => join_pairs_of([a, b, c, d], out),
        _ => {}
    }
}

#[inline(always)]
fn join_pairs_of<const N: usize>(planes: [&[u8]; N], out: &mut Vec<u8>) {
    const BLOCK: usize = 64;
    let mut planes = planes.map(|plane| plane.as_chunks::<2>().0.chunks(BLOCK));
    loop {
        let blocks: [&[[u8; 2]]; N] = std::array::from_fn(|plane| {
            planes
                .get_mut(plane)
                .and_then(Iterator::next)
                .unwrap_or_default()
        });
        let count = blocks.iter().map(|block| block.len()).min().unwrap_or(0);
        if count == 0 {
            return;
        }
        let mut joined = [[[0u8; 2]; N]; BLOCK];
        for (plane, block) in blocks.iter().enumerate() {
            for (joined, pair) in joined.iter_mut().zip(*block) {
                if let Some(place) = joined.get_mut(plane) {
                    *place = *pair;
                }
            }
        }
        let (joined, _) = joined.split_at_checked(count).unwrap_or_default();
        out.extend_from_slice(joined.as_flattened().as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_and_length_comes_back() {
        for planes in Planes::ALL {
            for bytes in [0, 1, 7, 8, 9, 63, 512, 513, 1031] {
                let content: Vec<u8> = (0..bytes)
                    .map(|n: usize| (n * n * 7).to_le_bytes()[0])
                    .collect();
                let mut buffers = Vec::new();
                let split = planes.split(&content, &mut buffers);
                let slices: Vec<&[u8]> = split.iter().map(Vec::as_slice).collect();
                let mut out = Vec::new();
                planes.join(&slices, &mut out);
                assert_eq!(out, content[..bytes - bytes % planes.width], "{planes:?}");
            }
        }
    }

    #[test]
    fn planes_hold_what_their_name_says() {
        let planes = |step| Planes { width: 2, step };
        let split = |planes: Planes| {
            planes
                .split(&[0x01, 0x80, 0x03, 0x80], &mut Vec::new())
                .to_vec()
        };
        assert_eq!(split(planes(Step::Nothing)), [[1, 3], [0x80, 0x80]]);
        assert_eq!(split(planes(Step::Rotate)), [[3, 7], [0, 0]]);
        assert_eq!(split(planes(Step::Delta)), [[0xfd, 4], [0xff, 0]]);
        assert_eq!(split(Planes::of(4, Step::Pairs)), [[1, 0x80], [3, 0x80]]);
    }
}
