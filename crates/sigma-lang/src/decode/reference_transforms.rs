//! The plain twin of the transforms' decoders, for [`reference`](super::reference): it follows the
//! format page and shares no code with them.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, and lengths that were checked against the content's"
)]

use std::io::Read;

use super::reference::{Input, zstd_header};
use crate::error::SigmaError;

/// Content of a payload by its tag, one element or segment at a time.
pub(super) fn decode(
    tag: u64,
    payload: &[u8],
    content_bytes: usize,
) -> Result<Vec<u8>, SigmaError> {
    let mut payload = Payload::new(payload, 4 * content_bytes + 1024);
    let content = match tag {
        2 | 7 => planes(&mut payload, content_bytes)?,
        6 => super::reference_numbers::numbers(&mut payload, content_bytes)?,
        8 => super::reference_tokens::tokens(&mut payload, content_bytes)?,
        _ => templates(&mut payload, content_bytes)?,
    };
    if content.len() != content_bytes || payload.input.position != payload.input.bytes.len() {
        return Err(payload.input.corrupt("length of content or payload"));
    }
    Ok(content)
}

/// Content of a grown frame's payload.
pub(super) fn grown(
    payload: &[u8],
    base: Option<&[u8]>,
    content_bytes: u64,
) -> Result<Vec<u8>, SigmaError> {
    let mut input = Input {
        bytes: payload,
        position: 0,
    };
    let Some(base) = base else {
        return Err(input.corrupt("grown frame without a base"));
    };
    let part = |input: &mut Input<'_>| {
        let (start, bytes) = (input.varint()?, input.varint()?);
        let end = start.saturating_add(bytes);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = range.and_then(|(start, end)| base.get(start..end));
        part.ok_or_else(|| input.corrupt("part of the base"))
    };
    let mut content = part(&mut input)?.to_vec();
    let copied = content.len() as u64;
    if copied == 0 || copied > content_bytes {
        return Err(input.corrupt("length of the copy"));
    }
    if copied < content_bytes {
        let history = part(&mut input)?.to_vec();
        let kind = input.number(1)?;
        let rest = input.take(payload.len() - input.position)?;
        match kind {
            0 => content.extend_from_slice(rest),
            1 => {
                let frame = [&[0x28, 0xB5, 0x2F, 0xFD], rest].concat();
                let stated =
                    zstd_header(&frame).map(|(stated, window, _)| (stated, window <= 1 << 27));
                if stated != Some((content_bytes - copied, true)) {
                    return Err(input.corrupt("header of the rest"));
                }
                let mut decoder =
                    zstd::stream::read::Decoder::with_ref_prefix(frame.as_slice(), &history)
                        .map_err(|_| input.corrupt("zstd frame of the rest"))?
                        .single_frame();
                (&mut decoder)
                    .take(content_bytes - copied + 1)
                    .read_to_end(&mut content)
                    .map_err(|_| input.corrupt("zstd frame of the rest"))?;
                if !decoder.finish().is_empty() {
                    return Err(input.corrupt("bytes follow the rest"));
                }
            }
            _ => return Err(input.corrupt("kind of the rest")),
        }
    }
    if content.len() as u64 != content_bytes || input.position != payload.len() {
        return Err(input.corrupt("length of content or payload"));
    }
    Ok(content)
}

pub(crate) struct Payload<'a> {
    pub(crate) input: Input<'a>,
    /// Bytes that streams may still have.
    left: usize,
}

impl<'a> Payload<'a> {
    /// A payload whose streams may have so many bytes.
    pub(crate) fn new(bytes: &'a [u8], left: usize) -> Self {
        let input = Input { bytes, position: 0 };
        Payload { input, left }
    }

    pub(crate) fn stream(&mut self) -> Result<Vec<u8>, SigmaError> {
        let head = self.input.varint()?;
        let bytes = (head >> 1) as usize;
        if bytes > self.left {
            return Err(self.input.corrupt("streams are too long"));
        }
        self.left -= bytes;
        if head & 1 == 0 {
            return Ok(self.input.take(bytes)?.to_vec());
        }
        let coded = self.input.varint()? as usize;
        let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD];
        frame.extend_from_slice(self.input.take(coded)?);
        let content = zstd::bulk::decompress(&frame, bytes);
        let content = content.map_err(|_| self.input.corrupt("zstd frame of a stream"))?;
        if content.len() != bytes {
            return Err(self.input.corrupt("length of a stream"));
        }
        Ok(content)
    }

    pub(super) fn count(&mut self, max: usize) -> Result<usize, SigmaError> {
        let value = self.input.varint()?;
        if value > max as u64 {
            return Err(self.input.corrupt("count"));
        }
        Ok(value as usize)
    }
}

