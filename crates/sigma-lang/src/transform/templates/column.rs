//! One column: values of one kind, as text or as numbers.

use super::build::Span;
use crate::frame::write_varint;

/// Most digits of a number that is kept as one: all fit 63 bits.
const DIGITS_MAX: usize = 18;
/// Columns with at least this many bytes of numbers get a stream of their own.
const ALONE_BYTES_MIN: usize = 512;

/// Bits of the head byte of a column.
pub(super) const NUMBERS: u8 = 1;
/// All numbers have the same count of digits, with zeros in front; else none has.
pub(super) const PADDED: u8 = 2;
/// Differences from the number before.
pub(super) const DELTA: u8 = 4;
/// In a stream of its own.
pub(super) const ALONE: u8 = 8;
/// Two to the power of these bits, less one, are the bytes per number: 0, 1, 2, 4, 8.
pub(super) const WIDTH_SHIFT: u8 = 4;
/// Bytes per number by the bits of the head.
pub(super) const WIDTHS: [usize; 5] = [0, 1, 2, 4, 8];

/// A column of numbers, ready to be written.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Head byte; then, for the fields of the head: the digits if padded, and the base.
    pub(super) head: Vec<u8>,
    /// Byte planes, low first.
    pub(super) planes: Vec<u8>,
    pub(super) alone: bool,
}

/// The numbers of a column if all its values are numbers, and numbers of one form.
pub(super) fn numbers(column: &[Span], content: &[u8]) -> Option<Numbers> {
    let digits = column.first()?.of(content).len();
    let (mut padded, mut plain) = (true, true);
    let mut values = Vec::with_capacity(column.len());
    for span in column {
        let text = span.of(content);
        padded &= text.len() == digits;
        plain &= text.len() == 1 || text.first() != Some(&b'0');
        if text.is_empty() || text.len() > DIGITS_MAX || !(padded || plain) {
            return None;
        }
        let mut value = 0u64;
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + u64::from(digit);
        }
        values.push(value);
    }
    Some(layout(&values, (!plain).then_some(digits)))
}

/// Chooses plain numbers or differences.
fn layout(values: &[u64], padded: Option<usize>) -> Numbers {
    let min = values.iter().copied().min().unwrap_or(0);
    let first = values.first().copied().unwrap_or(0);
    let plain: Vec<u64> = values.iter().map(|value| value - min).collect();
    let mut before = first;
    let delta: Vec<u64> = values
        .iter()
        .map(|&value| {
            let difference = value.wrapping_sub(before);
            before = value;
            difference << 1 ^ (difference >> 63).wrapping_neg()
        })
        .collect();
    let (plain_width, plain) = planes(&plain);
    let (delta_width, delta) = planes(&delta);
    let use_delta =
        plain_width > 0 && entropy_bits(&delta, values.len()) < entropy_bits(&plain, values.len());
    let (width, planes, base) = if use_delta {
        (delta_width, delta, first)
    } else {
        (plain_width, plain, min)
    };
    let alone = planes.len() >= ALONE_BYTES_MIN;
    let mut head = vec![
        NUMBERS
            | if padded.is_some() { PADDED } else { 0 }
            | if use_delta { DELTA } else { 0 }
            | if alone { ALONE } else { 0 }
            | width << WIDTH_SHIFT,
    ];
    head.extend(padded.and_then(|digits| u8::try_from(digits).ok()));
    write_varint(base, &mut head);
    Numbers {
        head,
        planes,
        alone,
    }
}

/// Code of the width that the numbers need, and their byte planes.
fn planes(values: &[u64]) -> (u8, Vec<u8>) {
    let all = values.iter().fold(0, |all, value| all | value);
    let code = match all {
        0 => 0u8,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 3,
        _ => 4,
    };
    let width = WIDTHS.get(usize::from(code)).copied().unwrap_or(0);
    let mut planes = Vec::with_capacity(width * values.len());
    for plane in 0..width {
        let byte = |value: &u64| value.to_le_bytes().get(plane).copied();
        planes.extend(values.iter().filter_map(byte));
    }
    (code, planes)
}

/// About how many bits an entropy coder needs for the planes, each of `count` bytes, and their
/// tables.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn entropy_bits(planes: &[u8], count: usize) -> f64 {
    let mut bits = 0.0;
    for plane in planes.chunks(count.max(1)) {
        let mut counts = [0u32; 256];
        for &byte in plane {
            if let Some(count) = counts.get_mut(usize::from(byte)) {
                *count += 1;
            }
        }
        let total = plane.len() as f64;
        for &count in counts.iter().filter(|&&count| count > 0) {
            bits += f64::from(count) * (total / f64::from(count)).log2() + 4.0;
        }
    }
    bits
}

/// Values of a column as they are taken out.
#[derive(Debug)]
pub(super) enum Source<'p> {
    Text {
        rest: &'p [u8],
        end: u8,
    },
    Numbers {
        planes: &'p [u8],
        count: usize,
        width: usize,
        index: usize,
        value: u64,
        /// The base, for plain numbers.
        base: Option<u64>,
        /// Digits of a padded number, else 0.
        digits: usize,
    },
}

impl Source<'_> {
    /// Appends the next value. False if there is none.
    #[must_use]
    pub(super) fn append(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Source::Text { rest, end } => {
                let Some(length) = rest.iter().position(|byte| byte == end) else {
                    return false;
                };
                let (value, after) = rest.split_at_checked(length).unwrap_or_default();
                out.extend_from_slice(value);
                *rest = after.get(1..).unwrap_or_default();
                true
            }
            Source::Numbers {
                planes,
                count,
                width,
                index,
                value,
                base,
                digits,
            } => {
                if *index >= *count {
                    return false;
                }
                let mut code = 0u64;
                for plane in 0..*width {
                    let byte = planes.get(plane * *count + *index).copied().unwrap_or(0);
                    code |= u64::from(byte) << (8 * plane);
                }
                *index += 1;
                *value = match base {
                    Some(base) => base.wrapping_add(code),
                    None => value.wrapping_add(code >> 1 ^ (code & 1).wrapping_neg()),
                };
                append_decimal(*value, *digits, out);
                true
            }
        }
    }
}

/// Appends a number, with zeros in front up to `digits`.
fn append_decimal(mut value: u64, digits: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut start = text.len();
    for place in text.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    let start = start.min(text.len().saturating_sub(digits));
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}
