//! The plain twin of the decoder of numbers (tag 6), one element at a time, as the format page has it.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, and lengths that were checked against the content's"
)]

use super::reference::Input;
use super::reference_transforms::{Payload, halves};
use crate::error::SigmaError;

struct Column {
    order: u64,
    kind: u64,
    code_bytes: u64,
    digits: u64,
    unit: u64,
    base: u64,
}

/// Content of a payload of numbers.
pub(super) fn numbers(
    payload: &mut Payload<'_>,
    content_bytes: usize,
) -> Result<Vec<u8>, SigmaError> {
    let width = payload.input.number(1)? as usize;
    let columns = payload.input.number(1)? as usize;
    if !(width == 2 || width == 4 || width == 8) || columns == 0 || columns > 64 {
        return Err(payload.input.corrupt("width or columns"));
    }
    let rows = content_bytes / (width * columns);
    let group_rows = payload.count(rows.min((1 << 20) / (width * columns)))?;
    if group_rows == 0 {
        return Err(payload.input.corrupt("rows of a group"));
    }
    let mut content = Vec::new();
    let mut done = 0;
    while done < rows {
        let rows = group_rows.min(rows - done);
        content.extend(group(payload, width, columns, rows)?);
        done += rows;
    }
    let tail = payload.input.take(content_bytes % (width * columns))?;
    content.extend_from_slice(tail);
    Ok(content)
}

fn group(
    payload: &mut Payload<'_>,
    width: usize,
    columns: usize,
    rows: usize,
) -> Result<Vec<u8>, SigmaError> {
    let mut heads = Vec::new();
    for _ in 0..columns {
        heads.push(column(&mut payload.input, width)?);
    }
    let mut elements = vec![Vec::new(); rows * columns];
    for (index, head) in heads.iter().enumerate() {
        let codes = codes(payload, head.code_bytes, rows)?;
        let places = elements.iter_mut().skip(index).step_by(columns);
        for (place, number) in places.zip(integers(head, codes)) {
            *place = element(head, number, width);
        }
    }
    let patches = payload.count(rows * columns)?;
    if patches > 0 {
        let gaps = payload.stream()?;
        let patched = payload.stream()?;
        let corrupt = payload.input.corrupt("patches");
        let mut gaps = Input {
            bytes: &gaps,
            position: 0,
        };
        if patched.len() != patches * width {
            return Err(corrupt);
        }
        let mut next = 0u64;
        for patch in patched.chunks(width) {
            let Ok(gap) = gaps.varint() else {
                return Err(corrupt);
            };
            let place = next.saturating_add(gap);
            let index = usize::try_from(place).unwrap_or(usize::MAX);
            match elements.get_mut(index) {
                Some(element) => *element = patch.to_vec(),
                None => return Err(corrupt),
            }
            next = place + 1;
        }
        if gaps.position != gaps.bytes.len() {
            return Err(corrupt);
        }
    }
    Ok(elements.concat())
}

fn column(input: &mut Input<'_>, width: usize) -> Result<Column, SigmaError> {
    let head = input.number(1)?;
    let (order, kind, code_bytes) = (head % 4, head / 4 % 4, head / 16);
    if kind == 3 || code_bytes > 8 || (width == 2 && kind != 0) {
        return Err(input.corrupt("head of a column"));
    }
    let digits = if kind == 0 { 0 } else { input.number(1)? };
    if digits > 22 {
        return Err(input.corrupt("digits"));
    }
    let unit = input.varint()?;
    let base = input.varint()?;
    Ok(Column {
        order,
        kind,
        code_bytes,
        digits,
        unit,
        base: if base % 2 == 0 { base / 2 } else { !(base / 2) },
    })
}

fn codes(payload: &mut Payload<'_>, code_bytes: u64, rows: usize) -> Result<Vec<u64>, SigmaError> {
    let mut codes = vec![0u64; rows];
    for index in 0..code_bytes {
        let plane = match payload.input.number(1)? {
            0 => payload.stream()?,
            1 => halves(payload, rows)?,
            _ => return Err(payload.input.corrupt("form of a plane")),
        };
        if plane.len() != rows {
            return Err(payload.input.corrupt("length of a plane"));
        }
        for (code, byte) in codes.iter_mut().zip(plane) {
            *code += u64::from(byte) << (8 * index);
        }
    }
    Ok(codes)
}

/// The integers that codes stand for: each order of differences keeps the sum so far.
fn integers(column: &Column, codes: Vec<u64>) -> Vec<u64> {
    let mut sums = [0u64; 3];
    let mut integers = Vec::new();
    for code in codes {
        let mut value = code;
        if column.order > 0 {
            value = if code % 2 == 0 { code / 2 } else { !(code / 2) };
            for sum in sums.iter_mut().take(column.order as usize) {
                *sum = sum.wrapping_add(value);
                value = *sum;
            }
        }
        integers.push(column.base.wrapping_add(column.unit.wrapping_mul(value)));
    }
    integers
}

fn element(column: &Column, number: u64, width: usize) -> Vec<u8> {
    let mut power = 1.0f64;
    for _ in 0..column.digits {
        power *= 10.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "as the format has it")]
    let float = number.cast_signed() as f64;
    let float = match column.kind {
        1 => float / power,
        _ => float * (1.0 / power),
    };
    match (column.kind, width) {
        (0, _) => number.to_le_bytes().into_iter().take(width).collect(),
        (_, 4) => (float as f32).to_le_bytes().to_vec(),
        _ => float.to_le_bytes().to_vec(),
    }
}