fn planes(payload: &mut Payload<'_>, content_bytes: usize) -> Result<Vec<u8>, SigmaError> {
    let width = payload.input.number(1)? as usize;
    let step_and_flag = payload.input.number(1)?;
    let (step, halved) = (step_and_flag & 7, step_and_flag & 8 != 0);
    let unit = if step == 3 { 2 } else { 1 };
    let step_legal = step_and_flag <= 10 && step <= 3 && !(step == 3 && halved);
    if ![2, 4, 8].contains(&width) || !step_legal || width == unit {
        return Err(payload.input.corrupt("width or step"));
    }
    let elements = content_bytes / width;
    let mut planes = Vec::new();
    for _ in 0..width / unit {
        let in_halves = if halved { payload.input.number(1)? } else { 0 };
        let plane = match in_halves {
            0 => payload.stream()?,
            1 => halves(payload, elements)?,
            _ => return Err(payload.input.corrupt("form of a plane")),
        };
        if plane.len() != elements * unit {
            return Err(payload.input.corrupt("length of a plane"));
        }
        planes.push(plane);
    }
    let bits = 8 * width as u32;
    let mask = u64::MAX >> (64 - bits);
    let mut content = Vec::new();
    let mut before = 0u64;
    for element in 0..elements {
        let mut code = 0u64;
        for plane in planes.iter().rev() {
            let bytes = plane.iter().skip(element * unit).take(unit).rev();
            code = bytes.fold(code, |code, &byte| code << 8 | u64::from(byte));
        }
        let value = match step {
            0 | 3 => code,
            1 => (code >> 1 | code << (bits - 1)) & mask,
            _ => before.wrapping_add(code >> 1 ^ (code & 1).wrapping_neg()) & mask,
        };
        before = value;
        content.extend_from_slice(value.to_le_bytes().get(..width).unwrap_or_default());
    }
    let tail = payload.input.take(content_bytes % width)?;
    content.extend_from_slice(tail);
    Ok(content)
}

/// A plane of `elements` bytes from the streams of its low and its high halves.
pub(super) fn halves(payload: &mut Payload<'_>, elements: usize) -> Result<Vec<u8>, SigmaError> {
    let (low, high) = (payload.stream()?, payload.stream()?);
    if low.len() != elements.div_ceil(2) || high.len() != low.len() {
        return Err(payload.input.corrupt("length of a half plane"));
    }
    let mut plane = Vec::new();
    for (low, high) in low.iter().zip(high) {
        plane.push(high % 16 * 16 + low % 16);
        plane.push(high / 16 * 16 + low / 16);
    }
    if elements % 2 == 1 && plane.pop() != Some(0) {
        return Err(payload.input.corrupt("half byte behind a plane"));
    }
    Ok(plane)
}

/// The values of one column, last first.
type Values = Vec<Vec<u8>>;

fn templates(payload: &mut Payload<'_>, content_bytes: usize) -> Result<Vec<u8>, SigmaError> {
    let hole = payload.input.number(1)? as u8;
    let end = payload.input.number(1)? as u8;
    let segments = payload.count(content_bytes)?;
    let template_count = payload.count(content_bytes.min(65_536))?;
    let column_count = payload.count(content_bytes.min(65_536))?;
    let texts = payload.stream()?;
    let holes = payload.stream()?;
    let low = payload.stream()?;
    let high = if template_count > 256 {
        payload.stream()?
    } else {
        vec![0; segments]
    };
    let sizes_fit = low.len() == segments && high.len() == segments;
    if hole == end || !sizes_fit || texts.len() > content_bytes + template_count {
        return Err(payload.input.corrupt("marks, segments or template texts"));
    }
    let templates = split_templates(&texts, &holes, hole, end, column_count)
        .filter(|templates| templates.len() == template_count)
        .ok_or_else(|| payload.input.corrupt("templates"))?;
    let used: Option<Vec<&Template>> = low
        .iter()
        .zip(&high)
        .map(|(&low, &high)| templates.get(usize::from(high) << 8 | usize::from(low)))
        .collect();
    let used = used.ok_or_else(|| payload.input.corrupt("number of a template"))?;
    let mut counts = vec![0; column_count];
    for column in used.iter().flat_map(|template| &template.columns) {
        if let Some(count) = counts.get_mut(*column) {
            *count += 1;
        }
    }
    let mut columns = read_columns(payload, &counts, end)?;
    let mut content = Vec::new();
    for template in used {
        let mut holes = template.columns.iter();
        for literal in &template.literals {
            content.extend_from_slice(literal);
            if let Some(values) = holes.next().and_then(|column| columns.get_mut(*column)) {
                content.extend(values.pop().unwrap_or_default());
            }
        }
        if content.len() > content_bytes {
            return Err(payload.input.corrupt("templates make too much"));
        }
    }
    Ok(content)
}

