//! Payloads to tables of numbers.

use super::super::halves;
use super::super::streams::{PayloadReader, reserve};
use super::column::Scale;
use super::decimal::{DIGITS_MAX, Decimal, Kind};
use super::{CODE_BYTES_MAX, COLUMNS_MAX, Numbers, ORDER_MAX};
use crate::error::SigmaError;
use crate::frame::Cursor;
use crate::simd::{self, Kernel};

/// What the codes of a column become.
#[derive(Debug, Clone, Copy)]
struct Head {
    decimal: Option<Decimal>,
    scale: Scale,
    code_bytes: usize,
}

/// Room that is used again from column to column.
#[derive(Default)]
struct Scratch {
    heads: Vec<Head>,
    codes: Vec<u64>,
    plane: Vec<u8>,
    joined: Vec<u8>,
    halves: [Vec<u8>; 2],
}

/// Appends the content of a payload to `out`, which has room for it.
pub(crate) fn decode(
    reader: &mut PayloadReader<'_, '_>,
    content_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let width = usize::from(reader.cursor.u8("element width")?);
    let columns = usize::from(reader.cursor.u8("number of columns")?);
    if ![2, 4, 8].contains(&width) || !(1..=COLUMNS_MAX).contains(&columns) {
        return Err(reader.corrupt("element width or number of columns is not one of the format"));
    }
    let shape = Numbers { width, columns };
    let rows = content_bytes / shape.row_bytes();
    let group_rows = reader.number(rows.min(shape.group_rows_max()), "rows of a group")?;
    if group_rows == 0 {
        return Err(reader.corrupt("a group has no rows"));
    }
    let mut scratch = Scratch::default();
    let mut left = rows;
    while left > 0 {
        let rows = group_rows.min(left);
        decode_group(reader, shape, rows, &mut scratch, out)?;
        left -= rows;
    }
    let tail = reader
        .cursor
        .take(content_bytes % shape.row_bytes(), "last bytes")?;
    out.extend_from_slice(tail);
    reader.end()
}

fn decode_group(
    reader: &mut PayloadReader<'_, '_>,
    shape: Numbers,
    rows: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    scratch.heads.clear();
    for _ in 0..shape.columns {
        let head = read_head(reader, shape.width)?;
        scratch.heads.push(head);
    }
    let heads = std::mem::take(&mut scratch.heads);
    let start = out.len();
    if shape.columns > 1 {
        reserve(out, rows * shape.row_bytes())?;
        out.resize(start + rows * shape.row_bytes(), 0);
    }
    for (index, head) in heads.iter().enumerate() {
        read_codes(reader, head.code_bytes, rows, scratch)?;
        let codes = scratch.codes.as_mut_slice();
        let table = out.get_mut(start..).unwrap_or_default();
        let place = index * shape.width;
        match (shape.columns, shape.width) {
            (1, 2) => simd::run(Append::<2> { head, codes, out }),
            (1, 4) => simd::run(Append::<4> { head, codes, out }),
            (1, _) => simd::run(Append::<8> { head, codes, out }),
            (columns, 2) => fill::<2>(head, codes, table, columns, place),
            (columns, 4) => fill::<4>(head, codes, table, columns, place),
            (columns, _) => fill::<8>(head, codes, table, columns, place),
        }
    }
    scratch.heads = heads;
    let table = out.get_mut(start..).unwrap_or_default();
    apply_patches(reader, shape.width, scratch, table)
}

fn read_head(reader: &mut PayloadReader<'_, '_>, width: usize) -> Result<Head, SigmaError> {
    let form = reader.cursor.u8("head of a column")?;
    let (order, kind, code_bytes) = (form & 3, form >> 2 & 3, usize::from(form >> 4));
    let legal = order <= ORDER_MAX && code_bytes <= CODE_BYTES_MAX && (kind == 0 || width >= 4);
    if !legal {
        return Err(reader.corrupt("head of a column is not one of the format"));
    }
    let mut kinds = Kind::Integer;
    if kind > 0 {
        let digits = usize::from(reader.cursor.u8("digits of a column")?);
        kinds = match kind {
            1 => Kind::Quotient { digits },
            2 => Kind::Product { digits },
            _ => return Err(reader.corrupt("kind of a column is not one of the format")),
        };
        if digits > DIGITS_MAX {
            return Err(reader.corrupt("digits of a column are more than 22"));
        }
    }
    let unit = reader.cursor.varint("unit of a column")?;
    let base = reader.cursor.varint("base of a column")?;
    Ok(Head {
        decimal: Decimal::new(kinds, width),
        scale: Scale {
            base: base >> 1 ^ (base & 1).wrapping_neg(),
            unit,
            order,
        },
        code_bytes,
    })
}

