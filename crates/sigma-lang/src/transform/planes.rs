//! Elements of equal width, taken apart into byte planes (tag 2).
//!
//! The first bytes of all elements, then the second bytes, and so on: bytes of one kind stand
//! together, and each plane is coded as suits it. Before that, a float may be rotated left by one
//! bit, which puts its exponent into one byte, and an integer may be replaced by its difference
//! from the element before it.

use super::streams::{Effort, PayloadReader, StreamEncoder};
use crate::error::SigmaError;

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

    /// The planes of the whole elements of `content`, low byte first.
    pub(crate) fn split(self, content: &[u8]) -> Vec<Vec<u8>> {
        match self.width {
            _ if self.step == Step::Pairs => split_pairs(content, self.width),
            2 => split::<u16, 2>(content, self.step),
            4 => split::<u32, 4>(content, self.step),
            _ => split::<u64, 8>(content, self.step),
        }
    }

    /// Appends the elements of `planes`, all of the same length.
    fn join(self, planes: &[&[u8]], out: &mut Vec<u8>) {
        match self.width {
            _ if self.step == Step::Pairs => join_pairs(planes, out),
            2 => join::<u16, 2>(planes, self.step, out),
            4 => join::<u32, 4>(planes, self.step, out),
            _ => join::<u64, 8>(planes, self.step, out),
        }
    }
}

/// Appends the payload. `effort` says how to code a plane.
pub(crate) fn encode(
    planes: Planes,
    content: &[u8],
    streams: &mut StreamEncoder,
    mut effort: impl FnMut(&[u8], &mut StreamEncoder) -> Result<Effort, SigmaError>,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    out.push(u8::try_from(planes.width).unwrap_or(0));
    out.push(planes.step as u8);
    for plane in planes.split(content) {
        let effort = effort(&plane, streams)?;
        streams.write(&plane, effort, out)?;
    }
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
    let Some(planes) = Planes::parse(width, step) else {
        return Err(reader.corrupt("element width or step is not one of the format"));
    };
    let elements = content_bytes / planes.width;
    let mut scratch = vec![Vec::new(); planes.width / planes.plane_width()];
    let mut decoded = Vec::with_capacity(planes.width);
    for scratch in &mut scratch {
        decoded.push(reader.stream_of(elements * planes.plane_width(), scratch)?);
    }
    planes.join(&decoded, out);
    let tail = reader
        .cursor
        .take(content_bytes % planes.width, "last bytes")?;
    out.extend_from_slice(tail);
    reader.end()
}

/// An unsigned integer of `N` bytes.
trait Element<const N: usize>: Copy + Default {
    fn from_le(bytes: [u8; N]) -> Self;
    fn to_le(self) -> [u8; N];
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

fn split<E: Element<N>, const N: usize>(content: &[u8], step: Step) -> Vec<Vec<u8>> {
    match step {
        Step::Nothing | Step::Pairs => split_with::<E, N>(content, |value, _| value),
        Step::Rotate => split_with::<E, N>(content, |value, _| value.rotated()),
        Step::Delta => split_with::<E, N>(content, E::delta),
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the index of a plane is below N, that of a byte below the block's length"
)]
fn split_with<E: Element<N>, const N: usize>(
    content: &[u8],
    step: impl Fn(E, E) -> E,
) -> Vec<Vec<u8>> {
    /// Elements at a time: small enough to stay in registers and the first cache.
    const BLOCK: usize = 64;
    let elements = content.len() / N;
    let mut planes: [Vec<u8>; N] = std::array::from_fn(|_| Vec::with_capacity(elements));
    let mut before = E::default();
    let (arrays, _) = content.as_chunks::<N>();
    for block in arrays.chunks(BLOCK) {
        let mut bytes = [[0u8; BLOCK]; N];
        for (index, &array) in block.iter().enumerate() {
            let value = E::from_le(array);
            let parts = step(value, before).to_le();
            before = value;
            for plane in 0..N {
                bytes[plane][index] = parts[plane];
            }
        }
        for (plane, bytes) in planes.iter_mut().zip(&bytes) {
            plane.extend_from_slice(&bytes[..block.len()]);
        }
    }
    planes.into()
}

fn join<E: Element<N>, const N: usize>(planes: &[&[u8]], step: Step, out: &mut Vec<u8>) {
    match step {
        Step::Nothing | Step::Pairs => join_with::<E, N>(planes, |value, _| value, out),
        Step::Rotate => join_with::<E, N>(planes, |value, _| value.unrotated(), out),
        Step::Delta => join_with::<E, N>(planes, E::undelta, out),
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the index of a plane is below N, that of a byte below the block's length"
)]
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
    let mut before = E::default();
    let mut start = 0;
    while start < elements {
        let count = BLOCK.min(elements - start);
        let mut bytes = [[0u8; BLOCK]; N];
        for (bytes, plane) in bytes.iter_mut().zip(planes) {
            bytes[..count].copy_from_slice(&plane[start..start + count]);
        }
        let mut joined = [[0u8; N]; BLOCK];
        for (index, joined) in joined.iter_mut().enumerate() {
            let value = E::from_le(std::array::from_fn(|plane| bytes[plane][index]));
            before = step(value, before);
            *joined = before.to_le();
        }
        // The elements behind `count` of a short last block are not used again.
        out.extend_from_slice(joined[..count].as_flattened());
        start += count;
    }
}

fn split_pairs(content: &[u8], width: usize) -> Vec<Vec<u8>> {
    let (pairs, _) = content.as_chunks::<2>();
    let planes = width / 2;
    let whole = content.len() / width * planes;
    let plane = |plane| {
        let pairs = pairs.iter().take(whole).skip(plane).step_by(planes);
        pairs.flatten().copied().collect()
    };
    (0..planes).map(plane).collect()
}

fn join_pairs(planes: &[&[u8]], out: &mut Vec<u8>) {
    let mut planes: Vec<_> = planes
        .iter()
        .map(|plane| plane.as_chunks::<2>().0.iter())
        .collect();
    loop {
        for plane in &mut planes {
            match plane.next() {
                Some(pair) => out.extend_from_slice(pair),
                None => return,
            }
        }
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
                let split = planes.split(&content);
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
        let content = [0x01, 0x80, 0x03, 0x80];
        assert_eq!(
            planes(Step::Nothing).split(&content),
            [[1, 3], [0x80, 0x80]]
        );
        assert_eq!(planes(Step::Rotate).split(&content), [[3, 7], [0, 0]]);
        assert_eq!(planes(Step::Delta).split(&content), [[0xfd, 4], [0xff, 0]]);
        let pairs = Planes::of(4, Step::Pairs);
        assert_eq!(pairs.split(&content), [[1, 0x80], [3, 0x80]]);
    }
}
