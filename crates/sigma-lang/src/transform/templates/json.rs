//! Cuts JSON: values are strings and numbers, in columns by their key. The content need not be valid
//! JSON, nor whole.

use xxhash_rust::xxh3::xxh3_64;

use super::build::{Builder, Context};
use super::marks::Marks;

/// Stops of a string: quote, backslash, line feed.
const STRING: u8 = 1;
/// Stops outside of strings: quote, start of a number, comma, line feed.
const OUTSIDE: u8 = 2;
/// Bytes of a number.
const NUMBER: u8 = 4;

#[inline]
fn class(byte: u8) -> u8 {
    let number = byte.wrapping_sub(b'0') < 10 || byte == b'-';
    let tail = byte == b'+' || byte == b'.' || byte | 0x20 == b'e';
    let both = byte == b'"' || byte == b'\n';
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    flag(both, STRING | OUTSIDE)
        | flag(byte == b'\\', STRING)
        | flag(byte == b',', OUTSIDE)
        | flag(number, OUTSIDE | NUMBER)
        | flag(tail, NUMBER)
}

/// Cuts the content. A segment ends behind a comma or a line feed. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>) -> bool {
    let content = builder.content;
    let [string, outside, number]: [Marks; 3] = Marks::of(content, class);
    let mut key = 0;
    let mut position = 0;
    let mut closed = 0;
    loop {
        position = outside.next(position);
        match content.get(position) {
            Some(b'"') => {
                let end = string_end(content, &string, position + 1);
                if is_key(content, end) {
                    key = xxh3_64(content.get(position..end).unwrap_or_default());
                } else if end > position + 1 {
                    builder.value(position + 1, end, Context::Known(key));
                }
                // Of a string without a closing quote the line feed is yet to come.
                position = end + usize::from(content.get(end) == Some(&b'"'));
            }
            Some(b'\n' | b',') => {
                position += 1;
                let at_end = content.get(position - 1) == Some(&b',')
                    && content.get(position) == Some(&b'\n');
                if !at_end {
                    closed = position;
                    if !builder.close(position) {
                        return false;
                    }
                }
            }
            Some(_) => {
                let end = number.next_free(position).min(content.len());
                builder.value(position, end, Context::Known(key ^ 1));
                position = end;
            }
            None => break,
        }
    }
    closed == content.len() || builder.close(content.len())
}

/// Where the string that goes on at `start` ends: its closing quote, a line feed, or the end.
fn string_end(content: &[u8], stops: &Marks, start: usize) -> usize {
    let mut position = start;
    loop {
        position = stops.next(position);
        match content.get(position) {
            Some(b'\\') => position += 2,
            Some(_) => return position,
            None => return content.len(),
        }
    }
}

/// Whether a colon follows the closing quote at `end`.
fn is_key(content: &[u8], end: usize) -> bool {
    let rest = content.get(end + 1..).unwrap_or_default();
    rest.iter().find(|&&byte| byte != b' ') == Some(&b':')
}