/// Reads the planes of a column of `rows` codes.
fn read_codes(
    reader: &mut PayloadReader<'_, '_>,
    code_bytes: usize,
    rows: usize,
    scratch: &mut Scratch,
) -> Result<(), SigmaError> {
    let codes = &mut scratch.codes;
    codes.clear();
    codes
        .try_reserve(rows)
        .map_err(|_| SigmaError::AllocationFailed {
            what: "numbers of a column",
            bytes: 8 * rows as u64,
        })?;
    if code_bytes == 0 {
        codes.resize(rows, 0);
    }
    for index in 0..code_bytes {
        let plane = match reader.cursor.u8("form of a plane")? {
            0 => reader.stream_of(rows, &mut scratch.plane)?,
            1 => {
                let bytes = halves::half_bytes(rows);
                let [low, high] = &mut scratch.halves;
                let low = reader.stream_of(bytes, low)?;
                let high = reader.stream_of(bytes, high)?;
                if !halves::join(low, high, rows, &mut scratch.joined) {
                    return Err(reader.corrupt("half byte behind a plane is not 0"));
                }
                &scratch.joined
            }
            _ => return Err(reader.corrupt("form of a plane is not 0 or 1")),
        };
        simd::run(AddPlane {
            plane,
            index,
            codes,
        });
    }
    Ok(())
}

struct AddPlane<'a> {
    plane: &'a [u8],
    index: usize,
    codes: &'a mut Vec<u64>,
}

impl Kernel<()> for AddPlane<'_> {
    #[inline(always)]
    fn run(self) {
        if self.index == 0 {
            self.codes
                .extend(self.plane.iter().map(|&byte| u64::from(byte)));
            return;
        }
        let shift = 8 * self.index;
        for (code, &byte) in self.codes.iter_mut().zip(self.plane) {
            *code |= u64::from(byte) << shift;
        }
    }
}

impl Head {
    /// The elements of codes, in their place.
    #[inline(always)]
    fn decode(&self, codes: &mut [u64]) {
        self.scale.decode(codes);
        if let Some(decimal) = self.decimal {
            for code in codes {
                *code = decimal.element(*code);
            }
        }
    }
}

/// Appends the only column.
struct Append<'a, const N: usize> {
    head: &'a Head,
    codes: &'a mut [u64],
    out: &'a mut Vec<u8>,
}

impl<const N: usize> Kernel<()> for Append<'_, N> {
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 64;
        self.head.decode(self.codes);
        let mut block = [[0u8; N]; BLOCK];
        for elements in self.codes.chunks(BLOCK) {
            for (bytes, element) in block.iter_mut().zip(elements) {
                *bytes = low_bytes(*element);
            }
            let (block, _) = block.split_at_checked(elements.len()).unwrap_or_default();
            self.out.extend_from_slice(block.as_flattened());
        }
    }
}

/// Writes one of several columns, which begins at `place` of each row.
fn fill<const N: usize>(
    head: &Head,
    codes: &mut [u64],
    table: &mut [u8],
    columns: usize,
    place: usize,
) {
    head.decode(codes);
    for (row, element) in table.chunks_exact_mut(columns * N).zip(codes) {
        if let Some(bytes) = row.get_mut(place..place + N) {
            bytes.copy_from_slice(&low_bytes::<N>(*element));
        }
    }
}

#[inline(always)]
fn low_bytes<const N: usize>(element: u64) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, from) in bytes.iter_mut().zip(element.to_le_bytes()) {
        *byte = from;
    }
    bytes
}

/// Puts the patches of a group in their places.
fn apply_patches(
    reader: &mut PayloadReader<'_, '_>,
    width: usize,
    scratch: &mut Scratch,
    table: &mut [u8],
) -> Result<(), SigmaError> {
    let count = reader.number(table.len() / width, "number of patches")?;
    if count == 0 {
        return Ok(());
    }
    let corrupt = reader.corrupt("patches do not fit their group");
    let gaps = reader.stream(&mut scratch.plane)?;
    let elements = reader.stream_of(count * width, &mut scratch.joined)?;
    let mut gaps = Cursor::new(gaps, 0);
    let mut next = 0usize;
    for element in elements.chunks_exact(width) {
        let place = gaps
            .varint("gap before a patch")
            .ok()
            .and_then(|gap| usize::try_from(gap).ok())
            .and_then(|gap| next.checked_add(gap));
        let start = place.and_then(|place| place.checked_mul(width));
        let room = start.and_then(|start| table.get_mut(start..)?.get_mut(..width));
        let (Some(place), Some(room)) = (place, room) else {
            return Err(corrupt);
        };
        room.copy_from_slice(element);
        next = place + 1;
    }
    if gaps.rest().is_empty() {
        Ok(())
    } else {
        Err(corrupt)
    }
}
