//! Cuts tables: a segment is a line, values are its fields.

use super::build::{Builder, Context};

/// Cuts the content at `separator`. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>, separator: u8) -> bool {
    let content = builder.content;
    let mut start = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        cut_line(builder, line, start, separator);
        if !builder.close() {
            return false;
        }
        start += line.len();
    }
    true
}

fn cut_line(builder: &mut Builder<'_>, line: &[u8], offset: usize, separator: u8) {
    let ends = line
        .iter()
        .rev()
        .take_while(|&&byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let body = line.len() - ends;
    let mut field_start = 0;
    let mut quoted = false;
    let mut index = 0;
    for (position, &byte) in line.iter().enumerate().take(body) {
        quoted ^= byte == b'"';
        if byte == separator && !quoted {
            field(builder, offset, field_start, position, index);
            builder.literal(offset + position, offset + position + 1);
            field_start = position + 1;
            index += 1;
        }
    }
    field(builder, offset, field_start, body, index);
    builder.literal(offset + body, offset + line.len());
}

/// One field; an empty one is no value, so that the column stays one of numbers.
fn field(builder: &mut Builder<'_>, offset: usize, start: usize, end: usize, index: u64) {
    if start < end {
        builder.value(offset + start, offset + end, Context::Known(index));
    }
}
