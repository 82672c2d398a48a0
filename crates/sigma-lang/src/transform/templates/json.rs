//! Cuts JSON: values are strings and numbers, in columns by their key. The content need not be valid
//! JSON, nor whole.

use xxhash_rust::xxh3::xxh3_64;

use super::build::{Builder, Context, Span};
use super::marks::Marks;

/// What a cutter gives its cuts to.
pub(super) trait Cuts {
    /// This part of the content is a value of the open segment.
    fn value(&mut self, start: usize, end: usize, context: Context);
    /// The open segment ends here. False to stop.
    #[must_use]
    fn close(&mut self, end: usize) -> bool;
}

impl Cuts for Builder<'_> {
    #[inline]
    fn value(&mut self, start: usize, end: usize, context: Context) {
        Builder::value(self, start, end, context);
    }
    #[inline]
    fn close(&mut self, end: usize) -> bool {
        Builder::close(self, end)
    }
}

/// Counts the bytes of values that are not numbers.
struct TextBytes<'c> {
    content: &'c [u8],
    bytes: usize,
}

impl Cuts for TextBytes<'_> {
    fn value(&mut self, start: usize, end: usize, _: Context) {
        let value = Span::new(start, end).of(self.content);
        if value.first().is_some_and(|byte| !byte.is_ascii_digit()) {
            self.bytes += value.len();
        }
    }
    fn close(&mut self, _: usize) -> bool {
        true
    }
}

/// Share of the content's bytes that are values other than numbers.
#[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
pub(crate) fn text_share(content: &[u8]) -> f64 {
    let mut text = TextBytes { content, bytes: 0 };
    if !cut(content, &mut text) {
        return 1.0;
    }
    text.bytes as f64 / content.len().max(1) as f64
}

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
pub(super) fn cut(content: &[u8], cuts: &mut impl Cuts) -> bool {
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
                    cuts.value(position + 1, end, Context::Known(key));
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
                    if !cuts.close(position) {
                        return false;
                    }
                }
            }
            Some(_) => {
                let end = number.next_free(position).min(content.len());
                cuts.value(position, end, Context::Known(key ^ 1));
                position = end;
            }
            None => break,
        }
    }
    closed == content.len() || cuts.close(content.len())
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
