//! Cuts tables: a segment is a line, values are its fields.

use super::build::{Builder, Context};
use super::marks::Marks;

/// Cuts the content at `separator`. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>, separator: u8) -> bool {
    let content = builder.content;
    let [stops]: [Marks; 1] = Marks::of(content, |byte| {
        u8::from(byte == separator || byte == b'\n' || byte == b'"')
    });
    let mut line = Line::default();
    let mut closed = head_bytes(content, separator);
    if closed > 0 && !builder.close(closed) {
        return false;
    }
    line.field = closed;
    let mut position = closed;
    loop {
        position = stops.next(position);
        match content.get(position) {
            Some(b'"') => line.quoted ^= true,
            Some(b'\n') => {
                let carriage_return = position
                    .checked_sub(1)
                    .filter(|&before| content.get(before) == Some(&b'\r'));
                line.field(builder, carriage_return.unwrap_or(position));
                closed = position + 1;
                if !builder.close(closed) {
                    return false;
                }
                line = Line::default();
                line.field = closed;
            }
            Some(_) => {
                if !line.quoted {
                    line.field(builder, position);
                    line.field = position + 1;
                }
            }
            None => break,
        }
        position += 1;
    }
    if closed == content.len() {
        return true;
    }
    line.field(builder, content.len());
    builder.close(content.len())
}

/// Bytes of the first line if none of its fields is a number: names, which are literal text, so that
/// the columns below them stay ones of numbers.
fn head_bytes(content: &[u8], separator: u8) -> usize {
    let Some(end) = content.iter().position(|&byte| byte == b'\n') else {
        return 0;
    };
    let line = content.get(..end).unwrap_or_default().trim_ascii_end();
    let is_number = |field: &[u8]| !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    if line.split(|&byte| byte == separator).any(is_number) {
        return 0;
    }
    end + 1
}

/// Where in a line the cutter is.
#[derive(Debug, Default)]
struct Line {
    /// Start of the open field, and its index.
    field: usize,
    index: u64,
    quoted: bool,
}

impl Line {
    /// Ends a field; an empty one is no value, so that the column stays one of numbers.
    fn field(&mut self, builder: &mut Builder<'_>, end: usize) {
        if self.field < end {
            builder.value(self.field, end, Context::Known(self.index));
        }
        self.index += 1;
    }
}
