//! Templates and columns to content.

use super::column::{ALONE, DELTA, NUMBERS, PADDED, Source, WIDTH_SHIFT, WIDTHS};
use super::{COLUMNS_MAX, HOLES_MAX, TEMPLATES_MAX};
use crate::error::SigmaError;
use crate::frame::Cursor;
use crate::transform::streams::PayloadReader;

/// A literal and the column of the hole behind it, if any.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    end: u32,
    column: Option<u32>,
}

/// Appends the content of a payload to `out`, which has room for it.
pub(crate) fn decode(
    reader: &mut PayloadReader<'_, '_>,
    content_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let hole = reader.cursor.u8("mark of a hole")?;
    let end = reader.cursor.u8("mark of an end")?;
    if hole == end {
        return Err(reader.corrupt("marks of hole and end are the same"));
    }
    let segments = reader.number(content_bytes, "number of segments")?;
    let templates = reader.number(content_bytes.min(TEMPLATES_MAX), "number of templates")?;
    let columns = reader.number(content_bytes.min(COLUMNS_MAX), "number of columns")?;

    let mut scratch: [Vec<u8>; 7] = Default::default();
    let [texts, holes, low, high, heads, text, short] = &mut scratch;
    let texts = reader.stream(texts)?;
    if texts.len() > content_bytes + templates {
        return Err(reader.corrupt("template texts are longer than the content"));
    }
    let holes = reader.stream(holes)?;
    let low = reader.stream_of(segments, low)?;
    let high = if templates > 256 {
        Some(reader.stream_of(segments, high)?)
    } else {
        None
    };
    let (pieces, ends) = parse_templates(reader, texts, holes, [hole, end], columns)?;
    if ends.len() != templates {
        return Err(reader.corrupt("template texts are not as many as stated"));
    }
    let numbers: Vec<u16> = match high {
        None => low.iter().map(|&low| u16::from(low)).collect(),
        Some(high) => {
            let both = low.iter().zip(high);
            both.map(|(&low, &high)| u16::from_le_bytes([low, high]))
                .collect()
        }
    };
    let counts = count_values(&numbers, &pieces, &ends, columns)
        .ok_or_else(|| reader.corrupt("segment names a template that is not there"))?;

    let heads = reader.stream(heads)?;
    let text = reader.stream(text)?;
    let short = reader.stream(short)?;
    let heads = parse_heads(reader, heads, &counts)?;
    let mut long = vec![Vec::new(); heads.iter().filter(|head| head.alone()).count()];
    let mut sources = make_sources(reader, &heads, end, text, short, &mut long)?;
    reader.end()?;

    let limit = out.len() + content_bytes;
    for number in numbers {
        let range = template_range(&ends, usize::from(number)).unwrap_or_default();
        for piece in pieces.get(range).unwrap_or_default() {
            let literal = texts.get(piece.start as usize..piece.end as usize);
            out.extend_from_slice(literal.unwrap_or_default());
            let source = piece.column.map(|column| sources.get_mut(column as usize));
            let filled = match source {
                None => true,
                Some(None) => false,
                Some(Some(source)) => source.append(out),
            };
            if !filled {
                return Err(reader.corrupt("column has too few values"));
            }
            if out.len() > limit {
                return Err(reader.corrupt("templates make more than the content"));
            }
        }
    }
    let left =
        |source: &Source<'_>| matches!(source, Source::Text { rest, .. } if !rest.is_empty());
    if sources.iter().any(left) {
        return Err(reader.corrupt("column has too many values"));
    }
    Ok(())
}

fn template_range(ends: &[usize], number: usize) -> Option<std::ops::Range<usize>> {
    let end = *ends.get(number)?;
    let start = number.checked_sub(1).and_then(|before| ends.get(before));
    Some(start.copied().unwrap_or(0)..end)
}

/// The pieces of all templates, and where each template's pieces end.
fn parse_templates(
    reader: &PayloadReader<'_, '_>,
    texts: &[u8],
    holes: &[u8],
    [hole, end]: [u8; 2],
    columns: usize,
) -> Result<(Vec<Piece>, Vec<usize>), SigmaError> {
    let (mut pieces, mut ends) = (Vec::new(), Vec::new());
    let mut holes = Cursor::new(holes, 0);
    let mut start = 0;
    for (position, &byte) in texts.iter().enumerate() {
        if byte != hole && byte != end {
            continue;
        }
        let mut column = None;
        if byte == hole {
            let named = holes.varint("column of a hole").ok();
            column = named.and_then(|named| u32::try_from(named).ok());
            let legal = column.is_some_and(|column| (column as usize) < columns);
            if !legal || pieces.len() >= HOLES_MAX + TEMPLATES_MAX {
                return Err(reader.corrupt("hole names a column that is not there"));
            }
        }
        let Ok(position) = u32::try_from(position) else {
            return Err(reader.corrupt("template texts are longer than the content"));
        };
        pieces.push(Piece {
            start,
            end: position,
            column,
        });
        if byte == end {
            ends.push(pieces.len());
        }
        start = position + 1;
    }
    if start as usize != texts.len() || !holes.rest().is_empty() {
        return Err(reader.corrupt("template texts and holes do not fit each other"));
    }
    Ok((pieces, ends))
}