/// One literal more than columns.
struct Template {
    literals: Vec<Vec<u8>>,
    columns: Vec<usize>,
}

fn split_templates(
    texts: &[u8],
    holes: &[u8],
    hole: u8,
    end: u8,
    column_count: usize,
) -> Option<Vec<Template>> {
    let mut holes = Input {
        bytes: holes,
        position: 0,
    };
    let mut texts: Vec<&[u8]> = texts.split(|&byte| byte == end).collect();
    if !texts.pop()?.is_empty() {
        return None;
    }
    let mut templates = Vec::new();
    let mut hole_count = 0;
    for text in texts {
        let literals: Vec<Vec<u8>> = text
            .split(|&byte| byte == hole)
            .map(<[u8]>::to_vec)
            .collect();
        let mut columns = Vec::new();
        for _ in 1..literals.len() {
            let column = holes.varint().ok()?;
            columns.push(column as usize);
            if column >= column_count as u64 {
                return None;
            }
        }
        hole_count += columns.len();
        templates.push(Template { literals, columns });
    }
    (holes.position == holes.bytes.len() && hole_count <= 1 << 20).then_some(templates)
}

fn read_columns(
    payload: &mut Payload<'_>,
    counts: &[usize],
    end: u8,
) -> Result<Vec<Values>, SigmaError> {
    let heads = payload.stream()?;
    let text = payload.stream()?;
    let short = payload.stream()?;
    let corrupt = payload.input.corrupt("column");
    let mut heads = Input {
        bytes: &heads,
        position: 0,
    };
    let mut short = Input {
        bytes: &short,
        position: 0,
    };
    let mut texts: Vec<&[u8]> = text.split(|&byte| byte == end).collect();
    let mut columns = Vec::new();
    if !texts.pop().unwrap_or_default().is_empty() {
        return Err(corrupt);
    }
    let mut texts = texts.into_iter();
    for &count in counts {
        let flags = heads.number(1)?;
        let mut values = if flags == 0 {
            let values: Values = texts.by_ref().take(count).map(<[u8]>::to_vec).collect();
            if values.len() != count {
                return Err(corrupt);
            }
            values
        } else if flags & 1 == 1 && flags >> 4 <= 4 {
            let width = [0, 1, 2, 4, 8]
                .get((flags >> 4) as usize)
                .copied()
                .unwrap_or(0);
            let digits = if flags & 2 != 0 { heads.number(1)? } else { 0 };
            let base = heads.varint()?;
            let planes = if flags & 8 != 0 {
                payload.stream()?
            } else {
                short.take(width * count)?.to_vec()
            };
            if digits > 20 || planes.len() != width * count {
                return Err(corrupt);
            }
            numbers(&planes, count, base, flags & 4 != 0, digits as usize)
        } else {
            return Err(corrupt);
        };
        values.reverse();
        columns.push(values);
    }
    let used_up = heads.position == heads.bytes.len() && short.position == short.bytes.len();
    if !used_up || texts.next().is_some() {
        return Err(corrupt);
    }
    Ok(columns)
}

fn numbers(planes: &[u8], count: usize, base: u64, delta: bool, digits: usize) -> Values {
    let mut values = Vec::new();
    let mut before = base;
    for index in 0..count {
        let mut code = 0u64;
        for (plane, byte) in planes.iter().skip(index).step_by(count).enumerate() {
            code |= u64::from(*byte) << (8 * plane);
        }
        let value = if delta {
            before.wrapping_add(code >> 1 ^ (code & 1).wrapping_neg())
        } else {
            base.wrapping_add(code)
        };
        before = value;
        values.push(format!("{value:0digits$}").into_bytes());
    }
    values
}
