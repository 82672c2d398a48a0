//! Content to templates and columns.

use super::build::Builder;
use super::column::numbers;
use super::{csv, json, log};
use crate::error::SigmaError;
use crate::frame::write_varint;
use crate::simd::{self, Kernel};
use crate::transform::streams::{Effort, StreamEncoder, stream_bytes_max};

/// How content is cut into segments and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// Lines; values are words with digits.
    Log,
    /// Lines; values are the fields between separators.
    Table { separator: u8 },
    /// Fields of JSON; values are strings and numbers.
    Json,
}

impl Cut {
    #[must_use]
    fn apply(self, builder: &mut Builder<'_>) -> bool {
        match self {
            Cut::Log => log::cut(builder),
            Cut::Table { separator } => csv::cut(builder, separator),
            Cut::Json => json::cut(builder.content, builder),
        }
    }
}

/// Appends the payload. False, and nothing of use appended, if the content does not suit.
pub(crate) fn encode(
    cut: Cut,
    content: &[u8],
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<bool, SigmaError> {
    let Some((hole, end)) = free_bytes(content) else {
        return Ok(false);
    };
    let mut builder = Builder::new(content, hole);
    if !cut.apply(&mut builder) {
        return Ok(false);
    }
    out.extend_from_slice(&[hole, end]);
    write_varint(builder.segments.len() as u64, out);
    write_varint(builder.text_ends.len() as u64, out);
    write_varint(builder.columns.len() as u64, out);
    // Values of logs are short: more search costs time and hardly finds more.
    let effort = match cut {
        Cut::Table { .. } => Effort::Matches,
        Cut::Json if !streams.fast => Effort::Matches,
        Cut::Log | Cut::Json => Effort::Quick,
    };
    let mut sink = Sink {
        streams,
        total: 0,
        out,
    };
    write_templates(&builder, end, effort, &mut sink)?;
    write_columns(&builder, end, effort, &mut sink)?;
    let total = sink.total;
    Ok(total <= stream_bytes_max(content.len()))
}

/// Two bytes that do not occur in the content, the first ones of all.
fn free_bytes(content: &[u8]) -> Option<(u8, u8)> {
    // The lowest byte of all settles it for nearly all text, many times as fast as a search.
    if simd::run(Lowest(content)) > 1 {
        return Some((0, 1));
    }
    let mut free = (0..=u8::MAX).filter(|byte| !content.contains(byte));
    Some((free.next()?, free.next()?))
}

/// The lowest byte, the highest of all if there is none.
struct Lowest<'c>(&'c [u8]);

impl Kernel<u8> for Lowest<'_> {
    #[inline(always)]
    fn run(self) -> u8 {
        let mut lowest = [u8::MAX; 64];
        let (blocks, rest) = self.0.as_chunks::<64>();
        for block in blocks {
            for (lowest, byte) in lowest.iter_mut().zip(block) {
                *lowest = (*lowest).min(*byte);
            }
        }
        let all = lowest.iter().chain(rest);
        all.fold(u8::MAX, |lowest, byte| lowest.min(*byte))
    }
}

/// Takes streams and counts their bytes.
struct Sink<'a> {
    streams: &'a mut StreamEncoder,
    total: usize,
    out: &'a mut Vec<u8>,
}

impl Sink<'_> {
    fn put(&mut self, stream: &[u8], effort: Effort) -> Result<(), SigmaError> {
        self.total += stream.len();
        self.streams.write(stream, effort, self.out)
    }
}

/// Texts, columns of holes, and the template of each segment.
fn write_templates(
    builder: &Builder<'_>,
    end: u8,
    effort: Effort,
    sink: &mut Sink<'_>,
) -> Result<(), SigmaError> {
    let mut texts = Vec::with_capacity(builder.texts.len() + builder.text_ends.len());
    let mut start = 0;
    for &text_end in &builder.text_ends {
        texts.extend_from_slice(builder.texts.get(start..text_end).unwrap_or_default());
        texts.push(end);
        start = text_end;
    }
    let mut holes = Vec::with_capacity(2 * builder.holes.len());
    for &column in &builder.holes {
        write_varint(u64::from(column), &mut holes);
    }
    let numbers = builder.segments.iter().map(|number| number.to_le_bytes());
    let low: Vec<u8> = numbers.clone().map(|[low, ..]| low).collect();
    let high: Vec<u8> = numbers.map(|[_, high, ..]| high).collect();
    sink.put(&texts, effort)?;
    sink.put(&holes, Effort::Quick)?;
    sink.put(&low, effort)?;
    if builder.text_ends.len() > 256 {
        sink.put(&high, effort)?;
    }
    Ok(())
}

/// Heads of the columns, the text of all, the numbers of short columns, then the long columns.
fn write_columns(
    builder: &Builder<'_>,
    end: u8,
    effort: Effort,
    sink: &mut Sink<'_>,
) -> Result<(), SigmaError> {
    let content = builder.content;
    let (mut heads, mut text, mut short) = (Vec::new(), Vec::new(), Vec::new());
    let mut long = Vec::new();
    let mut values = Vec::new();
    for column in &builder.columns {
        match numbers(column, content, &mut values) {
            Some(numbers) => {
                heads.extend_from_slice(&numbers.head);
                if numbers.alone {
                    long.push(numbers.planes);
                } else {
                    short.extend_from_slice(&numbers.planes);
                }
            }
            None => {
                heads.push(0);
                for span in column {
                    text.extend_from_slice(span.of(content));
                    text.push(end);
                }
            }
        }
    }
    sink.put(&heads, Effort::Quick)?;
    sink.put(&text, effort)?;
    sink.put(&short, Effort::Quick)?;
    for planes in &long {
        sink.put(planes, Effort::Quick)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_bytes_do_not_occur() {
        for length in [0usize, 1, 63, 64, 65, 200] {
            let text = vec![b'a'; length];
            assert_eq!(free_bytes(&text), Some((0, 1)));
            for place in 0..length {
                for (byte, free) in [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))] {
                    let mut text = text.clone();
                    text[place] = byte;
                    assert_eq!(free_bytes(&text), Some(free), "{length} {place}");
                }
            }
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(free_bytes(&all), None);
        assert_eq!(free_bytes(&all[..255]), None);
        assert_eq!(free_bytes(&all[..254]), Some((254, 255)));
    }
}