/// How many values each column must have; `None` if a segment's template is not there.
fn count_values(
    numbers: &[u16],
    pieces: &[Piece],
    ends: &[usize],
    columns: usize,
) -> Option<Vec<usize>> {
    let mut uses = vec![0usize; ends.len()];
    for &number in numbers {
        *uses.get_mut(usize::from(number))? += 1;
    }
    let mut counts = vec![0usize; columns];
    for (number, &uses) in uses.iter().enumerate() {
        for piece in pieces.get(template_range(ends, number)?)? {
            if let Some(column) = piece.column {
                let count = counts.get_mut(column as usize)?;
                *count = count.saturating_add(uses);
            }
        }
    }
    Some(counts)
}

/// Head of a column, checked.
#[derive(Debug, Clone, Copy)]
struct Head {
    flags: u8,
    width: usize,
    digits: usize,
    base: u64,
    count: usize,
}

impl Head {
    fn alone(&self) -> bool {
        self.flags & ALONE != 0
    }
}

fn parse_heads(
    reader: &PayloadReader<'_, '_>,
    heads: &[u8],
    counts: &[usize],
) -> Result<Vec<Head>, SigmaError> {
    let mut cursor = Cursor::new(heads, 0);
    let mut parsed = Vec::with_capacity(counts.len());
    for &count in counts {
        let head = parse_head(&mut cursor, count);
        parsed.push(head.ok_or_else(|| reader.corrupt("head of a column is not legal"))?);
    }
    if !cursor.rest().is_empty() {
        return Err(reader.corrupt("bytes follow the heads of the columns"));
    }
    Ok(parsed)
}

fn parse_head(cursor: &mut Cursor<'_>, count: usize) -> Option<Head> {
    const WHAT: &str = "head of a column";
    let flags = cursor.u8(WHAT).ok()?;
    let mut head = Head {
        flags,
        width: 0,
        digits: 0,
        base: 0,
        count,
    };
    if flags & NUMBERS == 0 {
        return (flags == 0).then_some(head);
    }
    head.width = *WIDTHS.get(usize::from(flags >> WIDTH_SHIFT))?;
    if flags & PADDED != 0 {
        head.digits = usize::from(cursor.u8(WHAT).ok()?);
    }
    head.base = cursor.varint(WHAT).ok()?;
    (head.digits <= 20).then_some(head)
}

/// Hands each column its part of the streams, which must be used up.
fn make_sources<'s, 'p: 's>(
    reader: &mut PayloadReader<'p, '_>,
    heads: &[Head],
    end: u8,
    mut text: &'s [u8],
    mut short: &'s [u8],
    long: &'s mut [Vec<u8>],
) -> Result<Vec<Source<'s>>, SigmaError> {
    let mut long = long.iter_mut();
    let mut sources = Vec::with_capacity(heads.len());
    for head in heads {
        if head.flags & NUMBERS == 0 {
            let length = text_bytes(text, end, head.count)
                .ok_or_else(|| reader.corrupt("text column has too few values"))?;
            let (own, rest) = text.split_at_checked(length).unwrap_or_default();
            text = rest;
            sources.push(Source::Text { rest: own, end });
            continue;
        }
        let bytes = head.count.saturating_mul(head.width);
        let planes = match long.next_if_alone(head) {
            Some(scratch) => reader.stream_of(bytes, scratch)?,
            None => {
                let Some((own, rest)) = short.split_at_checked(bytes) else {
                    return Err(reader.corrupt("number column has too few bytes"));
                };
                short = rest;
                own
            }
        };
        let delta = head.flags & DELTA != 0;
        sources.push(Source::Numbers {
            planes,
            count: head.count,
            width: head.width,
            index: 0,
            value: head.base,
            base: (!delta).then_some(head.base),
            digits: head.digits,
        });
    }
    if !text.is_empty() || !short.is_empty() {
        return Err(reader.corrupt("bytes follow the last column"));
    }
    Ok(sources)
}

/// Takes the next buffer if the column has a stream of its own.
trait NextIfAlone<'s> {
    fn next_if_alone(&mut self, head: &Head) -> Option<&'s mut Vec<u8>>;
}

impl<'s> NextIfAlone<'s> for std::slice::IterMut<'s, Vec<u8>> {
    fn next_if_alone(&mut self, head: &Head) -> Option<&'s mut Vec<u8>> {
        if head.alone() { self.next() } else { None }
    }
}

/// Length of the first `count` values, their ends included.
fn text_bytes(text: &[u8], end: u8, count: usize) -> Option<usize> {
    if count == 0 {
        return Some(0);
    }
    let mut ends = text.iter().enumerate().filter(|&(_, &byte)| byte == end);
    ends.nth(count - 1).map(|(position, _)| position + 1)
}
