//! Cuts JSON: values are strings and numbers, in columns by their key. The content need not be valid
//! JSON, nor whole.

use xxhash_rust::xxh3::xxh3_64;

use super::build::{Builder, Context};

/// Cuts the content. A segment ends behind a comma or a line feed. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>) -> bool {
    let content = builder.content;
    let mut key = 0;
    // Literal text from here on is not yet given to the builder.
    let mut literal = 0;
    let mut position = 0;
    while let Some(&byte) = content.get(position) {
        match byte {
            b'"' => {
                let end = string_end(content, position + 1);
                if is_key(content, end) {
                    key = xxh3_64(content.get(position..end).unwrap_or_default());
                } else if end > position + 1 {
                    builder.literal(literal, position + 1);
                    builder.value(position + 1, end, Context::Known(key));
                    literal = end;
                }
                position = end + 1;
            }
            b'-' | b'0'..=b'9' => {
                let rest = content.get(position..).unwrap_or_default();
                let is_number =
                    |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = position + rest.iter().take_while(is_number).count();
                builder.literal(literal, position);
                builder.value(position, end, Context::Known(key ^ 1));
                literal = end;
                position = end;
            }
            b'\n' | b',' => {
                position += 1;
                if byte == b'\n' || content.get(position) != Some(&b'\n') {
                    builder.literal(literal, position);
                    literal = position;
                    if !builder.close() {
                        return false;
                    }
                }
            }
            _ => position += 1,
        }
    }
    builder.literal(literal, content.len());
    builder.close()
}

/// Where the string that goes on at `start` ends: its closing quote, a line feed, or the end.
fn string_end(content: &[u8], start: usize) -> usize {
    let mut position = start;
    while let Some(&byte) = content.get(position) {
        match byte {
            b'"' | b'\n' => return position,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    content.len()
}

/// Whether a colon follows the closing quote at `end`.
fn is_key(content: &[u8], end: usize) -> bool {
    let rest = content.get(end + 1..).unwrap_or_default();
    rest.iter().find(|&&byte| byte != b' ') == Some(&b':')
}
