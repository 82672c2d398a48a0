//! One column: values of one kind, as text or as numbers.

use super::build::Span;
use crate::detect::table_bits;
use crate::frame::write_varint;

/// Most digits of a number that is kept as one: all fit 63 bits.
const DIGITS_MAX: usize = 18;
/// Fewer numbers are not worth a count of their bytes.
const ENTROPY_VALUES_MIN: usize = 48;
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

/// The numbers of a column if all its values are numbers, and numbers of one form. `values` is room
/// for them.
pub(super) fn numbers(column: &[Span], content: &[u8], values: &mut Vec<u64>) -> Option<Numbers> {
    let digits = column.first()?.of(content).len();
    let (mut padded, mut plain) = (true, true);
    values.clear();
    for &span in column {
        let text = span.of(content);
        padded &= text.len() == digits;
        plain &= text.len() == 1 || text.first() != Some(&b'0');
        if !(padded || plain) {
            return None;
        }
        values.push(parse(span, content)?);
    }
    Some(layout(values, (!plain).then_some(digits)))
}

/// The number that the digits of the span stand for.
#[inline]
fn parse(span: Span, content: &[u8]) -> Option<u64> {
    let text = span.of(content);
    let end = span.end as usize;
    // The eight bytes that end with the span, or its digits one by one at the start of the content.
    let eight = end
        .checked_sub(8)
        .and_then(|from| content.get(from..)?.first_chunk());
    match (text.len(), eight) {
        (1..=8, Some(eight)) => parse_eight(u64::from_le_bytes(*eight), text.len()),
        (1..=DIGITS_MAX, _) => text.iter().try_fold(0u64, |value, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= 9).then(|| value * 10 + u64::from(digit))
        }),
        _ => None,
    }
}

/// The number of the last `length` (1..=8) of eight characters, the first of which is the lowest byte
/// (D. Lemire, "Quickly parsing eight digits", 2018).
#[inline]
fn parse_eight(eight: u64, length: usize) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // Characters in front of the number become zeros.
    let kept = u64::MAX << (64 - 8 * length);
    let eight = (eight & kept) | (ZEROS & !kept);
    let above_nine = (eight.wrapping_add(0x0606_0606_0606_0606) & HIGH) | (eight & HIGH);
    if above_nine != ZEROS || eight & HIGH != ZEROS {
        return None;
    }
    let digits = eight - ZEROS;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// Chooses plain numbers or differences, by a part of them.
fn layout(values: &mut [u64], padded: Option<usize>) -> Numbers {
    /// Numbers by which the choice is made.
    const LOOK: usize = 1024;
    let min = values.iter().copied().min().unwrap_or(0);
    let max = values.iter().copied().max().unwrap_or(0);
    let first = values.first().copied().unwrap_or(0);
    let look = values.get(..values.len().min(LOOK)).unwrap_or_default();
    let use_delta = max > min && {
        let plain: Vec<u64> = look.iter().map(|value| value - min).collect();
        let mut differences = look.to_vec();
        to_differences(&mut differences);
        let bits = if look.len() < ENTROPY_VALUES_MIN {
            magnitude_bits
        } else {
            entropy_bits
        };
        let plain_bits = bits(&plain);
        bits(&differences) < plain_bits
    };
    let base = if use_delta {
        to_differences(values);
        first
    } else {
        values.iter_mut().for_each(|value| *value -= min);
        min
    };
    let (width, planes) = planes(values);
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

/// Each number replaced by its difference from the one before, the sign in the lowest bit; the first
/// by 0.
fn to_differences(values: &mut [u64]) {
    let mut before = values.first().copied().unwrap_or(0);
    for value in values {
        let difference = value.wrapping_sub(before);
        before = *value;
        *value = difference << 1 ^ (difference >> 63).wrapping_neg();
    }
}

/// Byte `index` of a number, 0 the lowest.
#[inline]
fn byte(value: u64, index: usize) -> u8 {
    let [low, ..] = (value >> (8 * index)).to_le_bytes();
    low
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
        planes.extend(values.iter().map(|value| byte(*value, plane)));
    }
    (code, planes)
}

/// Digits of all numbers in binary: a rougher measure, for a few numbers.
fn magnitude_bits(values: &[u64]) -> f64 {
    let bits = |value: &u64| f64::from(u64::BITS - value.leading_zeros());
    values.iter().map(bits).sum()
}

/// About how many bits an entropy coder needs for the byte planes of the numbers, and their tables.
fn entropy_bits(values: &[u64]) -> f64 {
    let all = values.iter().fold(0, |all, value| all | value);
    let mut plane = Vec::with_capacity(values.len());
    let mut bits = 0.0;
    for index in 0..8 {
        if all >> (8 * index) == 0 {
            break;
        }
        plane.clear();
        plane.extend(values.iter().map(|value| byte(*value, index)));
        bits += table_bits(&plane);
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
